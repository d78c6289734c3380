//! The engines of a run: deployed by profile, already running elsewhere, or simulated.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{http::HttpFormat, model::Tuning, price::Price};
use crate::common::{Duration, SecretKeyRef};

/// One engine of the run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.profile), has(self.external), has(self.simulated)].filter(x, x).size() == 1")
    .message("set exactly one of profile, external and simulated"))]
#[x_kube(validation = Rule::new(
    "has(self.profile) || (!has(self.image) && !has(self.args) && !has(self.env) && !has(self.tuning) && !has(self.model) && !has(self.protocol))")
    .message("image, args, env, tuning, model and protocol go with profile; remove them here"))]
pub struct EngineSpec {
    /// Name of the engine in status, report and bucket; unique in the run.
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Name of a built-in profile or of an EngineProfile object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub profile: Option<String>,
    /// Image in place of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Arguments after the profile's own. A deviation that the report names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Vec<String>,
    /// Environment beside the profile's own. A deviation that the report names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EngineEnv>,
    /// Settings in place of `spec.tuning`, field by field. A deviation that the report names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<Tuning>,
    /// Other files of the same model, for an engine with a format of its own. A deviation that the
    /// report names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<EngineModel>,
    /// Which of the profile's protocols requests use, such as gRPC in place of HTTP. Left out: the one
    /// that `workload.api` chooses. A deviation that the report names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// An endpoint that is already running, here or elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalEngine>,
    /// A simulated engine: exact wire format, made-up speed. Needs no accelerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedEngine>,
}

/// One environment variable of an engine, by value or from a Secret.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKeyRef)")
    .message("set exactly one of value and secretKeyRef"))]
pub struct EngineEnv {
    /// Name of the variable.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")
    )]
    pub name: String,
    /// Its value. Not for secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// A key of a Secret in the run's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
}

/// The model as one engine loads it, where that differs from `spec.model`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EngineModel {
    /// Hugging Face id of the converted model, such as a GGUF repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")
    )]
    pub id: Option<String>,
    /// Path of the converted model in the engine's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^/[A-Za-z0-9._/-]+$"))]
    pub path: Option<String>,
}

/// An endpoint that Bakeoff does not deploy.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.protocol == 'Http') == has(self.http)")
    .message("http says how protocol Http asks; give it with that protocol, and leave it out with others"))]
pub struct ExternalEngine {
    /// Root of the server; the protocol adds its path. Such as `https://api.friendli.ai/serverless`.
    #[schemars(length(min = 8, max = 1024), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,
    /// Wire protocol that the endpoint speaks.
    pub protocol: Protocol,
    /// Requests and answers, where the protocol is `Http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpFormat>,
    /// Name of the model at the endpoint, where it differs from `spec.model.id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub model: Option<String>,
    /// API key, sent as a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// Price of a million tokens, in the currency of your choice; given in the report as cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_million_tokens: Option<Price>,
}

/// A simulated engine's wire format and speed.
///
/// One request alone gets its first token after `timeToFirstToken`, and each further token
/// `interTokenLatency` after the one before. Requests beyond `maxBatchSize` wait their turn; each
/// further sequence in the batch makes a step longer by `batchSlowdown`.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SimulatedEngine {
    /// Wire protocol that it speaks.
    pub protocol: Protocol,
    /// Time of the prefill of one prompt on an idle engine.
    #[serde(default = "default_first_token")]
    pub time_to_first_token: Duration,
    /// Time of one decoding step for one sequence.
    #[serde(default = "default_inter_token")]
    pub inter_token_latency: Duration,
    /// Most sequences in the batch.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1, max = 65_536))]
    pub max_batch_size: u32,
    /// Share by which each further sequence in the batch makes a step longer, such as 0.02.
    #[serde(default = "default_slowdown")]
    #[schemars(range(min = 0.0, max = 10.0))]
    pub batch_slowdown: f64,
    /// A fault that the engine shows, for trying out what Bakeoff says of it.
    #[serde(default)]
    pub fault: Fault,
}

