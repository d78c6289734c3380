//! What became of a run. Written by the operator alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::start::StartStep;
use crate::summary::{PrefetchSummary, Summary};

/// Condition types of a run.
pub mod condition {
    /// The spec holds and its plan is stored.
    pub const ACCEPTED: &str = "Accepted";
    /// Secret, bucket, data set and tokenizer are as the run needs them.
    pub const PREFLIGHT_PASSED: &str = "PreflightPassed";
    /// The model is in the volume that all engines mount. There where `model.prefetch` asks for it.
    pub const MODEL_PREFETCHED: &str = "ModelPrefetched";
    /// Something is under way; the reason says what.
    pub const PROGRESSING: &str = "Progressing";
    /// Held back by `spec.suspend`.
    pub const SUSPENDED: &str = "Suspended";
    /// The end, with a report stored. Reasons: `Succeeded`, `PartialFailure`, `InvalidResult`.
    pub const COMPLETE: &str = "Complete";
    /// The end, without a report.
    pub const FAILED: &str = "Failed";
}

/// What became of the run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BenchmarkRunStatus {
    /// Generation of the spec that this status tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the run is, for people; programs read the conditions.
    #[serde(default)]
    pub phase: RunPhase,
    /// Conditions: Accepted, PreflightPassed, ModelPrefetched, Progressing, Suspended, Complete, Failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// When the operator took the run up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The engine whose turn it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_engine: Option<String>,
    /// Such as `engine 2/3, stage 4/6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Verdict on the whole result, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictStatus>,
    /// Address of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_uri: Option<String>,
    /// ConfigMap with the plan, as it was when the run was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_config_map: Option<String>,
    /// The node that all engines run on, once the first has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// SHA-256 of the frozen prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts_sha256: Option<String>,
    /// The volume that the model was fetched into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_volume: Option<ModelVolume>,
    /// One entry per engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub engines: Vec<EngineStatus>,
    /// The nodes that engines ran on, as far as the operator may read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub nodes: Vec<NodeFacts>,
    /// One entry per engine and round that has begun, in order; one more for each time that the
    /// round began anew on another node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["engine".into(), "round".into(), "restart".into()]))]
    pub turns: Vec<TurnStatus>,
    /// Rounds that began anew on another node, because theirs was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["round".into(), "restart".into()]))]
    pub restarts: Vec<RoundRestart>,
}

/// The volume that the model was fetched into before the engines started.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelVolume {
    /// Name of its claim.
    pub claim_name: String,
    /// Node on which it was filled or looked through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// What is in it, and what of it this run fetched.
    #[serde(flatten)]
    pub content: PrefetchSummary,
}

/// What a node is, by its labels and its kubelet.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its accelerators' product, such as `NVIDIA-L4`, by the label of NVIDIA's or AMD's discovery or of
    /// GKE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// How many of the run's accelerators it offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerators: Option<String>,
    /// Memory of one accelerator in MiB, by NVIDIA's discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_memory_mib: Option<String>,
    /// Version of the accelerators' driver, by NVIDIA's discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Highest version of CUDA that the driver knows, by NVIDIA's discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// Machine type of the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_type: Option<String>,
    /// Zone of the cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Version of the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_image: Option<String>,
    /// Architecture, such as `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Container runtime and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_runtime: Option<String>,
    /// Version of the kubelet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet: Option<String>,
}

/// A round that began anew on another node, because its own was lost.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RoundRestart {
    /// Round, from 1.
    pub round: u32,
    /// How often it had begun anew by then, this time among them.
    pub restart: u32,
    /// The node that was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// One word on how it was lost.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// When the round began anew.
    pub time: Time,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum RunPhase {
    /// Not taken up yet.
    #[default]
    Pending,
    /// Held back by `spec.suspend`.
    Suspended,
    /// The preflight Job is under way.
    Preflight,
    /// The model is being fetched.
    Prefetching,
    /// Engines are running in turn.
    Running,
    /// The reporter Job is under way.
    Reporting,
    /// Ended with a report.
    Complete,
    /// Ended without one.
    Failed,
}

/// Whether figures can be trusted.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum VerdictStatus {
    /// Nothing speaks against them.
    #[default]
    Valid,
    /// Use with care; the reasons say why.
    Suspect,
    /// Do not use; the reasons say why.
    Invalid,
}

