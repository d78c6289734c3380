//! Speculative decoding and the KV cache's format, as all engines take them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens are guessed cheaply and checked by the model several at a time. The answers stay those of
/// the model; only the speed changes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.draftModel) == (self.method != 'NGram')")
    .message("DraftModel and Eagle3 guess by a model of their own: name it in draftModel; NGram needs none: remove draftModel"))]
pub struct SpeculativeDecoding {
    /// Where the guesses come from.
    pub method: SpeculativeMethod,
    /// Hugging Face id of the model that guesses, or a path in the engine's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9/][A-Za-z0-9._/:-]*$")
    )]
    pub draft_model: Option<String>,
    /// Tokens that are guessed at a time.
    #[schemars(range(min = 1, max = 64))]
    pub num_tokens: u32,
}

/// Where the guesses of speculative decoding come from.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum SpeculativeMethod {
    /// From what follows the same words earlier in the prompt and the answer.
    #[default]
    NGram,
    /// From a smaller model of the same vocabulary.
    DraftModel,
    /// From an EAGLE-3 head that was trained for the model.
    Eagle3,
}

impl SpeculativeMethod {
    /// The name in templates: that in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::NGram => "NGram",
            Self::DraftModel => "DraftModel",
            Self::Eagle3 => "Eagle3",
        }
    }
}

/// Number format of the KV cache, where it is not that of the model.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum KvCacheDtype {
    /// Eight bits: four of exponent, three of mantissa (E4M3).
    #[default]
    Fp8,
}
