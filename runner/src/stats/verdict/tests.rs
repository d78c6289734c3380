use bakeoff_crds::report::{NetworkReport, OutputSanity, ReceiveBacklog};

use super::*;
use crate::{
    clock::{MILLISECOND, Nanos, SECOND},
    drive::vitals::{LoopVitals, Surroundings},
    stats::Latencies,
};

/// A thousand looks that were all so late.
fn late(by: Nanos) -> Latencies {
    let mut delay = Latencies::new();
    delay.record(by, 1000);
    delay
}

fn network() -> NetworkReport {
    NetworkReport {
        received_segments: 100_000,
        sent_segments: 100_000,
        retransmitted_segments: 999,
        out_of_order_segments: 999,
        closed_windows: 99,
        dropped_packets: 999,
    }
}

fn good() -> Evidence {
    Evidence {
        requests: Requests {
            intended: 100,
            sent: 100,
            succeeded: 100,
            ..Requests::default()
        },
        max_error_rate: 0.01,
        own_delay_p99: Some(0.0005),
        median_answer: Some(0.2),
        overhead: Some(0.0009),
        capacity_used: Some(0.84),
        streaming: true,
        rate_kept: Some(0.99),
        concurrency_held: Some(0.99),
        window_seconds: 10.0,
        vitals: StageVitals {
            open_files_limit: 1024,
            open_files_needed: 100,
            loops: LoopVitals {
                span: 10 * SECOND,
                busiest_share: 0.5,
                longest_stall: 5 * MILLISECOND,
                run_queue_wait: Some(50 * MILLISECOND),
                delay: Some(late(MILLISECOND)),
                backlog: ReceiveBacklog {
                    reads: 10_000,
                    full_reads: 9,
                    most_bytes: 65_536,
                },
                ..LoopVitals::default()
            },
            surroundings: Surroundings {
                throttled: Some(0),
                steal_share: Some(0.01),
                machine_busy_share: Some(0.9),
                network: Some(network()),
                wall_clock_step: 1_000_000,
                ..Surroundings::default()
            },
            ..StageVitals::default()
        },
        cut: None,
        tokens: Some((1000, 1001)),
        output: Some(OutputSanity {
            judged: 1000,
            shorter_than_asked: Some(10),
            empty: 10,
            repeating: 1000,
            ..OutputSanity::default()
        }),
    }
}

#[test]
fn a_good_stage_is_valid() {
    assert_eq!(verdict(&good(), Rules::All), Verdict::default());
}