/// One engine, over all rounds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EngineStatus {
    /// Name of the engine in the spec.
    pub name: String,
    /// Where it is.
    #[serde(default)]
    pub phase: EnginePhase,
    /// One word on why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Figures of its best stage, for a glance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<Headline>,
}

/// Where an engine, or one turn of it, is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum EnginePhase {
    /// Its turn has not come.
    #[default]
    Pending,
    /// Its pod waits for a node.
    Scheduling,
    /// Its pod has a node and is not ready.
    Starting,
    /// The runner is loading it.
    Measuring,
    /// Its pod is being removed.
    Freeing,
    /// Done.
    Succeeded,
    /// Failed; reason and message say how.
    Failed,
    /// Left out, because of an earlier failure or the end of the run.
    Skipped,
}

/// One engine's turn in one round.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TurnStatus {
    /// Name of the engine.
    pub engine: String,
    /// Round, from 1.
    pub round: u32,
    /// How often the round had begun anew before this turn; 0 the first time.
    #[serde(default)]
    pub restart: u32,
    /// Whether the round began anew after this turn, so that its figures count for nothing: they
    /// come from another node than those of the other engines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub superseded: bool,
    /// Where it is.
    #[serde(default)]
    pub phase: EnginePhase,
    /// One word on why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened and what to do; last lines of the container, masked, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Name of the engine's pod; of several, the one that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// Name of the object that the engine is, where it is no lone Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// UID of that object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_uid: Option<String>,
    /// The pods that the object's controller made, the one that serves among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub pods: Vec<TurnPod>,
    /// UID of the engine's pod; another one during load makes the turn invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// Node that it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Node of the runner's pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_node_name: Option<String>,
    /// Image with digest, as the kubelet resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// Exit code of the engine's container, where it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When the pod was made; or, where a scheduling gate held it back, when it was admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the pod was first seen held back by a scheduling gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gated_time: Option<Time>,
    /// When it was first seen without one again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_time: Option<Time>,
    /// When it had a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Time>,
    /// When its image was there, by the kubelet's event; absent where that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pulled_time: Option<Time>,
    /// Whether the image was on the node before; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_was_present: Option<bool>,
    /// What ran to its end in the pod before the engine started, one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6))]
    pub steps: Vec<StartStep>,
    /// When its container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_started_time: Option<Time>,
    /// When it was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_time: Option<Time>,
    /// When its pod was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Pods of others on the engine's node while it was loaded. Absent where they could not be
    /// listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Neighbours>,
    /// What the runner said at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

impl TurnStatus {
    /// The nodes that the engine ran on: that of the pod that serves first, each once.
    pub fn nodes(&self) -> Vec<&str> {
        let further = self.pods.iter().filter_map(|pod| pod.node_name.as_deref());
        let mut nodes = Vec::new();
        for node in self.node_name.as_deref().into_iter().chain(further) {
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }
}

/// One of several pods of an engine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TurnPod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Node that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

/// Pods on an engine's node that are not the run's own, request resources, and are not part of the
/// node: no DaemonSet's, no static one, none of the cluster's own services.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Neighbours {
    /// How many, at the most at once.
    pub pods: u32,
    /// CPU that they requested together, in thousandths of a core; the most at once.
    #[serde(default)]
    pub cpu_millis: u64,
    /// Accelerators of the run's kind that they requested together; the most at once.
    #[serde(default)]
    pub accelerators: u64,
    /// The first few, as `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub names: Vec<String>,
}

impl Neighbours {
    /// Most names that are kept.
    pub const MAX_NAMES: usize = 8;

    /// Whether they may have taken something from the engine: they asked for CPU or accelerators.
    pub fn take_part(&self) -> bool {
        self.cpu_millis > 0 || self.accelerators > 0
    }
}

/// A few figures of an engine's best stage, the one with the most output tokens a second.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Headline {
    /// Name of the stage, such as `concurrency-16`.
    pub stage: String,
    /// Output tokens a second.
    pub output_tokens_per_second: f64,
    /// Median time to first token, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token_p50: Option<f64>,
    /// 99th percentile of the request latency, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_latency_p99: Option<f64>,
}
