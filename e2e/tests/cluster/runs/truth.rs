//! What simulated engines say that they truly sent, followed on their pods' logs from the start,
//! because a log goes with its pod.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bakeoff_crds::manifests::labels;
use bakeoff_e2e::harness::Namespace;
use futures::{AsyncBufReadExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde::Deserialize;
use tokio::task::JoinSet;

/// One request as a simulator saw it. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) received_at: u64,
    pub(super) first_token_at: Option<u64>,
    pub(super) output_tokens: u32,
    pub(super) frames: Vec<u64>,
}

/// The requests of each engine's pod, by engine and round.
pub(super) type Requests = BTreeMap<(String, u32), Vec<Request>>;

/// Follows every engine's pod of a namespace.
#[derive(Debug)]
pub(super) struct Truth {
    requests: Arc<Mutex<Requests>>,
    followers: JoinSet<()>,
}

impl Truth {
    /// Begins to follow. Call it before the run is applied.
    pub(super) fn follow(namespace: &Namespace) -> Self {
        let requests = Arc::new(Mutex::new(Requests::new()));
        let mut followers = JoinSet::new();
        followers.spawn(follow_all(namespace.api::<Pod>(), Arc::clone(&requests)));
        Self {
            requests,
            followers,
        }
    }

    /// What was seen; call it when the pods have gone.
    pub(super) fn into_requests(mut self) -> Requests {
        self.followers.abort_all();
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn follow_all(pods: Api<Pod>, requests: Arc<Mutex<Requests>>) {
    let engines = format!("{}={}", labels::COMPONENT, labels::COMPONENT_ENGINE);
    let events = watcher(pods.clone(), watcher::Config::default().labels(&engines));
    let mut running = events.default_backoff().applied_objects().boxed();
    let mut followed = BTreeMap::new();
    let mut tasks = JoinSet::new();
    while let Some(event) = running.next().await {
        let Ok(pod) = event else { continue };
        let is_running = pod
            .status
            .as_ref()
            .is_some_and(|status| status.phase.as_deref() == Some("Running"));
        if is_running && followed.insert(pod.uid(), ()).is_none() {
            tasks.spawn(follow_one(pods.clone(), pod, Arc::clone(&requests)));
        }
    }
}

async fn follow_one(pods: Api<Pod>, pod: Pod, requests: Arc<Mutex<Requests>>) {
    let label = |name: &str| pod.labels().get(name).cloned().unwrap_or_default();
    let key = (
        label(labels::ENGINE),
        label(labels::ROUND).parse().unwrap_or_default(),
    );
    let parameters = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let Ok(log) = pods.log_stream(&pod.name_any(), &parameters).await else {
        return;
    };
    let mut lines = log.lines();
    while let Ok(Some(line)) = lines.try_next().await {
        // A real engine's log is not ours, and is passed over.
        if let Ok(request) = serde_json::from_str::<Request>(&line) {
            let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.entry(key.clone()).or_default().push(request);
        }
    }
}

/// Requests that came within a window, in seconds since the Unix epoch. A little is given on both
/// sides, for the way between client and engine.
pub(super) fn within(requests: &[Request], start: f64, end: f64) -> Vec<&Request> {
    let slack = 0.005;
    let seconds = |request: &Request| request.received_at as f64 / 1e9;
    requests
        .iter()
        .filter(|request| (start - slack..=end + slack).contains(&seconds(request)))
        .collect()
}

/// Checks that a file of lines could be read at all: a test on an empty log could not fail.
pub(super) fn count(requests: &Requests) -> Result<usize> {
    let count = requests.values().map(Vec::len).sum();
    anyhow::ensure!(count > 0, "the simulators' logs are empty");
    Ok(count)
}