#[test]
fn each_rule_has_its_reason_and_status() {
    type Change = fn(&mut Evidence);
    let cases: [(&str, VerdictStatus, Change); 38] = [
        ("Cancelled", Invalid, |e| e.cut = Some(Cut::Cancelled)),
        ("StageDeadlineExceeded", Invalid, |e| {
            e.cut = Some(Cut::Deadline);
        }),
        ("ErrorRateExceeded", Invalid, |e| {
            e.requests.succeeded = 98;
            e.requests.failed = 2;
        }),
        ("ErrorRateExceeded", Invalid, |e| {
            e.requests.succeeded = 98;
            e.requests.dropped = 2;
        }),
        // 5 % of 200 ms are 10 ms.
        ("ScheduleDelay", Suspect, |e| e.own_delay_p99 = Some(0.0101)),
        // 5 % of 40 ms are 2 ms.
        ("ScheduleDelay", Suspect, |e| {
            e.median_answer = Some(0.04);
            e.own_delay_p99 = Some(0.0021);
        }),
        // Never under 1 ms.
        ("ScheduleDelay", Suspect, |e| {
            e.median_answer = Some(0.001);
            e.overhead = None;
            e.own_delay_p99 = Some(0.0011);
        }),
        // Never over 10 ms.
        ("ScheduleDelay", Suspect, |e| {
            e.median_answer = Some(60.0);
            e.own_delay_p99 = Some(0.011);
        }),
        ("ClientStalled", Suspect, |e| {
            e.vitals.loops.longest_stall = 101 * MILLISECOND;
        }),
        ("ClientStalled", Invalid, |e| {
            e.vitals.loops.longest_stall = 2 * SECOND;
        }),
        ("ClientThrottled", Suspect, |e| {
            e.vitals.surroundings.throttled = Some(200 * MILLISECOND);
        }),
        ("ClientThrottled", Invalid, |e| {
            e.vitals.surroundings.throttled = Some(1500 * MILLISECOND);
        }),
        ("FileDescriptorLimit", Suspect, |e| {
            e.vitals.open_files_needed = 1025;
        }),
        ("FileDescriptorLimit", Invalid, |e| {
            e.vitals.loops.descriptors_refused = 1;
        }),
        // Late on average, long before any stall.
        ("ClientLate", Suspect, |e| {
            e.vitals.loops.delay = Some(late(11 * MILLISECOND));
        }),
        ("ClientLate", Suspect, |e| {
            e.median_answer = Some(0.02);
            e.vitals.loops.delay = Some(late(2 * MILLISECOND));
        }),
        // All of one core, whatever the others do.
        ("ClientSaturated", Suspect, |e| {
            e.vitals.loops.busiest_share = 0.86;
            e.vitals.surroundings.machine_busy_share = Some(0.2);
        }),
        ("ClientNearLimit", Suspect, |e| e.capacity_used = Some(0.86)),
        ("ClientOverhead", Suspect, |e| e.overhead = Some(0.0011)),
        ("ClientOverhead", Suspect, |e| {
            e.median_answer = Some(0.002);
            e.overhead = Some(0.00021);
        }),
        ("RateNotKept", Suspect, |e| e.rate_kept = Some(0.94)),
        ("ConcurrencyNotHeld", Suspect, |e| {
            e.concurrency_held = Some(0.89);
        }),
        ("ReceiveBacklog", Suspect, |e| {
            e.vitals.loops.backlog.full_reads = 101;
        }),
        ("ReceiveBacklog", Suspect, |e| {
            e.vitals.surroundings.network = Some(NetworkReport {
                closed_windows: 101,
                ..network()
            });
        }),
        ("LocalPortLimit", Suspect, |e| {
            e.vitals.local_ports = Some(28_232);
            e.vitals.loops.most_connections = 28_233;
        }),
        ("LocalPortLimit", Invalid, |e| {
            e.vitals.local_ports = Some(28_232);
            e.vitals.loops.ports_refused = 1;
        }),
        ("CpuContention", Suspect, |e| {
            e.vitals.loops.run_queue_wait = Some(600 * MILLISECOND);
        }),
        ("CpuContention", Suspect, |e| {
            e.vitals.loops.run_queue_wait = Some(6 * SECOND);
        }),
        ("CpuStolen", Suspect, |e| {
            e.vitals.surroundings.steal_share = Some(0.03);
        }),
        ("PacketLoss", Suspect, |e| {
            e.vitals.surroundings.network = Some(NetworkReport {
                retransmitted_segments: 1001,
                ..network()
            });
        }),
        ("PacketLoss", Suspect, |e| {
            e.vitals.surroundings.network = Some(NetworkReport {
                out_of_order_segments: 1001,
                ..network()
            });
        }),
        ("PacketLoss", Suspect, |e| {
            e.vitals.surroundings.network = Some(NetworkReport {
                dropped_packets: 1001,
                ..network()
            });
        }),
        ("WallClockSet", Suspect, |e| {
            e.vitals.surroundings.wall_clock_step = -600_000_000;
        }),
        ("WallClockSet", Suspect, |e| {
            e.vitals.surroundings.wall_clock_step = 600_000_000;
        }),
        ("TokenCountMismatch", Suspect, |e| {
            e.tokens = Some((1000, 890));
        }),
        ("EmptyAnswers", Suspect, |e| {
            e.output.as_mut().unwrap().empty = 11;
        }),
        ("ShortAnswers", Suspect, |e| {
            e.output.as_mut().unwrap().shorter_than_asked = Some(11);
        }),
        ("RepeatingAnswers", Suspect, |e| {
            e.output = Some(OutputSanity {
                judged: 100,
                repeating: 11,
                ..OutputSanity::default()
            });
        }),
    ];
    for (reason, status, change) in cases {
        let mut evidence = good();
        change(&mut evidence);
        let found = verdict(&evidence, Rules::All);
        assert_eq!(found.status, status, "{reason}");
        assert_eq!(found.reasons.len(), 1, "{reason}: {found:?}");
        assert_eq!(found.reasons[0].reason, reason);
        // Of several processes it is asked on the whole or of each, and not of both.
        let [whole, each] =
            [Rules::OnRequests, Rules::OnClient].map(|rules| verdict(&evidence, rules).reasons);
        assert_eq!([whole, each].concat(), found.reasons);
    }
}

#[test]
fn what_is_just_within_its_bound_is_valid() {
    type Change = fn(&mut Evidence);
    let cases: [Change; 11] = [
        |e| {
            e.requests.succeeded = 99;
            e.requests.failed = 1;
        },
        |e| e.own_delay_p99 = Some(0.0099),
        |e| {
            e.median_answer = Some(0.001);
            e.overhead = None;
            e.own_delay_p99 = Some(0.0009);
        },
        |e| e.own_delay_p99 = None,
        |e| {
            e.median_answer = Some(0.001);
            e.overhead = None;
            e.vitals.loops.delay = Some(late(MILLISECOND - 1000));
        },
        // Whole answers may well fill a buffer.
        |e| {
            e.streaming = false;
            e.vitals.loops.backlog.full_reads = 9_000;
        },
        // What the kernel does not tell is held against nobody.
        |e| {
            e.vitals.surroundings = Surroundings::default();
            e.vitals.loops.run_queue_wait = None;
            e.vitals.loops.delay = None;
            e.overhead = None;
            e.capacity_used = None;
            e.rate_kept = None;
            e.concurrency_held = None;
        },
        |e| e.vitals.loops.longest_stall = 99 * MILLISECOND,
        |e| e.tokens = Some((1000, 910)),
        |e| e.output = None,
        |e| {
            e.output = Some(OutputSanity {
                judged: 100,
                repeating: 10,
                cut_off: Some(100),
                ..OutputSanity::default()
            });
        },
    ];
    for (number, change) in cases.into_iter().enumerate() {
        let mut evidence = good();
        change(&mut evidence);
        assert_eq!(
            verdict(&evidence, Rules::All),
            Verdict::default(),
            "{number}"
        );
    }
}

#[test]
fn a_stage_without_an_answer_is_invalid() {
    let mut evidence = good();
    evidence.requests = Requests {
        intended: 5,
        sent: 5,
        failed: 5,
        ..Requests::default()
    };
    let found = verdict(&evidence, Rules::All);
    let reasons: Vec<&str> = found
        .reasons
        .iter()
        .map(|reason| reason.reason.as_str())
        .collect();
    assert_eq!(found.status, Invalid);
    assert_eq!(reasons, ["NoRequests", "ErrorRateExceeded"]);
}
