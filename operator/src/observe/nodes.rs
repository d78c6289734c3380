//! Reads nodes and who is on them. Both are extras: without the right,
//! or where a read fails, the run goes on without.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bakeoff_crds::run::status::NodeFacts;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, api::ListParams};
use tokio::{sync::Mutex, time::Instant};

use crate::{node_facts, observed::NodeState, room::Listed, slim};

/// How long a list of a node's pods is good for. Tenants come and go more slowly, and a list of a
/// whole node is large.
const LIST_AGE: Duration = Duration::from_secs(60);

/// How long a list of nodes is good for, for all runs together: many that begin at once would each
/// list them all.
const NODES_AGE: Duration = Duration::from_secs(10);

/// Most nodes that are looked at beforehand: of more, some will fit.
const MOST_NODES: u32 = 500;

/// What the operator may read of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRights {
    /// The nodes of the run's pods, to see which is lost.
    pub nodes: bool,
    /// The pods of all namespaces on an engine's node.
    pub neighbours: bool,
}

/// Reads nodes.
#[derive(Clone)]
pub struct NodeReader {
    client: Client,
    rights: Arc<Rights>,
    listed: Arc<Mutex<BTreeMap<String, PodsOfNode>>>,
    /// By label selector.
    selected: Arc<Mutex<BTreeMap<String, Selected>>>,
}

/// The pods of a node, and when they were listed.
struct PodsOfNode {
    at: Instant,
    pods: Arc<Vec<Pod>>,
}

/// Nodes, and when they were listed.
struct Selected {
    at: Instant,
    listed: Arc<Listed>,
}

/// What is tried; a refusal ends it until the operator starts again.
struct Rights {
    nodes: AtomicBool,
    list: AtomicBool,
    neighbours: AtomicBool,
}

impl NodeReader {
    /// A reader that asks for no more than it may.
    pub fn new(client: Client, rights: NodeRights) -> Self {
        Self {
            client,
            rights: Arc::new(Rights {
                nodes: rights.nodes.into(),
                list: rights.nodes.into(),
                neighbours: rights.neighbours.into(),
            }),
            listed: Arc::default(),
            selected: Arc::default(),
        }
    }

    /// The state of a node and what it is; `None` where it cannot be read. `resource` is the name of
    /// the run's accelerators.
    pub async fn look(&self, name: &str, resource: &str) -> Option<(NodeState, Option<NodeFacts>)> {
        if !self.rights.nodes.load(Ordering::Relaxed) {
            return None;
        }
        match Api::<Node>::all(self.client.clone()).get_opt(name).await {
            Ok(None) => Some((NodeState::Missing, None)),
            Ok(Some(node)) => Some((state_of(&node), Some(node_facts::of(&node, resource)))),
            Err(error) => {
                give_up(
                    &self.rights.nodes,
                    &error,
                    "nodes cannot be read; a lost node shows only by its pods",
                );
                None
            }
        }
    }

    /// The nodes with these labels, the first few hundred, as they were seconds ago; `None` where they
    /// cannot be listed.
    pub async fn with_labels(&self, labels: &BTreeMap<String, String>) -> Option<Arc<Listed>> {
        if !self.rights.list.load(Ordering::Relaxed) {
            return None;
        }
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let labels = labels.join(",");
        // Held while they are listed: who else wants them waits for the answer.
        let mut selected = self.selected.lock().await;
        selected.retain(|_, known| known.at.elapsed() < NODES_AGE);
        if let Some(known) = selected.get(&labels) {
            return Some(Arc::clone(&known.listed));
        }
        let wanted = ListParams::default().labels(&labels).limit(MOST_NODES);
        match Api::<Node>::all(self.client.clone()).list(&wanted).await {
            Ok(list) => {
                let listed = Arc::new(Listed {
                    is_whole: list.metadata.continue_.is_none_or(|more| more.is_empty()),
                    nodes: list.items.into_iter().map(slim::node).collect(),
                });
                let known = Selected {
                    at: Instant::now(),
                    listed: Arc::clone(&listed),
                };
                selected.insert(labels, known);
                Some(listed)
            }
            Err(error) => {
                give_up(
                    &self.rights.list,
                    &error,
                    "nodes cannot be listed; whether one would take the engines shows when they are made",
                );
                None
            }
        }
    }

    /// All pods on a node that have not ended; `None` where they cannot be listed.
    pub async fn pods(&self, node: &str) -> Option<Arc<Vec<Pod>>> {
        if !self.rights.neighbours.load(Ordering::Relaxed) {
            return None;
        }
        let mut listed = self.listed.lock().await;
        listed.retain(|_, known| known.at.elapsed() < LIST_AGE);
        if let Some(known) = listed.get(node) {
            return Some(Arc::clone(&known.pods));
        }
        // From the API server's own cache, which has an index by node: it need not be the newest.
        let on_node = ListParams::default().match_any().fields(&format!(
            "spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"
        ));
        match Api::<Pod>::all(self.client.clone()).list(&on_node).await {
            Ok(list) => {
                let pods = Arc::new(list.items.into_iter().map(slim::tenant).collect::<Vec<_>>());
                let known = PodsOfNode {
                    at: Instant::now(),
                    pods: Arc::clone(&pods),
                };
                listed.insert(node.to_owned(), known);
                Some(pods)
            }
            Err(error) => {
                give_up(
                    &self.rights.neighbours,
                    &error,
                    "pods on a node cannot be listed; reports will not say who shared it",
                );
                None
            }
        }
    }
}

fn state_of(node: &Node) -> NodeState {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let is_ready = conditions
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    if is_ready {
        NodeState::Ready
    } else {
        NodeState::NotReady
    }
}

/// A refusal will not change by asking again; anything else may.
pub(super) fn give_up(right: &AtomicBool, error: &kube::Error, consequence: &str) {
    if matches!(error, kube::Error::Api(status) if status.code == 403) {
        right.store(false, Ordering::Relaxed);
        tracing::info!(%error, "{consequence}");
    } else {
        tracing::warn!(%error, "{consequence}, this time");
    }
}
