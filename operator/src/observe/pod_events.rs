//! Reads what events say of pods that do not start: of their volumes, of the node that they wait for,
//! and of those that a Job could not make. An extra: without the right, or where a read fails, such a pod shows only by its deadline.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use kube::{Api, Client, api::ListParams};

use super::nodes::give_up;
use crate::{admission, autoscaler, job, observed::Observed, pod, volumes};

/// What the events of one object say.
type Reading = fn(&[Event]) -> Option<String>;

/// Reads the events of pods.
#[derive(Clone)]
pub struct PodEventReader {
    client: Client,
    may_read: Arc<AtomicBool>,
}

impl PodEventReader {
    /// A reader that asks until it is refused.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            may_read: Arc::new(true.into()),
        }
    }

    /// What is said against the volumes of those pods that are slow to start, what the autoscaler
    /// says of those that wait for a node, and why a Job has no pod; by the UIDs of pods and Jobs.
    pub async fn troubles(
        &self,
        namespace: &str,
        observed: &Observed,
        now: Timestamp,
    ) -> BTreeMap<String, String> {
        let pods = observed.pods.iter().filter_map(|found| {
            let read: Reading = if autoscaler::is_due(found, now) {
                autoscaler::says
            } else if volumes::is_due(found, now) {
                volumes::trouble
            } else {
                return None;
            };
            Some((pod::uid(found), read))
        });
        let jobs = observed.jobs.iter().filter_map(|found| {
            let name = found.metadata.name.as_deref()?;
            let has_pods = observed.pods_of_job(name).next().is_some();
            let is_due = job::is_unfinished(found) && admission::is_due(found, has_pods, now);
            let read: Reading = admission::says;
            is_due.then_some((found.metadata.uid.as_deref()?, read))
        });
        let mut troubles = BTreeMap::new();
        for (uid, read) in pods.chain(jobs) {
            if !self.may_read.load(Ordering::Relaxed) {
                break;
            }
            if let Some(says) = self.of(namespace, uid).await.as_deref().and_then(read) {
                troubles.insert(uid.to_owned(), says);
            }
        }
        troubles
    }

    async fn of(&self, namespace: &str, uid: &str) -> Option<Vec<Event>> {
        let events = Api::<Event>::namespaced(self.client.clone(), namespace);
        let of_object = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
        match events.list(&of_object).await {
            Ok(list) => Some(list.items),
            Err(error) => {
                give_up(
                    &self.may_read,
                    &error,
                    "events cannot be read; a volume that cannot be mounted, a pool that cannot grow, and a quota that leaves a Job no room show only by a deadline",
                );
                None
            }
        }
    }
}
