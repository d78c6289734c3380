//! The runner pods behind a stage, where several acted as one client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Requests;

/// One of several runner pods (or processes) that drove a stage together.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShardReport {
    /// Which one, from 0.
    pub index: u32,
    /// Whether it left no result of this stage: then nothing else is known of it.
    #[serde(default)]
    pub lost: bool,
    /// What became of its part of the arrivals.
    #[serde(default)]
    pub requests: Requests,
    /// How far its clock and shard 0's may lie apart after they were compared, in seconds: half the
    /// shortest round trip, and what the clocks drifted during the stage. 0 for shard 0.
    #[serde(default)]
    pub clock_offset_bound_seconds: f64,
    /// How long after the common start it began, in seconds.
    #[serde(default)]
    pub late_start_seconds: f64,
    /// 99th percentile of sending after the due time, in seconds; absent in a closed loop and where
    /// there are too few requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_delay_p99: Option<f64>,
    /// Longest time for which its event loop did not come round, in seconds.
    #[serde(default)]
    pub longest_stall_seconds: f64,
    /// CPU time of its event loops.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// Its greatest resident set so far, in bytes.
    #[serde(default)]
    pub peak_rss_bytes: u64,
}
