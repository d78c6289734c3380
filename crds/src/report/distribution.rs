//! Distributions of latencies and of token counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A distribution of latencies, in seconds. A percentile is absent where fewer than
/// 10 / (1 - p) samples stand behind it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the sample (n - 1).
    pub stddev: f64,
    /// Least.
    pub min: f64,
    /// Median; from 1 sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// 90th percentile; from 100 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// 95th percentile; from 200 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// 99th percentile; from 1,000 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// 99.9th percentile; from 10,000 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<f64>,
    /// Greatest.
    pub max: f64,
}

/// A distribution of token counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenDistribution {
    /// The distribution, in tokens.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// All of them.
    pub sum: u64,
}
