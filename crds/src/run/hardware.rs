//! What every engine runs on.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Affinity, ResourceRequirements, Toleration},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::LocalRef;

/// Hardware of every engine's pod; no engine can differ.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// The accelerator that each engine gets to itself.
    #[serde(default)]
    pub accelerator: Accelerator,
    /// Nodes that each engine spans, each with `accelerator.count` accelerators. More than one takes
    /// profiles that can, such as `vllm-leader-worker-set`. Left out: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub nodes: Option<u32>,
    /// Labels that the node must have, such as `cloud.google.com/gke-accelerator: nvidia-l4`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods bear. `nvidia.com/gpu` is always borne.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Further rules on where the engines go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Whether the second engine and all after it must run on the first one's node.
    #[serde(default)]
    pub same_node: SameNode,
    /// Size of /dev/shm, which tensor parallelism needs. It counts against the memory limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory: Option<Quantity>,
    /// CPU and memory of the engine's container. The accelerator is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// RuntimeClass of the engines' pods, where the accelerator needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// Price of an hour of what one engine runs on: its node, all of its nodes where there are several,
    /// or its share where a node has more accelerators than it takes. In the currency of your choice,
    /// that of endpoints' prices; given in the report as cost per million tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub price_per_hour: Option<f64>,
    /// Secrets to pull the engines' images with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalRef>,
}

impl Hardware {
    /// Nodes that each engine spans.
    pub fn nodes(&self) -> u32 {
        self.nodes.unwrap_or(1)
    }
}

/// An extended resource and how many of it.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Accelerator {
    /// Name of the extended resource, such as `nvidia.com/gpu` or `google.com/tpu`.
    #[serde(default = "nvidia_gpu")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    )]
    pub resource: String,
    /// How many each engine gets; 0 runs the engines on the CPU.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 64))]
    pub count: u32,
}

impl Default for Accelerator {
    fn default() -> Self {
        Self {
            resource: nvidia_gpu(),
            count: one(),
        }
    }
}

/// Whether engines may run on different nodes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum SameNode {
    /// All run on the first engine's node, or wait for it.
    #[default]
    Required,
    /// The first engine's node where it has room, else another; the report names it.
    Preferred,
}

fn nvidia_gpu() -> String {
    "nvidia.com/gpu".into()
}

fn one() -> u32 {
    1
}
