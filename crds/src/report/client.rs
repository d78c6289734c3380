//! What the load's own maker saw of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Distribution;

/// The client's own figures in a stage. Shares are 0 to 1. What the kernel does not tell is absent.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClientReport {
    /// CPU time of the event loops.
    pub cpu_seconds: f64,
    /// CPU time of the event loops per frame with content, in microseconds.
    pub cpu_micros_per_chunk: f64,
    /// Share of the stage for which the busiest event loop was on a CPU.
    #[serde(default)]
    pub busiest_loop_share: f64,
    /// Greatest resident set so far, in bytes.
    pub peak_rss_bytes: u64,
    /// Frames with content.
    pub chunks: u64,
    /// What the client itself adds to a time to first token, in microseconds: the mean, by
    /// calibration on the same machine before the run. Absent where none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_micros: Option<f64>,
    /// The same at the 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_p99_micros: Option<f64>,
    /// Frames with content a second that the client can take with this CPU, by calibration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sustainable_chunks_per_second: Option<f64>,
    /// Share of that which the stage asked for; over 1 is possible, since many frames at once cost
    /// less each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_used: Option<f64>,
    /// Longest time for which the client's event loop did not come round, in seconds.
    pub longest_stall_seconds: f64,
    /// How late the event loops came to what was due at a fixed time, in seconds; looked at every
    /// 10 ms. A frame that came at such a time was read as late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loop_delay: Option<Distribution>,
    /// Time for which event loops could run but waited for a CPU: others were on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_queue_wait_seconds: Option<f64>,
    /// CPUs' worth of time that the cgroup may take; absent where it has no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<f64>,
    /// Time for which the cgroup was throttled during the stage, summed over CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_seconds: Option<f64>,
    /// Enforcement periods in which the cgroup was throttled during the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_periods: Option<u64>,
    /// Share of the machine's CPU time in which something ran, the client or others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_busy_share: Option<f64>,
    /// Share of the machine's CPU time that its hypervisor gave to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_share: Option<f64>,
    /// What waited in the sockets when they were read.
    #[serde(default)]
    pub receive_backlog: ReceiveBacklog,
    /// The network's counters during the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkReport>,
    /// Bound on open files.
    pub open_files_limit: u64,
    /// Open files that the stage is known to need.
    #[serde(default)]
    pub open_files_needed: u64,
    /// Connections that could not be opened for want of file descriptors.
    #[serde(default)]
    pub descriptors_refused: u64,
    /// Connections that could not be opened for want of local ports.
    #[serde(default)]
    pub ports_refused: u64,
    /// Requests that were written again on a fresh connection, because the server had closed the
    /// one that they met before it read anything. Their latencies hold the time that was lost.
    #[serde(default)]
    pub reconnects: u64,
    /// By how much the system's wall clock was set during the stage, in seconds. Latencies are by
    /// the monotonic clock and do not change with it.
    #[serde(default)]
    pub wall_clock_step_seconds: f64,
}

/// What waited in the client's sockets when they were read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReceiveBacklog {
    /// Reads that gave something.
    pub reads: u64,
    /// Reads that filled the whole buffer of 64 KiB: more was waiting.
    pub full_reads: u64,
    /// Most bytes that one read gave.
    pub most_bytes: u64,
}

/// TCP and interface counters of the client's network namespace during a stage. In a pod that is the
/// pod's own traffic; elsewhere other programs' traffic is in it too.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkReport {
    /// TCP segments received.
    pub received_segments: u64,
    /// TCP segments sent.
    pub sent_segments: u64,
    /// Segments that were sent again: requests were lost on the way.
    pub retransmitted_segments: u64,
    /// Segments that came before an earlier one: answers were lost on the way, or reordered.
    pub out_of_order_segments: u64,
    /// Times at which a socket told its peer to stop sending because its buffer was full: the client
    /// read too slowly.
    pub closed_windows: u64,
    /// Packets that were dropped or broken on arrival, by an interface or a socket.
    pub dropped_packets: u64,
}

