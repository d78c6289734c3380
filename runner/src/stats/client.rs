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

#[cfg(test)]
mod tests {
    use bakeoff_crds::report::{NetworkReport, ReceiveBacklog};

    use super::*;
    use crate::{
        clock::{MILLISECOND, SECOND},
        drive::vitals::{LoopVitals, Surroundings},
    };

    #[test]
    fn everything_that_the_client_saw_is_in_the_report() {
        let network = NetworkReport {
            sent_segments: 1,
            received_segments: 2,
            retransmitted_segments: 3,
            out_of_order_segments: 4,
            closed_windows: 5,
            dropped_packets: 6,
        };
        let backlog = ReceiveBacklog {
            reads: 7,
            full_reads: 8,
            most_bytes: 9,
        };
        let mut delay = Latencies::new();
        delay.record(MILLISECOND, 1000);
        let vitals = StageVitals {
            loops: LoopVitals {
                cpu: SECOND,
                busiest_share: 0.25,
                run_queue_wait: Some(2 * SECOND),
                delay: Some(delay),
                longest_stall: 3 * SECOND,
                chunks: 1000,
                backlog,
                descriptors_refused: 10,
                ports_refused: 11,
                reconnects: 12,
                ..LoopVitals::default()
            },
            surroundings: Surroundings {
                throttled: Some(4 * SECOND),
                throttled_periods: Some(13),
                cpu_limit: Some(0.5),
                machine_busy_share: Some(0.75),
                steal_share: Some(0.125),
                network: Some(network),
                wall_clock_step: -5_000_000_000,
            },
            peak_rss_bytes: 14,
            open_files_limit: 15,
            open_files_needed: 16,
            ..StageVitals::default()
        };
        let calibration = Calibration {
            streams: 1,
            overhead_mean: 1e-6,
            overhead_p99: Some(2e-6),
            sustainable_chunks_per_second: 1000.0,
            seconds: 1.0,
            cpu_seconds: 1.0,
        };
        let found = client(&vitals, Some(calibration), 2.0);
        let loop_delay = found.loop_delay.clone().unwrap();
        assert!((loop_delay.mean - 0.001).abs() < 1e-5, "{loop_delay:?}");
        let expected = ClientReport {
            cpu_seconds: 1.0,
            cpu_micros_per_chunk: 1000.0,
            busiest_loop_share: 0.25,
            peak_rss_bytes: 14,
            chunks: 1000,
            overhead_micros: Some(1.0),
            overhead_p99_micros: Some(2.0),
            sustainable_chunks_per_second: Some(1000.0),
            capacity_used: Some(0.5),
            longest_stall_seconds: 3.0,
            loop_delay: Some(loop_delay),
            run_queue_wait_seconds: Some(2.0),
            cpu_limit: Some(0.5),
            throttled_seconds: Some(4.0),
            throttled_periods: Some(13),
            machine_busy_share: Some(0.75),
            steal_share: Some(0.125),
            receive_backlog: backlog,
            network: Some(network),
            open_files_limit: 15,
            open_files_needed: 16,
            descriptors_refused: 10,
            ports_refused: 11,
            reconnects: 12,
            wall_clock_step_seconds: -5.0,
        };
        assert_eq!(found, expected);
    }
}
