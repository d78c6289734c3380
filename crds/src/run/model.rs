//! What every engine serves.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    builds::Builds,
    prefetch::Prefetch,
    tuning::{KvCacheDtype, SpeculativeDecoding},
};
use crate::common::{FileSource, SecretKeyRef};

/// The model that every engine serves, at one revision and with one token.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.prefetch) || !has(self.prefetch.uri) || !has(self.persistentVolumeClaim)")
    .message("the weights come from one place: remove prefetch.uri, or persistentVolumeClaim"))]
#[x_kube(validation = Rule::new(
    "!has(self.prefetch) || !has(self.prefetch.claimName) || !has(self.persistentVolumeClaim) || self.prefetch.claimName != self.persistentVolumeClaim.claimName")
    .message("prefetch copies persistentVolumeClaim to another volume; to use the weights where they are, remove prefetch"))]
#[x_kube(validation = Rule::new(
    "!has(self.builds) || !has(self.persistentVolumeClaim) || self.persistentVolumeClaim.claimName != self.builds.claimName")
    .message("engines write what they build to builds.claimName and mount persistentVolumeClaim read-only; name two claims"))]
#[x_kube(validation = Rule::new(
    "!has(self.builds) || !has(self.prefetch) || !has(self.prefetch.claimName) || self.prefetch.claimName != self.builds.claimName")
    .message("engines write what they build to builds.claimName and mount prefetch.claimName read-only; name two claims"))]
pub struct ModelSpec {
    /// Hugging Face id, such as `mistralai/Mistral-7B-Instruct-v0.2`. Also the name under which
    /// engines serve it.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    )]
    pub id: String,
    /// Branch, tag or commit of the model's repository; pin a commit for results that last.
    #[serde(default = "main_revision")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    )]
    pub revision: String,
    /// Hugging Face token. Reaches every container that needs it as HF_TOKEN and
    /// HUGGING_FACE_HUB_TOKEN, never an argument or a file of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// Root of another hub that speaks Hugging Face's interface, such as a mirror. Reaches every
    /// container that loads from it as HF_ENDPOINT. Left out: Hugging Face itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s?#]+$"))]
    pub hub: Option<String>,
    /// Number format of the weights and activations; `Auto` leaves it to the model's configuration.
    #[serde(default)]
    pub dtype: Dtype,
    /// Quantization method by the engines' own names, such as `awq` or `fp8`. Not together with a
    /// dtype on TGI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9_.-]*$"))]
    pub quantization: Option<String>,
    /// Longest sequence, prompt and answer together, in tokens, that engines make room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 10_000_000))]
    pub max_model_len: Option<u32>,
    /// Jinja chat template that stands in for the model's own, both on engines that take one and
    /// where Bakeoff itself makes a plain prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65_536))]
    pub chat_template: Option<String>,
    /// The model's tokenizer.json, for length caps and token counts. Left out, it is fetched from
    /// the model's repository at the same revision when the workload needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<FileSource>,
    /// The weights on a volume of the cluster in place of a download by each engine. Mounted
    /// read-only at /models, or copied from by `prefetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ModelClaim>,
    /// Fetches model and adapters once, before the engines start, into a volume that each of them
    /// mounts read-only. Left out: each engine loads by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<Prefetch>,
    /// Keeps what engines build from the model before they start, such as TensorRT engines, for the
    /// next start that asks for the same. Left out: each start builds anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds: Option<Builds>,
    /// LoRA adapters that engines load beside the model, each asked for by its name. Engines that
    /// cannot are refused. At an external endpoint they are further names that it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub adapters: Vec<Adapter>,
}

/// A LoRA adapter of the model.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Adapter {
    /// Its name in `workload.models`, in the report and, where the engine lets one choose, in
    /// requests.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    )]
    pub name: String,
    /// Hugging Face id of its repository, or a path in the engine's container.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9/][A-Za-z0-9._/-]*$")
    )]
    pub id: String,
    /// Branch, tag or commit of its repository. Left out: the repository's main branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    )]
    pub revision: Option<String>,
}

/// Weights on a PersistentVolumeClaim.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelClaim {
    /// Name of the claim, in the namespace of the run.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// Folder or file of the model within the claim.
    #[serde(default)]
    #[schemars(
        length(max = 512),
        regex(pattern = r"^$|^[A-Za-z0-9_][A-Za-z0-9._/-]*$")
    )]
    pub path: String,
}

/// Number format of weights and activations.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Dtype {
    /// As the model's configuration says.
    #[default]
    Auto,
    /// IEEE half precision.
    Float16,
    /// Brain floating point.
    BFloat16,
    /// IEEE single precision.
    Float32,
}

/// One set of engine settings, the same for all engines; each profile maps them to its flags.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tuning {
    /// Most sequences that an engine works on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub max_batch_size: Option<u32>,
    /// Share of the accelerator's memory that an engine may take, over 0 up to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 1.0))]
    pub gpu_memory_utilization: Option<f64>,
    /// Accelerators that one copy of the model is spread over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub tensor_parallel_size: Option<u32>,
    /// Stages, each on accelerators of its own, that the model's layers are split into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub pipeline_parallel_size: Option<u32>,
    /// Whether prompts' common beginnings are kept from one request to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_caching: Option<bool>,
    /// Most tokens that an engine works on in one step, over all sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_batched_tokens: Option<u32>,
    /// Whether long prompts are worked on in pieces, between the steps of other sequences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunked_prefill: Option<bool>,
    /// Whether requests join and leave a running batch (in-flight or continuous batching), or wait
    /// until the batch before them has ended. Most engines cannot do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_batching: Option<bool>,
    /// Number format of the KV cache. Left out: as the engine takes it from the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_cache_dtype: Option<KvCacheDtype>,
    /// Speculative decoding. Engines that have none, or not this one, are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speculative_decoding: Option<SpeculativeDecoding>,
    /// Largest rank of an adapter that engines make room for, for those that have to be told. Engines
    /// know certain steps, such as 8, 16, 32, 64, 128 and 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub max_adapter_rank: Option<u32>,
}

fn main_revision() -> String {
    "main".into()
}
