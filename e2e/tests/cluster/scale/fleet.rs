//! The nodes and namespaces that the runs are in.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_e2e::harness::{Namespace, await_condition};
use bakeoff_e2e::kubectl::Kubectl;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{self, Node, ServiceAccount};
use kube::Client;
use kube::api::{Api, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Size;
use super::kwok::ANNOTATION;

/// Label of everything that is made here, by which it is taken away.
pub(super) const LABEL: &str = "bakeoff.dev/scale";
const SELECTOR: &str = "--selector=bakeoff.dev/scale=yes";
/// Requests at once.
const AT_ONCE: usize = 8;
/// Images that a node says it has: as many as the node of a busy pool, which makes lists of nodes large.
const IMAGES: usize = 30;
const LIMIT: Duration = Duration::from_secs(180);

pub(super) struct Fleet {
    client: Client,
    kubectl: Kubectl,
}

impl Fleet {
    pub(super) fn of(namespace: &Namespace) -> Self {
        Self {
            client: namespace.client.clone(),
            kubectl: namespace.kubectl.clone(),
        }
    }

    /// Makes nodes and namespaces, and returns once pods can be made there.
    pub(super) async fn make(&self, size: Size) -> Result<()> {
        let nodes = (0..size.nodes).map(node);
        self.create::<Node>(nodes).await.context("making nodes")?;
        let namespaces = (0..size.namespaces).map(|number| {
            json!({ "metadata": { "name": namespace(number), "labels": { LABEL: "yes" } } })
        });
        self.create::<v1::Namespace>(namespaces)
            .await
            .context("making namespaces")?;
        for number in 0..size.namespaces {
            let accounts =
                Api::<ServiceAccount>::namespaced(self.client.clone(), &namespace(number));
            let exists = |account: Option<&ServiceAccount>| account.is_some();
            await_condition(accounts, "default", "the account exists", LIMIT, exists).await?;
        }
        let ready = [
            "wait",
            "nodes",
            SELECTOR,
            "--for=condition=Ready",
            "--timeout=180s",
        ];
        self.kubectl
            .output(&ready)
            .context("nodes that are ready")?;
        Ok(())
    }

    async fn create<K>(&self, objects: impl Iterator<Item = Value>) -> Result<()>
    where
        K: kube::Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + serde::Serialize,
    {
        let api = Api::<K>::all(self.client.clone());
        stream::iter(objects)
            .map(async |object| {
                api.create(&PostParams::default(), &serde_json::from_value(object)?)
                    .await?;
                anyhow::Ok(())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await
    }

    /// Takes all of it away, and waits until it is gone.
    pub(super) fn remove(&self) -> Result<()> {
        for kind in ["namespaces", "nodes"] {
            let delete = [
                "delete",
                kind,
                SELECTOR,
                "--ignore-not-found",
                "--timeout=15m",
            ];
            self.kubectl.output(&delete)?;
            let left = self
                .kubectl
                .output(&["get", kind, SELECTOR, "--output=name"])?;
            ensure!(left.trim().is_empty(), "left: {left}");
        }
        Ok(())
    }
}

/// Name of a namespace.
pub(super) fn namespace(number: usize) -> String {
    format!("bakeoff-e2e-scale-{number}")
}

/// A node with one accelerator, where nothing goes that does not ask for it.
fn node(number: usize) -> Value {
    let name = format!("bakeoff-scale-{number}");
    let room = json!({ "cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "1" });
    let images: Vec<Value> = (0..IMAGES)
        .map(|image| {
            let name = format!("europe-west4-docker.pkg.dev/some-project/some-repository/image-{image}");
            let digest = "ab".repeat(32);
            json!({ "names": [format!("{name}@sha256:{digest}"), format!("{name}:v1")], "sizeBytes": 1 << 30 })
        })
        .collect();
    json!({
        "metadata": {
            "name": name,
            "annotations": { ANNOTATION.0: ANNOTATION.1 },
            "labels": {
                LABEL: "yes",
                "kubernetes.io/hostname": name,
                "cloud.google.com/gke-accelerator": "nvidia-l4",
                "node.kubernetes.io/instance-type": "g2-standard-16",
            },
        },
        "spec": { "taints": [{ "key": LABEL, "effect": "NoSchedule" }] },
        "status": { "capacity": room, "allocatable": room, "images": images },
    })
}
