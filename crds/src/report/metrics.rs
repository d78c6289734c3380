//! The engine's own metrics over a stage's window.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the engine's own metrics over the window.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EngineMetric {
    /// What the runner's own scrape of the engine gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<MetricValue>,
    /// What Prometheus gave for the same window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<MetricValue>,
    /// Why a value is absent, such as `WindowTooShort`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// A gauge's mean and extremes, or a counter's or histogram's increase.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricValue {
    /// Mean of a gauge over the window; mean of a histogram's new samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Greatest value of a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Increase of a counter over the window; number of a histogram's new samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increase: Option<f64>,
}
