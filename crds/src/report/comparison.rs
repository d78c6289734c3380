//! The engines against each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Agreement, IntervalMethod, QualityDifference};

/// What the figures say of the engines against each other.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// In one sentence, for people.
    pub sentence: String,
    /// Best engine by measure and load level. Invalid stages take no part.
    pub best: Vec<Best>,
    /// What a reader of the figures should know, such as that an engine was saturated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How often engines gave the same answer to the same prompt; only where sampling is greedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agreement: Vec<Agreement>,
    /// How the engines' shares of right answers differ; only where the data set tells what is right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<QualityDifference>,
}

/// The best engine by one measure at one load level.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Best {
    /// `outputTokensPerSecond`, `timeToFirstTokenP50`, `requestLatencyP50` and so on.
    pub measure: String,
    /// Name of the stage.
    pub stage: String,
    /// Which part of the stages the figures are of.
    #[serde(default)]
    pub basis: Basis,
    /// The engine.
    pub engine: String,
    /// Its value, in the measure's unit; the mean over rounds and repetitions.
    pub value: f64,
    /// The second best engine, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<String>,
    /// By how much it is better than the second best: 0.12 is 12 %. Absent where no difference is
    /// shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<f64>,
    /// The difference between the two, whether or not it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// Which part of a stage a figure is of.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Basis {
    /// Between ramp and tail.
    SteadyState,
    /// All of it.
    #[default]
    WholeStage,
}

/// By how much one engine is better than another, as a share of the other's figure: 0.12 is 12 %
/// more throughput, or 12 % less latency.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The difference seen.
    pub value: f64,
    /// Lower end of its interval of 95 %; absent where nothing tells how the figures vary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Upper end of its interval of 95 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// How the interval was come by, and so what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<IntervalMethod>,
    /// Whether the figures show that there is a difference: the interval is on one side of 0; for
    /// single measurements the difference must be 5 % at least, too.
    pub shown: bool,
}
