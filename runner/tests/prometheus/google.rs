//! Google Managed Prometheus: a real Prometheus behind a server that asks for a token, and a metadata
//! server that gives one.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bakeoff_crds::run::ExtraQuery;
use bakeoff_runner::{
    scrape::{Metadata, Prometheus, google::METADATA_HOST, resources},
    store::Environment,
};
use serde_json::json;

use super::{INTERVAL, all, exporter, is_the_gpu, pod, server::Server, window};

/// Google's side: tokens that were given, the one that counts, and the Prometheus behind.
#[derive(Default)]
struct Google {
    given: AtomicU64,
    counts: Mutex<String>,
    refused: AtomicU64,
    prometheus: String,
}

type Shared = Arc<Google>;

async fn token(State(google): State<Shared>, headers: HeaderMap) -> Response {
    if headers
        .get("metadata-flavor")
        .is_none_or(|flavor| flavor != "Google")
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    let number = google.given.fetch_add(1, Ordering::SeqCst) + 1;
    let token = format!("ya29.token-{number}");
    google.counts.lock().unwrap().clone_from(&token);
    Json(json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"})).into_response()
}

async fn query(
    State(google): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let expected = format!("Bearer {}", google.counts.lock().unwrap());
    if headers
        .get("authorization")
        .is_none_or(|found| *found != expected)
    {
        google.refused.fetch_add(1, Ordering::SeqCst);
        let error = json!({"error": {"code": 401, "status": "UNAUTHENTICATED"}});
        return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
    }
    let url = format!(
        "{}/api/v1/query?{}",
        google.prometheus,
        query.unwrap_or_default()
    );
    let request = reqwest::Client::new().post(url).body(body);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.send().await.unwrap();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap();
    (status, answer.bytes().await.unwrap()).into_response()
}

async fn start(prometheus: &str) -> (SocketAddr, Shared) {
    let google = Arc::new(Google {
        prometheus: prometheus.to_owned(),
        ..Google::default()
    });
    let api = "/v1/projects/my-project/location/global/prometheus/api/v1/query";
    let app = Router::new()
        .route(
            "/computeMetadata/v1/instance/service-accounts/default/token",
            get(token),
        )
        .route(api, post(query).get(query))
        .with_state(Arc::clone(&google));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, google)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_is_asked_with_a_token_that_is_kept_and_renewed() {
    let Some(server) = Server::start(INTERVAL, &exporter::start().await.jobs()).await else {
        return;
    };
    let (address, google) = start(&server.url).await;
    let host = address.to_string();
    let environment = Environment::from([(METADATA_HOST, host.as_str())]);
    let metadata = Metadata::new(&environment).unwrap();
    let url = format!("http://{address}/v1/projects/my-project/location/global/prometheus");
    let extra = [ExtraQuery {
        name: "up".into(),
        query: "min(min_over_time(up[$window]))".into(),
    }];
    let prometheus = Prometheus::google(Some(&url), metadata, INTERVAL, &extra)
        .await
        .unwrap();
    let prometheus = prometheus.asked_after(Duration::ZERO);
    let window = window(&server).await;

    is_the_gpu(&resources(&prometheus, &all(), &pod(exporter::HONOURED), window).await);
    let found = prometheus
        .window(None, &pod(exporter::HONOURED), window)
        .await;
    assert_eq!(found["up"].prometheus.as_ref().unwrap().mean, Some(1.0));
    assert_eq!(
        google.given.load(Ordering::SeqCst),
        1,
        "one token for all queries"
    );
    assert_eq!(google.refused.load(Ordering::SeqCst), 0);

    // Revoked: the query that is refused is asked again with a new one.
    "another".clone_into(&mut google.counts.lock().unwrap());
    let found = prometheus
        .window(None, &pod(exporter::HONOURED), window)
        .await;
    assert_eq!(found["up"].prometheus.as_ref().unwrap().mean, Some(1.0));
    assert_eq!(google.given.load(Ordering::SeqCst), 2);
    assert_eq!(google.refused.load(Ordering::SeqCst), 1);

    // Without a token there is a reason, which names the remedy and no token.
    let open = Prometheus::new(&url, INTERVAL, &extra).unwrap();
    let found = open.window(None, &pod(exporter::HONOURED), window).await;
    let reason = found["up"].absent.clone().unwrap();
    assert!(reason.starts_with("QueryForbidden: HTTP 401"), "{reason}");
    assert!(reason.contains("roles/monitoring.viewer"), "{reason}");
}
