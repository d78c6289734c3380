//! Whether the client and the engine saw the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One figure of a stage that both the client and the engine have, and whether they agree.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReconciliationCheck {
    /// Which figure.
    pub measure: ReconciledMeasure,
    /// Where the engine's figure comes from.
    pub source: MetricSource,
    /// The client's figure: a number, or seconds.
    pub client: f64,
    /// The engine's figure: the increase of its counter over the stage, or the mean of the new
    /// samples of its histogram.
    pub engine: f64,
    /// The least that the engine's figure may be; absent where nothing bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<f64>,
    /// The most that the engine's figure may be.
    pub most: f64,
    /// Whether it lies between them.
    pub passed: bool,
}

/// Figures that both sides have.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ReconciledMeasure {
    /// Prompts that were answered whole.
    #[default]
    CompletedRequests,
    /// Tokens of the prompts.
    InputTokens,
    /// Tokens of the answers.
    OutputTokens,
    /// Mean time to first token. The difference is the way between the two.
    TimeToFirstToken,
}

/// Where an engine's figure comes from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum MetricSource {
    /// The runner's own scrape.
    #[default]
    Direct,
    /// A Prometheus.
    Prometheus,
}
