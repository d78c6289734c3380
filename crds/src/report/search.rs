//! What a search for a load found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::search::Variable;

/// The answer of one round and repetition of `sweep.search` or `sweep.knee`. Its stages are among the
/// engine's stages.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SearchReport {
    /// Round, from 1.
    pub round: u32,
    /// Repetition within the round, from 1.
    pub repetition: u32,
    /// What was looked for.
    pub goal: SearchGoal,
    /// What was varied: `requestRate`, in requests a second, or `concurrency`, in requests in flight.
    pub metric: Variable,
    /// The highest load that was good, or the knee; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// Name of its stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_stage: Option<String>,
    /// The lowest load above it that was not good; absent where none was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failing: Option<f64>,
    /// Requests that met every objective, a second, at the best load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput_requests_per_second: Option<f64>,
    /// Stages that it took.
    pub stages: u32,
    /// How it ended.
    pub end: SearchEnd,
    /// The same in words, with what to do where there is no answer.
    pub message: String,
}

/// What was looked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum SearchGoal {
    /// The highest load that meets the objectives.
    #[default]
    Objectives,
    /// The load after which the throughput hardly grows.
    Knee,
}

/// How a search ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum SearchEnd {
    /// With an answer.
    Found,
    /// The highest load that it may take is good too.
    AtLimit,
    /// The lowest load is not good already.
    BelowMinimum,
    /// A stage about which nothing can be said: too few answers, or trouble of the client's own.
    Unclear,
    /// It was cut.
    #[default]
    Incomplete,
}
