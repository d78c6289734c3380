//! Whether all engines were measured under the same conditions, check by check.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether all engines were measured under the same conditions. Beside the verdict, which says
/// whether the figures can be trusted: figures may be sound and still be of unlike things.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Fairness {
    /// The worst of the checks.
    pub status: FairnessStatus,
    /// What was held against each other, in a fixed order; what has no meaning in the run is left
    /// out.
    #[serde(default)]
    pub checks: Vec<FairnessCheck>,
}

/// Whether conditions were the same. In the order of how bad it is.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum FairnessStatus {
    /// The same, as far as anything can be seen.
    Fair,
    /// Nothing is known to differ, but something could not be seen.
    #[default]
    Unproven,
    /// Something differs; the findings name it.
    Deviating,
}

/// One thing that ought to be the same for all engines.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FairnessCheck {
    /// What was held against each other.
    pub check: FairnessCheckKind,
    /// How it came out.
    pub status: FairnessStatus,
    /// What differs or is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FairnessFinding>,
}

/// What differs or is not known of an engine.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FairnessFinding {
    /// Name of the engine; absent where it is about several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Whether it differs, is not known, or is only to be known.
    pub status: FairnessStatus,
    /// What it is.
    pub message: String,
}

/// Things that ought to be the same for all engines.
#[derive(
    Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord,
)]
pub enum FairnessCheckKind {
    /// Image, arguments, environment, tuning and files as the profile and the run's spec have them,
    /// without an engine's own.
    Settings,
    /// One image, by digest, in all rounds of an engine.
    Image,
    /// The node, in each round.
    Node,
    /// The accelerators by their UUIDs, in each round.
    Accelerators,
    /// The weights: one commit of the model's repository.
    Weights,
    /// The tokens of the same prompt: by the engines and by the model's tokenizer. Chat templates and
    /// tokens of the beginning show here.
    InputTokens,
    /// Answers as long as was asked, where they were to run to their full length.
    ForcedLength,
    /// The same answer to the same prompt at temperature 0.
    Greedy,
    /// The token of the beginning where a prompt has it already: read, left out or taken for text by
    /// all.
    BeginToken,
    /// The token of the end: counted by all or by none.
    EndToken,
    /// What engines found in their prefix caches: nothing of before the stage, and by
    /// `workload.cachePolicy` emptied or filled for all.
    PrefixCache,
    /// What the engines' profiles warn of. It makes no comparison unfair; a reader should know it.
    Cautions,
}
