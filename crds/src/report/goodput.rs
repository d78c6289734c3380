//! Requests that met the objectives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::ObjectiveMetric;

/// Requests that met every objective, over all arrivals, failed and dropped ones among them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Goodput {
    /// Good requests a second.
    pub requests_per_second: f64,
    /// Good requests.
    pub good: u64,
    /// Good requests over all arrivals, 0 to 1.
    pub attainment: f64,
    /// Each objective against the stage's own percentile.
    #[serde(default)]
    pub objectives: Vec<ObjectiveResult>,
}

/// One objective against one stage.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveResult {
    /// What was bounded.
    pub metric: ObjectiveMetric,
    /// At which percentile.
    pub percentile: f64,
    /// The bound, in seconds.
    pub less_than_seconds: f64,
    /// The stage's value, in seconds; absent where too few samples stand behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_seconds: Option<f64>,
    /// Whether it was met; absent where there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}
