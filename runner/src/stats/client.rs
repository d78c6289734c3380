//! The client's own figures as the report gives them.

use bakeoff_crds::report::ClientReport;

use super::Latencies;
use crate::{calibrate::Calibration, clock, drive::vitals::StageVitals};

/// The report of what the client saw of itself.
pub(super) fn client(
    vitals: &StageVitals,
    calibration: Option<Calibration>,
    window_seconds: f64,
) -> ClientReport {
    let (loops, around) = (&vitals.loops, &vitals.surroundings);
    let sustainable = calibration.map(|found| found.sustainable_chunks_per_second);
    let asked = loops.chunks as f64 / window_seconds.max(1e-9);
    ClientReport {
        cpu_seconds: clock::seconds(loops.cpu),
        cpu_micros_per_chunk: if loops.chunks > 0 {
            clock::seconds(loops.cpu) * 1e6 / loops.chunks as f64
        } else {
            0.0
        },
        busiest_loop_share: loops.busiest_share,
        peak_rss_bytes: vitals.peak_rss_bytes,
        chunks: loops.chunks,
        overhead_micros: calibration.map(|found| found.overhead_mean * 1e6),
        overhead_p99_micros: calibration
            .and_then(|found| found.overhead_p99)
            .map(|overhead| overhead * 1e6),
        sustainable_chunks_per_second: sustainable,
        capacity_used: sustainable
            .filter(|&sustainable| sustainable > 0.0)
            .map(|sustainable| asked / sustainable),
        longest_stall_seconds: clock::seconds(loops.longest_stall),
        loop_delay: loops.delay.as_ref().and_then(Latencies::distribution),
        run_queue_wait_seconds: loops.run_queue_wait.map(clock::seconds),
        cpu_limit: around.cpu_limit,
        throttled_seconds: around.throttled.map(clock::seconds),
        throttled_periods: around.throttled_periods,
        machine_busy_share: around.machine_busy_share,
        steal_share: around.steal_share,
        receive_backlog: loops.backlog,
        network: around.network,
        open_files_limit: vitals.open_files_limit,
        open_files_needed: vitals.open_files_needed,
        descriptors_refused: loops.descriptors_refused,
        ports_refused: loops.ports_refused,
        reconnects: loops.reconnects,
        wall_clock_step_seconds: around.wall_clock_step as f64 / 1e9,
    }
}
