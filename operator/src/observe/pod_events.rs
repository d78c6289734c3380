//! Reads what events say of pods that do not start: of their volumes, and of the node that they wait
//! for. An extra: without the right, or where a read fails, such a pod shows only by its deadline.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use k8s_openapi::{
    api::core::v1::{Event, Pod},
    jiff::Timestamp,
};
use kube::{Api, Client, api::ListParams};

use super::nodes::give_up;
use crate::{autoscaler, pod, volumes};

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

    /// What is said against the volumes of those pods that are slow to start, and what the autoscaler
    /// says of those that wait for a node, by the pods' UIDs.
    pub async fn troubles(
        &self,
        namespace: &str,
        pods: &[Pod],
        now: Timestamp,
    ) -> BTreeMap<String, String> {
        let events = Api::<Event>::namespaced(self.client.clone(), namespace);
        let mut troubles = BTreeMap::new();
        let is_due = |found: &&Pod| volumes::is_due(found, now) || autoscaler::is_due(found, now);
        for found in pods.iter().filter(is_due) {
            if !self.may_read.load(Ordering::Relaxed) {
                break;
            }
            let uid = pod::uid(found);
            let of_pod = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
            match events.list(&of_pod).await {
                Ok(list) => {
                    let says = match autoscaler::is_due(found, now) {
                        true => autoscaler::says(&list.items),
                        false => volumes::trouble(&list.items),
                    };
                    troubles.extend(says.map(|says| (uid.to_owned(), says)));
                }
                Err(error) => give_up(
                    &self.may_read,
                    &error,
                    "events cannot be read; a volume that cannot be mounted, and a pool that cannot grow, show only by the pod's deadline",
                ),
            }
        }
        troubles
    }
}
