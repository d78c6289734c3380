//! The pods and Jobs of a namespace, watched, so that one that was made twice is seen even where the
//! first is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use bakeoff_e2e::harness::Namespace;
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

/// UIDs by what an object is for: its kind and its name, or the Job that it is a pod of.
type Uids = BTreeMap<String, BTreeSet<String>>;

/// What was seen until now.
#[derive(Debug)]
pub(super) struct Objects {
    seen: Arc<Mutex<Uids>>,
    // Ends with this.
    _watchers: JoinSet<()>,
}

impl Objects {
    /// Begins to watch. Call it before the run is applied.
    pub(super) fn follow(namespace: &Namespace) -> Self {
        let seen = Arc::new(Mutex::new(Uids::new()));
        let mut watchers = JoinSet::new();
        watchers.spawn(follow::<Pod>(namespace.api(), "Pod", Arc::clone(&seen)));
        watchers.spawn(follow::<Job>(namespace.api(), "Job", Arc::clone(&seen)));
        Self {
            seen,
            _watchers: watchers,
        }
    }

    /// Fails where something was made twice, a Job's pod among it; or where too little was seen for
    /// that to mean anything.
    pub(super) fn each_was_made_once(&self, at_least: usize) -> Result<()> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(seen.len() >= at_least, "only {seen:?}");
        for (what, uids) in &*seen {
            ensure!(uids.len() == 1, "{what} was made {} times", uids.len());
        }
        Ok(())
    }
}

async fn follow<K>(api: Api<K>, kind: &'static str, seen: Arc<Mutex<Uids>>)
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher(api, watcher::Config::default());
    let mut objects = events.default_backoff().touched_objects().boxed();
    while let Some(object) = objects.next().await {
        let Ok(object) = object else { continue };
        let job = object.labels().get("batch.kubernetes.io/job-name");
        let what = match job {
            Some(job) if kind == "Pod" => format!("the pod of Job {job}"),
            _ => format!("{kind} {}", object.name_any()),
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(what).or_default().extend(object.uid());
    }
}
