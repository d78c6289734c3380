//! What tokens cost.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Price of a million tokens of an endpoint, in the currency of your choice.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.input) || has(self.output)")
    .message("set input, output or both: the prices of a million tokens of prompts and of answers"))]
pub struct Price {
    /// Of a million tokens of prompts; none are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub input: Option<f64>,
    /// Of a million tokens of answers; none are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub output: Option<f64>,
}
