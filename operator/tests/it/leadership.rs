//! Two operators and one Lease, on an API server that keeps to resourceVersions. Time is the
//! test's own.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::{Method, Request, Response};
use bakeoff_operator::lease::{Elector, LEASE_DURATION, Leadership, LeaseName, PERIOD, VALID_FOR};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::time::advance;

/// The Lease as the API server has it, and whether it answers.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    is_away: bool,
    /// The next write is done, but its answer is lost.
    loses_answer: bool,
    writes: u32,
}

impl Server {
    fn operator(&self, identity: &str) -> (Elector, Leadership) {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        let name = LeaseName {
            namespace: "bakeoff-system".into(),
            name: "bakeoff".into(),
            identity: identity.into(),
        };
        Elector::new(Client::new(service, "bakeoff-system"), name)
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let mut state = self.0.lock().unwrap();
        let path = "/apis/coordination.k8s.io/v1/namespaces/bakeoff-system/leases";
        assert!(parts.uri.path().starts_with(path), "{}", parts.uri);
        if state.is_away {
            return Ok(failure(503, "ServiceUnavailable"));
        }
        let answer = state.take(&parts.method, &body);
        if parts.method != Method::GET && std::mem::take(&mut state.loses_answer) {
            return Ok(failure(500, "InternalError"));
        }
        Ok(answer)
    }

    fn holder(&self) -> String {
        let state = self.0.lock().unwrap();
        let lease = state.lease.as_ref().expect("a Lease");
        lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }

    fn writes(&self) -> u32 {
        self.0.lock().unwrap().writes
    }
}

impl State {
    fn take(&mut self, method: &Method, body: &[u8]) -> Response<Body> {
        if method == Method::GET {
            return match &self.lease {
                Some(lease) => response(200, lease),
                None => failure(404, "NotFound"),
            };
        }
        let mut given: Value = serde_json::from_slice(body).unwrap();
        let seen = given["metadata"]["resourceVersion"].clone();
        let is_free = match (method, &self.lease) {
            (&Method::POST, None) => true,
            (&Method::PUT, Some(lease)) => {
                assert!(seen.is_string(), "a replacement without its lock: {given}");
                lease["metadata"]["resourceVersion"] == seen
            }
            _ => false,
        };
        if !is_free {
            return failure(409, "Conflict");
        }
        self.writes += 1;
        given["metadata"]["uid"] = "uid-of-the-lease".into();
        self.store(given.clone());
        response(200, self.lease.as_ref().unwrap())
    }

    fn store(&mut self, mut lease: Value) {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.lease = Some(lease);
    }
}

fn failure(code: u16, reason: &str) -> Response<Body> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": reason, "metadata": {},
    });
    response(code, &body)
}

fn response(code: u16, body: &Value) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Response::builder().status(code).body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_acts_and_hands_over_when_it_stops() {
    let server = Server::default();
    let (mut first, first_may) = server.operator("one");
    let (mut second, second_may) = server.operator("two");
    assert!(
        first_may.check().is_err(),
        "nobody acts before it is elected"
    );
    assert!(first.step().await.unwrap());
    for _ in 0..20 {
        advance(PERIOD).await;
        assert!(first.step().await.unwrap());
        assert!(!second.step().await.unwrap());
        assert!(first_may.check().is_ok() && second_may.check().is_err());
    }
    first.release().await;
    assert!(first_may.check().is_err());
    assert!(second.step().await.unwrap(), "without a wait");
    assert_eq!(server.holder(), "two");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_begin_at_once_one_wins() {
    let server = Server::default();
    let (mut first, first_may) = server.operator("one");
    let (mut second, second_may) = server.operator("two");
    let (one, two) = tokio::join!(first.step(), second.step());
    assert_eq!(u8::from(one.unwrap()) + u8::from(two.unwrap()), 1);
    let valid = [first_may.check().is_ok(), second_may.check().is_ok()];
    assert_eq!(valid.iter().filter(|valid| **valid).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_followed_when_its_lease_is_over_and_not_before() {
    let server = Server::default();
    let (mut first, _) = server.operator("one");
    assert!(first.step().await.unwrap());
    drop(first);
    let (mut second, _) = server.operator("two");
    assert!(!second.step().await.unwrap());
    advance(LEASE_DURATION - Duration::from_millis(1)).await;
    assert!(!second.step().await.unwrap());
    advance(Duration::from_millis(1)).await;
    assert!(second.step().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_paused_finds_that_it_may_not_write() {
    let server = Server::default();
    let (mut old, old_may) = server.operator("old");
    let (mut new, new_may) = server.operator("new");
    assert!(old.step().await.unwrap());
    assert!(!new.step().await.unwrap());
    // The old one stands still, between any two lines of its code, while the new one takes over.
    let mut looks = 0;
    while new_may.check().is_err() {
        advance(Duration::from_millis(500)).await;
        new.step().await.unwrap();
        assert!(
            old_may.check().is_err() || new_may.check().is_err(),
            "two act"
        );
        looks += 1;
        assert!(looks < 100, "never taken over");
    }
    assert!(old_may.check().is_err());
    assert_eq!(server.holder(), "new");
    // It wakes: its renewal changes nothing, and it is one that waits.
    let writes = server.writes();
    assert!(!old.step().await.unwrap());
    assert_eq!((server.holder().as_str(), server.writes()), ("new", writes));
    assert!(new.step().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_leader_stops_before_another_may_begin_where_the_server_is_away() {
    let server = Server::default();
    let (mut first, may) = server.operator("one");
    assert!(first.step().await.unwrap());
    server.0.lock().unwrap().is_away = true;
    advance(VALID_FOR - Duration::from_millis(1)).await;
    assert!(first.step().await.is_err());
    assert!(may.check().is_ok(), "a short absence changes nothing");
    advance(Duration::from_millis(1)).await;
    assert!(may.check().is_err());
    assert!(VALID_FOR < LEASE_DURATION);
    // Back again, and nobody took over: it goes on.
    server.0.lock().unwrap().is_away = false;
    assert!(first.step().await.unwrap());
    assert!(may.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_costs_no_leadership() {
    let server = Server::default();
    let (mut first, may) = server.operator("one");
    assert!(first.step().await.unwrap());
    server.0.lock().unwrap().loses_answer = true;
    advance(PERIOD).await;
    assert!(first.step().await.is_err());
    advance(PERIOD).await;
    assert!(
        first.step().await.unwrap(),
        "the Lease is its own after all"
    );
    assert!(may.check().is_ok());
    advance(PERIOD).await;
    assert!(first.step().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_lost_its_lease_ends() {
    let server = Server::default();
    let (mut first, may) = server.operator("one");
    first.win().await;
    // Somebody gave the Lease to another by hand.
    {
        let mut state = server.0.lock().unwrap();
        let mut lease = state.lease.clone().unwrap();
        lease["spec"]["holderIdentity"] = "somebody".into();
        state.store(lease);
    }
    assert!(first.keep().await.is_err());
    assert!(may.check().is_err());
}
