//! What a stage cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a stage cost, in the currency of the prices that the run was given.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// By what it was reckoned.
    pub basis: CostBasis,
    /// Of the whole stage: the node's price over the window, or the price of the tokens of succeeded
    /// requests.
    pub total: f64,
    /// Per million output tokens, with whatever the prompts cost in it; absent without tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_million_output_tokens: Option<f64>,
    /// Per million tokens of prompts and answers together; absent without both counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_million_tokens: Option<f64>,
}

/// By what a cost is reckoned.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum CostBasis {
    /// `hardware.pricePerHour`, and the time that the stage took.
    #[default]
    NodeHours,
    /// The endpoint's price of a million tokens.
    EndpointTokens,
}