/// Wire protocols of the load path.
#[derive(
    Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub enum Protocol {
    /// OpenAI's `/v1/completions` with server-sent events.
    OpenAiCompletions,
    /// OpenAI's `/v1/chat/completions` with server-sent events.
    OpenAiChat,
    /// Text Generation Inference's `/generate_stream`.
    Tgi,
    /// Triton's `/v2/models/MODEL/generate_stream` with the vLLM backend's inputs.
    TritonVllm,
    /// Triton's `/v2/models/MODEL/generate_stream` with the TensorRT-LLM (LLM API) backend's inputs.
    TritonTensorRtLlm,
    /// llama.cpp's `/completion`.
    LlamaCpp,
    /// Any server that takes a POST: what it is asked and where its answers hold what is said in
    /// `http`.
    Http,
    /// TorchServe's `/predictions/MODEL` with a handler that takes a prompt and streams bare text.
    TorchServe,
    /// Hugging Face pipelines behind `/predictions/MODEL` with `instances` and `predictions`; does not
    /// stream.
    TransformersInstances,
    /// SAX's `/generate`; does not stream.
    Sax,
    /// JetStream's `/generate` over HTTP.
    JetStream,
    /// The KServe v2 protocol's `/v2/models/MODEL/infer` for a model with texts for tensors; does not
    /// stream.
    KserveV2,
    /// Triton's `ModelStreamInfer` by gRPC with the vLLM backend's tensors.
    TritonVllmGrpc,
    /// Triton's `ModelStreamInfer` by gRPC with the tensors of the TensorRT-LLM (LLM API) backend.
    TritonTensorRtLlmGrpc,
    /// JetStream's `Decode` by gRPC.
    JetStreamGrpc,
    /// The KServe v2 protocol's `ModelInfer` by gRPC, with the tensors of `KserveV2`; does not stream.
    KserveV2Grpc,
    /// TorchServe's `StreamPredictions`, or `Predictions`, by gRPC, with the request of `TorchServe` as
    /// input `data`.
    TorchServeGrpc,
}

impl Protocol {
    /// Every protocol that there is.
    pub const ALL: [Self; 17] = [
        Self::OpenAiCompletions,
        Self::OpenAiChat,
        Self::Tgi,
        Self::TritonVllm,
        Self::TritonTensorRtLlm,
        Self::LlamaCpp,
        Self::Http,
        Self::TorchServe,
        Self::TransformersInstances,
        Self::Sax,
        Self::JetStream,
        Self::KserveV2,
        Self::TritonVllmGrpc,
        Self::TritonTensorRtLlmGrpc,
        Self::JetStreamGrpc,
        Self::KserveV2Grpc,
        Self::TorchServeGrpc,
    ];

    /// Whether requests are calls by gRPC.
    pub fn is_grpc(self) -> bool {
        matches!(
            self,
            Self::TritonVllmGrpc
                | Self::TritonTensorRtLlmGrpc
                | Self::JetStreamGrpc
                | Self::KserveV2Grpc
                | Self::TorchServeGrpc
        )
    }
}

/// What goes wrong in a simulated engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Connections are refused once the engine has been ready.
    Refuse,
    /// Requests are answered by HTTP 500.
    ServerError,
    /// An error event comes amid the stream, under HTTP 200.
    ErrorEvent,
    /// The stream is cut without its end.
    CutStream,
    /// The stream stalls after the first token.
    Stall,
    /// Another model is served than was asked for.
    WrongModel,
    /// It takes two minutes until the engine is ready.
    SlowStart,
    /// Every second request is refused by HTTP 429 with `Retry-After: 7`.
    RateLimit,
}

fn default_first_token() -> Duration {
    Duration::from_millis(50)
}

fn default_inter_token() -> Duration {
    Duration::from_millis(10)
}

fn default_batch() -> u32 {
    64
}

fn default_slowdown() -> f64 {
    0.01
}
