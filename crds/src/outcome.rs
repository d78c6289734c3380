//! `outcome.json`: what only the operator knows of a run, handed to the reporter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::status::{ModelVolume, NodeFacts, RoundRestart, TurnStatus};

/// What only the operator knows: failures, nodes, digests and timelines.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// When the operator took the run up, RFC 3339.
    pub start_time: String,
    /// Node that the engines were held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Version of the operator.
    pub operator_version: String,
    /// The nodes that engines ran on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeFacts>,
    /// The volume that the model was fetched into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_volume: Option<ModelVolume>,
    /// Every turn, as in the run's status.
    pub turns: Vec<TurnStatus>,
    /// Rounds that began anew on another node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<RoundRestart>,
}
