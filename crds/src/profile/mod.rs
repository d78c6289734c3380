//! `EngineProfile`: all that Bakeoff knows of an engine, as data.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod builtin;
mod containers;
mod object;
pub mod render;

pub use builtin::ProfileSet;
pub use containers::{FurtherContainer, InitContainer};
pub use object::{EngineObject, ObjectReadiness, PortNumber};

use crate::run::{HttpFormat, Protocol, SpeculativeMethod};

/// All that Bakeoff knows of one engine. Strings marked as templates are minijinja templates over
/// `model`, `tuning`, `hardware` and `port`; a name that is not there is an error.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[kube(
    group = "bakeoff.dev",
    version = "v1alpha1",
    kind = "EngineProfile",
    plural = "engineprofiles",
    shortname = "bep",
    derive = "PartialEq",
    doc = "All that Bakeoff knows of one engine. An object of the name of a built-in profile takes its place.",
    printcolumn = r#"{"name":"Engine", "type":"string", "jsonPath":".spec.displayName"}"#,
    printcolumn = r#"{"name":"Image", "type":"string", "jsonPath":".spec.container.image"}"#,
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "(self.container.accelerator ? 1 : 0) + (has(self.containers) ? self.containers.filter(c, c.accelerator).size() : 0) == 1")
    .message("one container runs the model: set accelerator to true in one of container and containers, and to false in the others"))]
#[x_kube(validation = Rule::new(
    "!has(self.containers) || self.containers.all(c, c.name != 'engine')")
    .message("engine is the name of the engine's own container; call further ones otherwise"))]
#[x_kube(validation = Rule::new(
    "!has(self.initContainers) || self.initContainers.all(i, i.name != 'engine' && (!has(self.containers) || self.containers.all(c, c.name != i.name)))")
    .message("a name of initContainers is engine's or that of one of containers; give each a name of its own"))]
pub struct EngineProfileSpec {
    /// Name of the engine as its makers write it.
    #[schemars(length(min = 1, max = 63))]
    pub display_name: String,
    /// Things that a user should know, each a sentence; they go into the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 512)))]
    pub cautions: Vec<String>,
    /// The engine's container: the one whose port the load goes to.
    pub container: ProfileContainer,
    /// Containers beside it, where an engine is several programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub containers: Vec<FurtherContainer>,
    /// Containers that run to their end, one after another, before the others start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 6))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub init_containers: Vec<InitContainer>,
    /// Files that all containers find, such as a model repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub files: Vec<ProfileFile>,
    /// The object that the engine is, where it is no lone Pod, such as a RayService.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<EngineObject>,
    /// Folder for the download of weights; an empty volume is mounted there.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/[A-Za-z0-9._/-]+$"))]
    pub cache_path: String,
    /// Folder in which the init containers keep what they build. The run's `model.builds` is mounted
    /// there, or an empty volume that goes with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/[A-Za-z0-9._/-]+$"))]
    pub build_path: Option<String>,
    /// Least size of /dev/shm, such as `1Gi`; `hardware.sharedMemory` may ask for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory: Option<Quantity>,
    /// Port of the server.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// When the engine can be loaded.
    pub readiness: HttpCheck,
    /// How the engine tells which model it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_check: Option<ModelCheck>,
    /// How the engine tells its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<JsonField>,
    /// How the engine tells the commit of the model's repository that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_revision: Option<JsonField>,
    /// The call that empties the engine's prefix cache; used with `workload.cachePolicy: Cold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_reset: Option<HttpCall>,
    /// Protocols that the engine speaks, the preferred one first.
    #[schemars(length(min = 1, max = 8))]
    pub protocols: Vec<ProfileProtocol>,
    /// The engine's own metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<ProfileMetrics>,
    /// What the engine can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Pod security level that the image needs.
    #[serde(default)]
    pub pod_security: PodSecurity,
}

/// The engine's container.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileContainer {
    /// Image with tag or digest. Left out where nobody publishes one: then each run gives its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Command in place of the image's entrypoint, each item a template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub command: Vec<String>,
    /// Arguments, each item a template. One that renders to nothing is left out; one that renders to
    /// several lines is as many arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Vec<String>,
    /// Environment, each value a template. One that renders to nothing is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub env: BTreeMap<String, String>,
    /// Whether it runs the model: it gets the accelerators, `hardware.resources` and the further
    /// arguments of a run. False where one of `containers` does.
    #[serde(default = "yes")]
    pub accelerator: bool,
}

fn yes() -> bool {
    true
}

/// A file of the engine's container.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileFile {
    /// Where the container finds it.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/[A-Za-z0-9._/-]+$"))]
    pub path: String,
    /// Its content, a template; values are escaped by the file's ending: `.json`, `.yaml`, `.yml`.
    #[schemars(length(max = 65_536))]
    pub content: String,
}

/// A GET that answers 200.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// Path, a template.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub path: String,
}

/// A GET of JSON, with a place in it that must hold the served model's name.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelCheck {
    /// Path.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub path: String,
    /// JSON pointer to the name, such as `/model_id`. A `*` stands for every item of a list, as in
    /// `/data/*/id`: one of them must match.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub pointer: String,
    /// Value that must be there, a template. Left out: the served name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub expect: Option<String>,
    /// Whether the names of adapters, as requests give them, stand at the same place: then each must.
    #[serde(default)]
    pub adapters: bool,
}