impl ClientReport {
    /// Adds the figures of another process that drove the same stage: sums of what adds up, the
    /// worst of what does not. Of `loop_delay` the worse process's is kept.
    pub fn add(&mut self, other: &Self) {
        self.cpu_seconds += other.cpu_seconds;
        self.chunks += other.chunks;
        self.cpu_micros_per_chunk = if self.chunks > 0 {
            self.cpu_seconds * 1e6 / self.chunks as f64
        } else {
            0.0
        };
        self.busiest_loop_share = self.busiest_loop_share.max(other.busiest_loop_share);
        self.peak_rss_bytes = self.peak_rss_bytes.max(other.peak_rss_bytes);
        self.overhead_micros = merged(self.overhead_micros, other.overhead_micros, f64::max);
        self.overhead_p99_micros = merged(
            self.overhead_p99_micros,
            other.overhead_p99_micros,
            f64::max,
        );
        self.sustainable_chunks_per_second = merged(
            self.sustainable_chunks_per_second,
            other.sustainable_chunks_per_second,
            |a, b| a + b,
        );
        self.capacity_used = merged(self.capacity_used, other.capacity_used, f64::max);
        self.longest_stall_seconds = self.longest_stall_seconds.max(other.longest_stall_seconds);
        let late = |delay: &Distribution| delay.p99.unwrap_or(delay.max);
        self.loop_delay = merged(
            self.loop_delay.take(),
            other.loop_delay.clone(),
            |mine, theirs| {
                if late(&theirs) > late(&mine) {
                    theirs
                } else {
                    mine
                }
            },
        );
        self.run_queue_wait_seconds = merged(
            self.run_queue_wait_seconds,
            other.run_queue_wait_seconds,
            |a, b| a + b,
        );
        self.cpu_limit = merged(self.cpu_limit, other.cpu_limit, f64::min);
        self.throttled_seconds = merged(self.throttled_seconds, other.throttled_seconds, f64::max);
        self.throttled_periods = merged(self.throttled_periods, other.throttled_periods, u64::max);
        self.machine_busy_share =
            merged(self.machine_busy_share, other.machine_busy_share, f64::max);
        self.steal_share = merged(self.steal_share, other.steal_share, f64::max);
        self.receive_backlog.add(&other.receive_backlog);
        self.network = merged(self.network, other.network, NetworkReport::plus);
        self.open_files_limit = self.open_files_limit.min(other.open_files_limit);
        self.open_files_needed = self.open_files_needed.max(other.open_files_needed);
        self.descriptors_refused += other.descriptors_refused;
        self.ports_refused += other.ports_refused;
        self.reconnects += other.reconnects;
        if other.wall_clock_step_seconds.abs() > self.wall_clock_step_seconds.abs() {
            self.wall_clock_step_seconds = other.wall_clock_step_seconds;
        }
    }
}

impl ReceiveBacklog {
    /// Adds that of another event loop or process.
    pub fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.full_reads += other.full_reads;
        self.most_bytes = self.most_bytes.max(other.most_bytes);
    }
}

impl NetworkReport {
    fn plus(self, other: Self) -> Self {
        Self {
            received_segments: self.received_segments + other.received_segments,
            sent_segments: self.sent_segments + other.sent_segments,
            retransmitted_segments: self.retransmitted_segments + other.retransmitted_segments,
            out_of_order_segments: self.out_of_order_segments + other.out_of_order_segments,
            closed_windows: self.closed_windows + other.closed_windows,
            dropped_packets: self.dropped_packets + other.dropped_packets,
        }
    }
}

/// What both or one of them says.
fn merged<T>(mine: Option<T>, theirs: Option<T>, of: impl Fn(T, T) -> T) -> Option<T> {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) => Some(of(mine, theirs)),
        (mine, theirs) => mine.or(theirs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(cpu_seconds: f64, chunks: u64, late: f64) -> ClientReport {
        ClientReport {
            cpu_seconds,
            chunks,
            busiest_loop_share: late,
            loop_delay: Some(Distribution {
                max: late,
                ..Distribution::default()
            }),
            open_files_limit: 100,
            sustainable_chunks_per_second: Some(1000.0),
            wall_clock_step_seconds: -late,
            receive_backlog: ReceiveBacklog {
                reads: 2,
                full_reads: 1,
                most_bytes: chunks,
            },
            ..ClientReport::default()
        }
    }

    #[test]
    fn two_processes_add_up_and_the_worse_one_shows() {
        let mut whole = one(1.0, 100, 0.2);
        let mut other = one(3.0, 300, 0.1);
        other.throttled_seconds = Some(2.0);
        other.network = Some(NetworkReport {
            closed_windows: 3,
            ..NetworkReport::default()
        });
        whole.add(&other);
        assert_eq!((whole.cpu_seconds, whole.chunks), (4.0, 400));
        assert_eq!(whole.cpu_micros_per_chunk, 10_000.0);
        assert_eq!(whole.loop_delay.unwrap().max, 0.2);
        assert_eq!(whole.wall_clock_step_seconds, -0.2);
        assert_eq!(whole.throttled_seconds, Some(2.0));
        assert_eq!(whole.network.unwrap().closed_windows, 3);
        assert_eq!(whole.sustainable_chunks_per_second, Some(2000.0));
        assert_eq!(
            whole.receive_backlog,
            ReceiveBacklog {
                reads: 4,
                full_reads: 2,
                most_bytes: 300
            }
        );
        assert_eq!(whole.open_files_limit, 100);
    }
}
