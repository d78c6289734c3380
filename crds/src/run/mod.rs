//! `BenchmarkRun`: one bake-off, as a person writes it, and what became of it.

pub mod builds;
pub mod engine;
pub mod hardware;
pub mod http;
pub mod metrics;
pub mod model;
pub mod prefetch;
pub mod price;
pub mod settings;
pub mod start;
pub mod status;
pub mod sweep;
pub mod trace;
pub mod tuning;
pub mod workload;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use builds::Builds;
pub use engine::{
    EngineEnv, EngineModel, EngineSpec, ExternalEngine, Fault, Protocol, SimulatedEngine,
};
pub use hardware::{Accelerator, Hardware, SameNode};
pub use http::{HttpAnswer, HttpFormat, HttpFraming, HttpText};
pub use metrics::{ExtraQuery, GpuExporter, GpuMetrics, Metrics, MetricsBackend};
pub use model::{Adapter, Dtype, ModelClaim, ModelSpec, Tuning};
pub use prefetch::{AccessMode, Prefetch, Retention};
pub use price::Price;
pub use settings::{
    Calibration, Cleanup, CleanupEngines, Format, Objective, ObjectiveMetric, OnEngineFailure,
    Output, Policy, Runner, Timeouts,
};
pub use start::StartStep;
pub use status::BenchmarkRunStatus;
pub use sweep::{Arrival, ConcurrencyRange, Knee, Ramp, RateRange, Search, StageSpec, Sweep};
pub use trace::{Trace, TraceFormat};
pub use tuning::{KvCacheDtype, SpeculativeDecoding, SpeculativeMethod};
pub use workload::{
    Api, CachePolicy, Conversations, History, Limits, ModelShare, Prompts, Sampling, SharedPrefix,
    SyntheticPrompts, ThinkDistribution, ThinkTime, TokenLength, Warmup, Workload,
};

/// One bake-off: the same model and traffic on each engine in turn, on the same node, and a report
/// in a bucket.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[kube(
    group = "bakeoff.dev",
    version = "v1alpha1",
    kind = "BenchmarkRun",
    plural = "benchmarkruns",
    shortname = "bmr",
    category = "all",
    namespaced,
    status = "BenchmarkRunStatus",
    derive = "PartialEq",
    doc = "One bake-off: the same model and traffic on each engine in turn, on the same node, and a report in a bucket.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Engine", type_ = "string", json_path = ".status.currentEngine"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(name = "Report", type_ = "string", json_path = ".status.reportUri"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name takes up to 40 lower-case letters, digits and dashes and begins with a letter, so that the names made from it fit"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "has(self.hardware) == has(oldSelf.hardware) && has(self.tuning) == has(oldSelf.tuning) \
     && has(self.objectives) == has(oldSelf.objectives) \
     && has(self.queueName) == has(oldSelf.queueName) \
     && (!has(self.queueName) || self.queueName == oldSelf.queueName) \
     && self.model == oldSelf.model && self.engines == oldSelf.engines \
     && self.workload == oldSelf.workload && self.output == oldSelf.output \
     && self.runner == oldSelf.runner && self.metrics == oldSelf.metrics && self.policy == oldSelf.policy \
     && (!has(self.hardware) || self.hardware == oldSelf.hardware) \
     && (!has(self.tuning) || self.tuning == oldSelf.tuning) \
     && (!has(self.objectives) || self.objectives == oldSelf.objectives)")
    .message("spec is fixed once made, but for suspend and cleanup; make a new BenchmarkRun"))]
#[x_kube(validation = Rule::new(
    "self.workload.cachePolicy != 'Warm' || !has(self.tuning) || !has(self.tuning.prefixCaching) || self.tuning.prefixCaching")
    .message("cachePolicy Warm fills the prefix cache that tuning.prefixCaching switches off; set it to true, or use another cachePolicy"))]
#[x_kube(validation = Rule::new(
    "self.cleanup.engines != 'Never' || self.engines.size() == 1")
    .message("cleanup.engines Never keeps the accelerator, so it goes with one engine only; use OnSuccess or Always"))]
#[x_kube(validation = Rule::new(
    "self.model.dtype == 'Auto' || !has(self.model.quantization) || self.engines.all(e, !has(e.profile) || e.profile != 'tgi')")
    .message("TGI takes a dtype or a quantization, not both; leave model.dtype at Auto"))]
#[x_kube(validation = Rule::new(
    "!has(self.workload.sweep) || !has(self.workload.sweep.search) || has(self.objectives)")
    .message("sweep.search looks for the highest load that meets the objectives; name at least one in objectives"))]
pub struct BenchmarkRunSpec {
    /// Holds the run back: nothing is made while it is true, and what is running is freed and
    /// begins its turn again later.
    #[serde(default)]
    pub suspend: bool,
    /// A queue of Kueue's: its label goes on every Job, lone pod and engine's object of the run, and
    /// waiting to be admitted counts against `policy.timeouts.total` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub queue_name: Option<String>,
    /// The model that every engine serves.
    pub model: ModelSpec,
    /// Engine settings, the same for all.
    #[serde(default)]
    pub tuning: Tuning,
    /// Hardware of every engine.
    #[serde(default)]
    pub hardware: Hardware,
    /// The engines, in the order in which they run.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub engines: Vec<EngineSpec>,
    /// The traffic, the same for every engine.
    pub workload: Workload,
    /// The pods that make the load.
    #[serde(default)]
    pub runner: Runner,
    /// Where engines' own metrics come from.
    #[serde(default)]
    pub metrics: Metrics,
    /// Where results go.
    pub output: Output,
    /// Bounds that make an answer good; the report gives goodput and whether each was met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub objectives: Vec<Objective>,
    /// Order, failure and deadlines.
    #[serde(default)]
    pub policy: Policy,
    /// What is removed, and when.
    #[serde(default)]
    pub cleanup: Cleanup,
}