/// A GET of JSON, with a place in it.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JsonField {
    /// Path.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub path: String,
    /// JSON pointer to the value.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub pointer: String,
}

/// A request without a body whose answer is any status from 200 to 299.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpCall {
    /// Method.
    #[serde(default)]
    pub method: HttpMethod,
    /// Path.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub path: String,
}

/// Method of a request.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum HttpMethod {
    /// GET.
    Get,
    /// POST.
    #[default]
    Post,
}

/// A protocol that the engine speaks.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.protocol == 'Http') == has(self.http)")
    .message("http says how protocol Http asks; give it with that protocol, and leave it out with others"))]
#[x_kube(validation = Rule::new("!has(self.path) || !self.protocol.endsWith('Grpc')")
    .message("a call by gRPC has the path of its method; remove path"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.path)")
    .message("the path of protocol Http stands in http.path; remove path"))]
pub struct ProfileProtocol {
    /// The protocol.
    pub protocol: Protocol,
    /// Requests and answers, where the protocol is `Http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpFormat>,
    /// Port of the requests, where it is not the server's, as with gRPC beside HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// Path of the request, where it differs from the protocol's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub path: Option<String>,
    /// Name of the model in requests, a template. Left out: `model.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub model: Option<String>,
    /// Name of an adapter in requests, a template over `adapter` (its `name`, `id` and `revision`).
    /// Left out: requests by this protocol cannot ask for adapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub adapter: Option<String>,
}

/// The engine's own metrics in Prometheus' text format.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileMetrics {
    /// Path.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub path: String,
    /// Port, where it is not the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// The engine's series by common name. Of several names, the first that is there counts: names
    /// change from version to version.
    #[schemars(extend("maxProperties" = 32))]
    pub series: BTreeMap<CommonMetric, Series>,
}

/// The engine's names of one common metric.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// Names, each with labels where they matter: `nv_trt_llm_request_metrics{request_type="active"}`.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 256)))]
    pub names: Vec<String>,
    /// What kind of metric it is.
    #[serde(default)]
    pub kind: SeriesKind,
}

/// Kind of a Prometheus metric.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum SeriesKind {
    /// A value that goes up and down.
    #[default]
    Gauge,
    /// A value that only grows; its increase over the window counts.
    Counter,
    /// Buckets, sum and count; the mean of the new samples counts.
    Histogram,
}

/// Metrics that engines have in common, whatever they call them.
#[derive(
    Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord,
)]
#[serde(rename_all = "camelCase")]
pub enum CommonMetric {
    /// Requests that the engine works on.
    Running,
    /// Requests that wait in the engine.
    Waiting,
    /// Share of the KV cache that is in use, 0 to 1.
    KvCacheUsage,
    /// Sequences, or tokens, in a batch.
    BatchSize,
    /// Prefix-cache hits, in tokens.
    PrefixCacheHits,
    /// Prefix-cache look-ups, in tokens.
    PrefixCacheQueries,
    /// Sequences that were put back.
    Preemptions,
    /// Time in the engine's queue, in seconds.
    QueueTime,
    /// The engine's own time to first token, in seconds.
    TimeToFirstToken,
    /// The engine's own inter-token latency, in seconds.
    InterTokenLatency,
    /// Prompt tokens that were worked on.
    PromptTokens,
    /// Output tokens that were made.
    GenerationTokens,
    /// Requests that ended well.
    RequestsSucceeded,
    /// How long the loading of the weights took at the start, in seconds.
    WeightLoading,
}

/// What an engine can do. Both the feature table of the report and the warnings come from here.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Answers stream.
    #[serde(default)]
    pub streaming: bool,
    /// Requests join a running batch.
    #[serde(default)]
    pub continuous_batching: bool,
    /// One server serves several models or adapters.
    #[serde(default)]
    pub multi_model: bool,
    /// One copy of the model can span several nodes (`hardware.nodes`).
    #[serde(default)]
    pub multi_node: bool,
    /// Quantized weights can be served.
    #[serde(default)]
    pub quantization: bool,
    /// Speculative decoding can be switched on.
    #[serde(default)]
    pub speculative_decoding: bool,
    /// The methods of speculative decoding that `tuning.speculativeDecoding` can switch on here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub speculative_methods: Vec<SpeculativeMethod>,
    /// Answers can be forced to their full length.
    #[serde(default)]
    pub ignore_eos: bool,
    /// Sampling takes a seed.
    #[serde(default)]
    pub seed: bool,
    /// Token counts come with the stream.
    #[serde(default)]
    pub usage_in_stream: bool,
    /// OpenAI completions take a list of prompts, and count the tokens of all.
    #[serde(default)]
    pub prompt_lists: bool,
    /// LoRA adapters are loaded beside the model and asked for by name.
    #[serde(default)]
    pub adapters: bool,
}

/// Pod security level that an engine's image needs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum PodSecurity {
    /// May run as root, as most engines' images do, with all capabilities dropped.
    #[default]
    Baseline,
    /// Non-root, no privilege escalation.
    Restricted,
}
