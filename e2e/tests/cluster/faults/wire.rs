//! The operator's connection to the API server, on which one thing goes wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What befalls the operator. Writes, reads and events are counted from 0, over all its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// Nothing.
    None,
    /// It ends right before this write.
    KilledBefore(usize),
    /// It ends right after this write, without having seen the answer.
    KilledAfter(usize),
    /// This write is not done, and answered with this status.
    Refused(usize, u16),
    /// This write is done, and answered as if the API server had failed.
    DoneAndDenied(usize),
    /// This read, or the first one after it that can, shows what was before the last change.
    Stale(usize),
    /// This event of its watches never comes.
    Missed(usize),
    /// It stands still right before this write, until [`Wire::let_go`].
    Paused(usize),
}

impl Disturbance {
    /// The same, at half the way to it.
    pub(super) fn earlier(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::KilledBefore(at) => Self::KilledBefore(at / 2),
            Self::KilledAfter(at) => Self::KilledAfter(at / 2),
            Self::Refused(at, status) => Self::Refused(at / 2, status),
            Self::DoneAndDenied(at) => Self::DoneAndDenied(at / 2),
            Self::Stale(at) => Self::Stale(at / 2),
            Self::Missed(at) => Self::Missed(at / 2),
            Self::Paused(at) => Self::Paused(at / 2),
        }
    }
}

/// A connection that counts what goes over it.
#[derive(Clone)]
pub(super) struct Wire {
    inner: Client,
    disturbance: Disturbance,
    state: Arc<Mutex<State>>,
    struck: Arc<Notify>,
    free: Arc<Notify>,
}

#[derive(Default)]
struct State {
    writes: Vec<String>,
    reads: usize,
    events: usize,
    /// The last two different answers to each question.
    answers: HashMap<String, [Option<Bytes>; 2]>,
    refused: Vec<String>,
    is_struck: bool,
    is_free: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, Failure>>;

impl Wire {
    pub(super) fn new(inner: Client, disturbance: Disturbance) -> Self {
        Self {
            inner,
            disturbance,
            state: Arc::default(),
            struck: Arc::default(),
            free: Arc::default(),
        }
    }

