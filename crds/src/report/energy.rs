//! What a stage took of electric energy.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Energy that the engine's GPUs took over the window.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Energy {
    /// Where the figure is from.
    pub source: EnergySource,
    /// Energy in joules.
    pub joules: f64,
    /// Joules per output token; absent without tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules_per_output_token: Option<f64>,
}

/// Where a figure of energy is from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum EnergySource {
    /// The GPUs' own counters.
    #[default]
    Counter,
    /// Their mean power, times the window.
    MeanPower,
}
