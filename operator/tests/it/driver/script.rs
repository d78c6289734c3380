//! An API server that goes by a script: these calls in this order, and these answers.

use std::time::Duration;

use axum::http::{Request, Response};
use bakeoff_crds::plan::{Place, PlanSettings};
use bakeoff_operator::{
    apply::Writer,
    lease::Leadership,
    observe::{
        Observer,
        nodes::{NodeReader, NodeRights},
    },
    progress::ProgressReader,
    reconcile::{Context, reconcile},
};
use kube::{Client, client::Body, runtime::controller::Action};
use serde_json::{Value, json};
use tower_test::mock;

use crate::world;

/// One call that must come, and its answer.
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub status: u16,
    pub answer: Value,
}

pub fn call(method: &'static str, path: &str, answer: Value) -> Call {
    Call {
        method,
        path: path.to_owned(),
        status: 200,
        answer,
    }
}

pub fn failing(method: &'static str, path: &str, status: u16, reason: &str, message: &str) -> Call {
    Call {
        status,
        answer: json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": status, "reason": reason, "message": message, "metadata": {},
        }),
        ..call(method, path, Value::Null)
    }
}

pub fn not_found(path: &str) -> Call {
    failing("GET", path, 404, "NotFound", "not found")
}

pub fn empty(path: &str) -> Call {
    call("GET", path, json!({ "metadata": {}, "items": [] }))
}

/// Reconciles once against the script; gives the result and the bodies of all calls. Fails when a
/// call is missing, extra or out of order.
pub async fn against(script: Vec<Call>) -> (Result<Action, String>, Vec<Value>) {
    let rights = NodeRights {
        nodes: true,
        neighbours: true,
    };
    against_with(script, rights, Leadership::always()).await
}

pub async fn against_with(
    script: Vec<Call>,
    rights: NodeRights,
    leadership: Leadership,
) -> (Result<Action, String>, Vec<Value>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for expected in script {
            let (request, answer) = handle
                .next_request()
                .await
                .unwrap_or_else(|| panic!("never called: {} {}", expected.method, expected.path));
            // The query counts where the script has one.
            let uri = request.uri();
            let path = match expected.path.contains('?') {
                true => uri.to_string(),
                false => uri.path().to_owned(),
            };
            let seen = format!("{} {path}", request.method());
            assert_eq!(seen, format!("{} {}", expected.method, expected.path));
            let body = request.into_body().collect_bytes().await.unwrap();
            bodies.push(serde_json::from_slice(&body).unwrap_or(Value::Null));
            let response = Response::builder()
                .status(expected.status)
                .body(Body::from(serde_json::to_vec(&expected.answer).unwrap()));
            answer.send_response(response.unwrap());
        }
        let extra = handle.next_request().await;
        if let Some((request, _)) = extra {
            panic!("not expected: {} {}", request.method(), request.uri());
        }
        bodies
    });
    let client = Client::new(service, "default");
    let context = Context::new(
        Observer::new(
            client.clone(),
            ProgressReader::new().unwrap(),
            NodeReader::new(client.clone(), rights),
        ),
        Writer::new(client, None, leadership),
        PlanSettings {
            runner_image: "registry.test/bakeoff:1".into(),
            place: Place::Cluster,
        },
    );
    let result = reconcile(&context, "bench", "duel", world::start())
        .await
        .map_err(|error| error.to_string());
    // The last handle on the client goes, and with it the server's stream of calls ends.
    drop(context);
    let bodies = tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .expect("a call is missing")
        .unwrap();
    (result, bodies)
}
