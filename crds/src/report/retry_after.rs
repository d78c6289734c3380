//! How long a server asked to be left alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Times of the `Retry-After` fields of answers with HTTP 429. Bakeoff counts them and does not wait:
/// requests keep to the load, and none is sent again.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RetryAfter {
    /// Answers that had the field.
    pub count: u64,
    /// Mean, in seconds.
    pub mean_seconds: f64,
    /// Longest, in seconds.
    pub max_seconds: f64,
}