    /// A client over this connection.
    pub(super) fn client(&self, namespace: &str) -> Client {
        let wire = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let wire = wire.clone();
            async move { wire.carry(request).await }
        });
        Client::new(service, namespace)
    }

    /// The writes so far: method and path.
    pub(super) fn writes(&self) -> Vec<String> {
        self.state().writes.clone()
    }

    /// What was said of each request for which a right was missing.
    pub(super) fn refused(&self) -> Vec<String> {
        self.state().refused.clone()
    }

    /// How many reads and events there were.
    pub(super) fn reads_and_events(&self) -> (usize, usize) {
        let state = self.state();
        (state.reads, state.events)
    }

    /// Whether what was to go wrong has.
    pub(super) fn is_struck(&self) -> bool {
        self.state().is_struck
    }

    /// Returns once the operator is to be taken for dead, or stands still.
    pub(super) async fn strike(&self) {
        self.struck.notified().await;
    }

    /// Ends a pause.
    pub(super) fn let_go(&self) {
        self.state().is_free = true;
        self.free.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(&self, request: Request<Body>) -> Result<Answer, Failure> {
        self.stand_still().await;
        let is_watch = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("watch=true"));
        let answer = match *request.method() {
            Method::GET if is_watch => self.watch(request).await,
            Method::GET => self.read(request).await,
            _ => self.write(request).await,
        }?;
        if answer.status() != StatusCode::FORBIDDEN {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let said = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let message = said["message"].as_str().unwrap_or_default().to_owned();
        self.state().refused.push(message);
        Ok(Response::from_parts(head, whole(body)))
    }

    /// Whoever is paused does nothing at all: it does not renew its Lease either.
    async fn stand_still(&self) {
        loop {
            let freed = self.free.notified();
            {
                let state = self.state();
                let is_pause = matches!(self.disturbance, Disturbance::Paused(_));
                if !is_pause || !state.is_struck || state.is_free {
                    return;
                }
            }
            freed.await;
        }
    }

    async fn write(&self, request: Request<Body>) -> Result<Answer, Failure> {
        // Leases are not of the run: how often they are renewed is a matter of time.
        if request.uri().path().contains("/leases") {
            return self.pass(request).await;
        }
        let number = {
            let mut state = self.state();
            let what = format!("{} {}", request.method(), request.uri().path());
            state.writes.push(what);
            state.writes.len() - 1
        };
        match self.disturbance {
            Disturbance::KilledBefore(at) if at == number => self.die().await,
            Disturbance::KilledAfter(at) if at == number => {
                self.inner.send(request).await?;
                self.die().await
            }
            Disturbance::Refused(at, status) if at == number => {
                self.strike_now();
                Ok(refusal(status))
            }
            Disturbance::DoneAndDenied(at) if at == number => {
                self.inner.send(request).await?;
                self.strike_now();
                Ok(refusal(500))
            }
            Disturbance::Paused(at) if at == number => {
                self.strike_now();
                self.stand_still().await;
                self.pass(request).await
            }
            _ => self.pass(request).await,
        }
    }

    async fn pass(&self, request: Request<Body>) -> Result<Answer, Failure> {
        let answer = self.inner.send(request).await?;
        Ok(answer.map(|body| body.map_err(Failure::from).boxed_unsync()))
    }

    fn strike_now(&self) {
        self.state().is_struck = true;
        self.struck.notify_one();
    }

    /// Whoever is dead waits for no answer.
    async fn die(&self) -> ! {
        self.strike_now();
        std::future::pending().await
    }

    async fn read(&self, request: Request<Body>) -> Result<Answer, Failure> {
        let path = request.uri().to_string();
        let (head, body) = self.inner.send(request).await?.into_parts();
        let now = body.collect().await?.to_bytes();
        let mut state = self.state();
        let number = state.reads;
        state.reads += 1;
        let [last, before] = state.answers.entry(path).or_default();
        if last.as_ref() != Some(&now) {
            *before = last.replace(now.clone());
        }
        let older = before.clone();
        let shown = match (self.disturbance, older) {
            (Disturbance::Stale(at), Some(older))
                if number >= at && !state.is_struck && head.status == StatusCode::OK =>
            {
                state.is_struck = true;
                older
            }
            _ => now,
        };
        Ok(Response::from_parts(head, whole(shown)))
    }

    async fn watch(&self, request: Request<Body>) -> Result<Answer, Failure> {
        let answer = self.inner.send(request).await?;
        if !answer.status().is_success() {
            return Ok(answer.map(|body| body.map_err(Failure::from).boxed_unsync()));
        }
        let (head, body) = answer.into_parts();
        let wire = self.clone();
        let mut part = Vec::new();
        let lines = body.into_data_stream().map_ok(move |chunk| {
            part.extend_from_slice(&chunk);
            let end = part.iter().rposition(|&byte| byte == b'\n');
            let lines: Vec<u8> = part.drain(..end.map_or(0, |end| end + 1)).collect();
            let passed = lines
                .split_inclusive(|&byte| byte == b'\n')
                .filter(|_| wire.passes())
                .collect::<Vec<_>>()
                .concat();
            Frame::data(Bytes::from(passed))
        });
        let body = StreamBody::new(lines.map_err(Failure::from));
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }

    /// Whether the next event gets through.
    fn passes(&self) -> bool {
        let mut state = self.state();
        let number = state.events;
        state.events += 1;
        let is_missed = self.disturbance == Disturbance::Missed(number);
        state.is_struck |= is_missed;
        !is_missed
    }
}

fn whole(bytes: Bytes) -> UnsyncBoxBody<Bytes, Failure> {
    Full::new(bytes).map_err(Failure::from).boxed_unsync()
}

/// An answer in the API server's form.
fn refusal(code: u16) -> Answer {
    let (reason, message) = match code {
        409 => (
            "Conflict",
            "the object has been modified; please apply your changes to the latest version",
        ),
        429 => (
            "TooManyRequests",
            "too many requests, please try again later",
        ),
        _ => ("InternalError", "etcdserver: request timed out"),
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    let mut response = Response::new(whole(status.to_string().into()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
    response
}
