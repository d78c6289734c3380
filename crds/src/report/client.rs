//! What the load's own maker saw of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The client's own figures in a stage.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClientReport {
    /// CPU time of the process.
    pub cpu_seconds: f64,
    /// CPU time per frame with content, in microseconds.
    pub cpu_micros_per_chunk: f64,
    /// Greatest resident set so far, in bytes.
    pub peak_rss_bytes: u64,
    /// Frames with content.
    pub chunks: u64,
    /// What the client itself adds to a time to first token, in microseconds, by calibration
    /// against the simulator on the same machine before the run; absent where none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_micros: Option<f64>,
    /// Longest time for which the client's event loop did not come round, in seconds.
    pub longest_stall_seconds: f64,
    /// Time for which the cgroup was throttled during the stage; absent where the kernel does not
    /// tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_seconds: Option<f64>,
    /// Bound on open files.
    pub open_files_limit: u64,
    /// Requests that were written again on a fresh connection, because the server had closed the
    /// one that they met before it read anything. Their latencies hold the time that was lost.
    #[serde(default)]
    pub reconnects: u64,
}
