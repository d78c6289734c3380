//! The operator's connection to the API server, on which every request is counted.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::Response;
use bakeoff_e2e::harness::Namespace;
use bakeoff_operator::idle::SOON;
use http_body_util::BodyExt as _;
use kube::Client;
use tokio::task::JoinHandle;

use crate::install::SYSTEM;

/// How long nothing is asked before all counts as done: longer than until the look that follows each
/// change.
const QUIET: Duration = SOON.saturating_add(Duration::from_secs(2));
const LOOK: Duration = Duration::from_millis(100);

/// How often each thing was asked: verb and resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(BTreeMap<String, u64>);

/// Ends with this.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    calls: Arc<Mutex<Calls>>,
    server: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Proxy {
    /// A proxy whose requests are made with the rights of the operator that is installed.
    pub(super) async fn start(namespace: &Namespace) -> Result<Self> {
        let system = ["--namespace", SYSTEM];
        let account = ["get", "deployment", "bakeoff", "--output"];
        let account = [
            &account[..],
            &["jsonpath={.spec.template.spec.serviceAccountName}"],
        ];
        let account = namespace
            .kubectl
            .output(&[&system[..], &account.concat()].concat())?;
        let token = ["create", "token", &account, "--duration=2h"];
        let token = namespace
            .kubectl
            .output(&[&system[..], &token].concat())
            .context("a token of the operator's")?;
        let client = namespace.client_with(token.trim().to_owned()).await?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let calls = Arc::<Mutex<Calls>>::default();
        let router = Router::new()
            .fallback(carry)
            .with_state((client, Arc::clone(&calls)));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the proxy ended");
            }
        });
        Ok(Self {
            address,
            calls,
            server,
        })
    }

    /// What was asked until now.
    pub(super) fn calls(&self) -> Calls {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }

    /// Returns once nothing but the Lease has been asked for, for a while; or after `limit`.
    pub(super) async fn until_quiet(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let (mut last, mut since) = (self.calls().of_the_runs(), Instant::now());
        while since.elapsed() < QUIET && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            let now = self.calls().of_the_runs();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }
}

async fn carry(
    State((client, calls)): State<(Client, Arc<Mutex<Calls>>)>,
    request: Request,
) -> Response {
    let call = call(request.method(), request.uri());
    {
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.0.entry(call).or_default() += 1;
    }
    let answer = async {
        let (mut head, body) = request.into_parts();
        // The API server's own is set on the way.
        head.headers.remove(header::HOST);
        let body = body.collect().await?.to_bytes();
        let request = Request::from_parts(head, kube::client::Body::from(body));
        anyhow::Ok(client.send(request).await?)
    };
    match answer.await {
        Ok(answer) => answer.map(Body::new),
        Err(error) => {
            tracing::warn!("{error:#}");
            let mut response = Response::new(Body::from(format!("{error:#}")));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

/// Verb and resource, as rights have them.
fn call(method: &Method, uri: &Uri) -> String {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let group = match parts.next() {
        Some("api") => parts.next().map(|_| String::new()),
        Some("apis") => parts
            .next()
            .filter(|_| parts.next().is_some())
            .map(|group| format!(".{group}")),
        _ => None,
    };
    let mut rest: Vec<&str> = parts.collect();
    if rest.len() > 2 && rest.first() == Some(&"namespaces") {
        rest.drain(..2);
    }
    let (Some(group), [resource, name @ ..]) = (group, rest.as_slice()) else {
        return format!("{method} {}", uri.path());
    };
    let is_watch = uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let verb = match (method.as_str(), name.is_empty()) {
        ("GET", _) if is_watch => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        (other, _) => other,
    };
    let part = name
        .get(1)
        .map(|part| format!("/{part}"))
        .unwrap_or_default();
    format!("{verb} {resource}{part}{group}")
}

impl Calls {
    /// What came on top of these.
    pub(super) fn since(mut self, before: &Self) -> Self {
        for (call, count) in &mut self.0 {
            *count -= before.0.get(call).copied().unwrap_or_default();
        }
        self.0.retain(|_, count| *count > 0);
        self
    }

    /// All but watches and the Lease.
    pub(super) fn of_the_runs(&self) -> u64 {
        self.count(|call| !is_watch(call) && !is_lease(call))
    }

    pub(super) fn watches(&self) -> u64 {
        self.count(is_watch)
    }

    pub(super) fn lease(&self) -> u64 {
        self.count(is_lease)
    }

    fn count(&self, which: impl Fn(&str) -> bool) -> u64 {
        let counted = self.0.iter().filter(|(call, _)| which(call));
        counted.map(|(_, count)| count).sum()
    }

    /// A line for each, the most frequent first.
    pub(super) fn table(&self, runs: usize) -> String {
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_by_key(|(call, count)| (std::cmp::Reverse(**count), *call));
        let mut table = String::new();
        for (call, count) in rows {
            let each = *count as f64 / runs as f64;
            let _ = writeln!(table, "{each:9.2} per run, {count:7} in all: {call}");
        }
        table
    }
}

fn is_watch(call: &str) -> bool {
    call.starts_with("watch ")
}

fn is_lease(call: &str) -> bool {
    call.contains(" leases.")
}

impl Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.0.iter();
        let calls: Vec<String> = calls
            .map(|(call, count)| format!("{count} {call}"))
            .collect();
        match calls.is_empty() {
            true => f.write_str("nothing is asked"),
            false => f.write_str(&calls.join(", ")),
        }
    }
}

#[test]
fn a_request_has_a_verb_and_a_resource() {
    for (method, uri, expected) in [
        ("GET", "/api/v1/pods?labelSelector=a", "list pods"),
        (
            "GET",
            "/api/v1/pods?watch=true&labelSelector=a",
            "watch pods",
        ),
        ("GET", "/api/v1/nodes/n", "get nodes"),
        ("GET", "/api/v1/namespaces/n/pods", "list pods"),
        ("DELETE", "/api/v1/namespaces/n/pods/p", "delete pods"),
        ("GET", "/api/v1/namespaces/n", "get namespaces"),
        (
            "PATCH",
            "/apis/bakeoff.dev/v1alpha1/namespaces/n/benchmarkruns/r/status?force=true",
            "patch benchmarkruns/status.bakeoff.dev",
        ),
        (
            "POST",
            "/apis/events.k8s.io/v1/namespaces/n/events",
            "create events.events.k8s.io",
        ),
        ("GET", "/apis/batch/v1", "GET /apis/batch/v1"),
        ("GET", "/apis", "GET /apis"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(call(&method, &uri.parse().unwrap()), expected);
    }
}
