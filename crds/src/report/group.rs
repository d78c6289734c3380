//! Requests of a stage that have something in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, TokenDistribution};

/// Requests of a stage that have something in common: the model that they asked for, or their place
/// in a conversation. Definitions are those of the stage.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RequestGroup {
    /// What they have in common: a name of `workload.models`, or `first` and `later` for turns.
    pub name: String,
    /// Requests that were sent: succeeded or failed.
    pub sent: u64,
    /// Answered whole.
    pub succeeded: u64,
    /// Failed, by any kind.
    pub failed: u64,
    /// First content of the answer, from sending. Absent where answers do not stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<Distribution>,
    /// Last content of the answer, from sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_latency: Option<Distribution>,
    /// Tokens of the prompts of succeeded requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<TokenDistribution>,
    /// Tokens of the answers of succeeded requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<TokenDistribution>,
}
