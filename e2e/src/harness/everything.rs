//! All that is ever written in a namespace while somebody looks: objects of every kind but Secrets,
//! at each of their states, and the logs of all containers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use futures::{AsyncReadExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, LogParams};
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinSet;

use super::Namespace;

/// A place, such as `Pod engine-1` or `log engine-1/server`, and what was written there.
pub type Written = (String, Vec<u8>);

/// What was written until now.
#[derive(Debug)]
pub struct Everything {
    written: Arc<Mutex<Vec<Written>>>,
    // Ends with this.
    _followers: JoinSet<()>,
}

impl Everything {
    /// Begins to look.
    ///
    /// # Errors
    /// Where the API server does not say which kinds of objects it has.
    pub async fn follow(namespace: &Namespace) -> Result<Self> {
        let client = &namespace.client;
        let written = Arc::default();
        let mut followers = JoinSet::new();
        let discovery = Discovery::new(client.clone()).run().await?;
        for (kind, can) in discovery
            .groups()
            .flat_map(|group| group.recommended_resources())
        {
            let is_followed = can.scope == Scope::Namespaced
                && can.supports_operation(verbs::WATCH)
                && kind.kind != "Secret";
            if is_followed {
                let api = Api::namespaced_with(client.clone(), &namespace.name, &kind);
                followers.spawn(objects(api, kind.kind, Arc::clone(&written)));
            }
        }
        followers.spawn(logs(
            client.clone(),
            namespace.name.clone(),
            Arc::clone(&written),
        ));
        Ok(Self {
            written,
            _followers: followers,
        })
    }

    /// What was written until now.
    #[must_use]
    pub fn written(&self) -> Vec<Written> {
        let written = self.written.lock();
        written.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Shared = Arc<Mutex<Vec<Written>>>;

fn keep(written: &Shared, place: String, text: Vec<u8>) {
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
    written.push((place, text));
}

async fn objects(api: Api<DynamicObject>, kind: String, written: Shared) {
    let events = watcher(api, watcher::Config::default());
    let mut objects = events.default_backoff().touched_objects().boxed();
    while let Some(object) = objects.next().await {
        let Ok(object) = object else { continue };
        let place = format!("{kind} {}", object.name_any());
        keep(
            &written,
            place,
            serde_json::to_vec(&object).unwrap_or_default(),
        );
    }
}

async fn logs(client: Client, namespace: String, written: Shared) {
    let pods = Api::<Pod>::namespaced(client, &namespace);
    let events = watcher(pods.clone(), watcher::Config::default());
    let mut touched = events.default_backoff().applied_objects().boxed();
    let mut followed = BTreeSet::new();
    let mut followers = JoinSet::new();
    while let Some(pod) = touched.next().await {
        let Ok(pod) = pod else { continue };
        let status = pod.status.clone().unwrap_or_default();
        let of_init = status.init_container_statuses.unwrap_or_default();
        for container in of_init
            .into_iter()
            .chain(status.container_statuses.unwrap_or_default())
        {
            let Some(id) = container.container_id else {
                continue;
            };
            if followed.insert(id) {
                let (pods, pod) = (pods.clone(), pod.name_any());
                followers.spawn(log(pods, pod, container.name, Arc::clone(&written)));
            }
        }
    }
}

async fn log(pods: Api<Pod>, pod: String, container: String, written: Shared) {
    let parameters = LogParams {
        container: Some(container.clone()),
        follow: true,
        ..LogParams::default()
    };
    let Ok(log) = pods.log_stream(&pod, &parameters).await else {
        return;
    };
    let mut log = std::pin::pin!(log);
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = log.read(&mut part).await {
        let text = part.get(..length).unwrap_or_default().to_vec();
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        // One text for one log, so that nothing is cut in two.
        let place = format!("log {pod}/{container}");
        match written.iter_mut().find(|(other, _)| *other == place) {
            Some((_, log)) => log.extend(text),
            None => written.push((place, text)),
        }
    }
}
