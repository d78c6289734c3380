//! The engines against each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the figures say of the engines against each other.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// In one sentence, for people.
    pub sentence: String,
    /// Best engine by measure and load level. Invalid stages take no part.
    pub best: Vec<Best>,
}

/// The best engine by one measure at one load level.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Best {
    /// `outputTokensPerSecond`, `timeToFirstTokenP50`, `requestLatencyP50` and so on.
    pub measure: String,
    /// Name of the stage.
    pub stage: String,
    /// The engine.
    pub engine: String,
    /// Its value, in the measure's unit; the mean over rounds and repetitions.
    pub value: f64,
    /// The second best engine, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<String>,
    /// By how much it is better than the second best: 0.12 is 12 %. Absent where repetitions and
    /// rounds overlap, or where single measurements differ by too little to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<f64>,
}
