//! The engine's prefix cache over a stage.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::CachePolicy;

/// What was done to the engine's prefix cache before a stage, and what the cache gave in it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CacheReport {
    /// `workload.cachePolicy`.
    pub policy: CachePolicy,
    /// By policy Cold: whether the cache was emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<CacheReset>,
    /// Why it was not emptied, where the engine refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// By policy Warm: requests that were sent to fill it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled_by: Option<u64>,
    /// Share of the prompts' tokens that the engine found in its cache, by its own counters, 0 to 1;
    /// absent where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_rate: Option<f64>,
    /// Share that it could find at the most if it was empty before: what prompts of the stage have in
    /// common, and those that came more than once. Absent where `hitRate` is low or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<f64>,
    /// Whether it found more than that: tokens of what was sent before the stage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub contaminated: bool,
}

/// Whether a prefix cache was emptied.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum CacheReset {
    /// The engine said so.
    Emptied,
    /// The engine has no call for it.
    NoCall,
    /// The engine refused.
    Failed,
}
