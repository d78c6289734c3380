use bakeoff_crds::{
    plan::{Load, LoadMode, Stage, StageEnd},
    run::{Objective, ObjectiveMetric},
};
use proptest::prelude::*;

use super::*;
use crate::{
    calibrate::Calibration,
    clock::{self, MILLISECOND, Nanos, SECOND},
    drive::{
        Cut, Dropped, Share,
        vitals::{LoopVitals, StageVitals},
    },
    record::{
        FailureKind, Outcome, Record,
        log::{self, Start},
    },
    shard::result::{Place, SCHEMA_VERSION, ShardResult},
    stats::{Gaps, Latencies},
};

/// One request, and the gaps of its answer.
#[derive(Clone, Debug)]
struct Sample {
    record: Record,
    gaps: Vec<(Nanos, Option<u32>)>,
    shard: u32,
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let one = (
        0_u64..5_000,
        0_u64..50_000_000,
        1_u64..2_000_000_000,
        prop::collection::vec((1_u64..300_000_000, prop::option::of(1_u32..4)), 0..4),
        prop::option::of(1_u32..50),
        prop::option::of(1_u32..50),
        0_u8..8,
        0_u32..8,
    );
    prop::collection::vec(one, 1..60).prop_map(|samples| {
        let mut samples: Vec<Sample> = samples
            .into_iter()
            .enumerate()
            .map(
                |(index, (due, delay, answer, gaps, server, tokenizer, failure, shard))| {
                    let due = COMMON + due * MILLISECOND;
                    let mut record =
                        Record::new(index as u64, index as u64 % 3, Some(due), due + delay);
                    record.sent = Some(due + delay + 1);
                    record.first_content = Some(due + delay + answer);
                    let length: Nanos = gaps.iter().map(|(gap, _)| gap).sum();
                    record.last_content = Some(due + delay + answer + length);
                    record.end = due + delay + answer + length + 5;
                    record.chunks = gaps.len() as u32 + 1;
                    record.output_tokens = server;
                    record.tokenizer_output_tokens = tokenizer;
                    if failure == 0 {
                        record.outcome = Outcome::Failed(FailureKind::Truncated, "cut".into());
                    }
                    Sample {
                        record,
                        gaps,
                        shard,
                    }
                },
            )
            .collect();
        samples.sort_by_key(|sample| sample.record.index);
        samples
    })
}

/// What stands for the common start in these tests: the same as for parts that were read back.
const COMMON: Nanos = 3600 * SECOND;

fn load() -> Load {
    Load {
        mode: LoadMode::Open,
        rate: Some(10.0),
        ..Load::default()
    }
}

fn context<'a>(
    load: &'a Load,
    objectives: &'a [Objective],
    prompt_tokens: &'a [Option<u32>],
) -> StageContext<'a> {
    StageContext {
        name: "rate-10",
        round: 1,
        repetition: 2,
        attempt: 3,
        restart: 1,
        load,
        streaming: true,
        names: vec!["base".into(), "adapter".into()],
        objectives,
        max_error_rate: 0.01,
        asked_tokens: &[],
        forced_length: true,
        greedy: true,
        prompt_tokens,
        calibration: None,
        rules: Rules::All,
    }
}

fn driven(samples: &[Sample], dropped: u64, vitals: StageVitals, all: u64) -> Driven {
    let mut gaps = Gaps::new();
    for (gap, tokens) in samples.iter().flat_map(|sample| &sample.gaps) {
        gaps.record(*gap, *tokens);
    }
    Driven {
        start: Start {
            at: COMMON,
            wall: clock::wall(5 * SECOND),
        },
        intended: samples.len() as u64 + dropped,
        intended_of_all: Some(all),
        lost: 0,
        dropped: Dropped {
            not_sent: dropped,
            ..Dropped::default()
        },
        records: samples.iter().map(|sample| sample.record.clone()).collect(),
        gaps,
        vitals,
        cut: None,
        texts: Vec::new(),
    }
}

/// A shard's part after its way through its two files, timed by a clock of its own.
fn part(index: u32, of: u32, mut driven: Driven) -> Part {
    let own_clock = Nanos::from(index) * 1_000_000_007;
    driven.start.at += own_clock;
    for record in &mut driven.records {
        let Record {
            due,
            started,
            sent,
            first_content,
            last_content,
            end,
            ..
        } = record;
        for at in [due, sent, first_content, last_content]
            .into_iter()
            .flatten()
        {
            *at += own_clock;
        }
        *started += own_clock;
        *end += own_clock;
    }
    let log = log::compressed("rate-10", driven.start, &driven.records).unwrap();
    let stage = Stage {
        name: "rate-10".into(),
        load: load(),
        end: StageEnd::Seconds(5.0),
    };
    let result = ShardResult::of(&driven, &stage, Place::default(), Share { index, of });
    Part::read(&serde_json::to_vec(&result).unwrap(), &log).unwrap()
}

fn vitals(seed: u64) -> StageVitals {
    let mut delay = Latencies::new();
    delay.record(seed % 12 * MILLISECOND, 100);
    StageVitals {
        loops: LoopVitals {
            cpu: seed % 1000 * MILLISECOND,
            span: 2 * SECOND,
            delay: Some(delay),
            chunks: seed % 77,
            longest_stall: seed % 90 * MILLISECOND,
            late_start: seed % 10 * MILLISECOND,
            reconnects: seed % 5,
            ..LoopVitals::default()
        },
        peak_rss_bytes: seed % 4096,
        open_files_limit: 10_000 + seed % 5,
        open_files_needed: 100 + seed % 7,
        ..StageVitals::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The report of the parts is that of one process with the same requests, field by field.
    #[test]
    fn parts_give_the_report_of_the_whole(samples in samples(), of in 1_u32..8, seed in 0_u64..1_000_000) {
        let (load, objectives, tokens) = (
            load(),
            [Objective {
                metric: ObjectiveMetric::TimeToFirstToken,
                percentile: 90.0,
                less_than: bakeoff_crds::Duration::from_millis(500),
            }],
            [Some(5), None, Some(9)],
        );
        let context = context(&load, &objectives, &tokens);
        let all = samples.len() as u64 + u64::from(of);
        let own: Vec<StageVitals> = (0..of).map(|index| vitals(seed.wrapping_mul(u64::from(index) + 1))).collect();
        let parts: Vec<Part> = (0..of)
            .map(|index| {
                let own_samples: Vec<Sample> =
                    samples.iter().filter(|sample| sample.shard % of == index).cloned().collect();
                part(index, of, driven(&own_samples, 1, own[index as usize].clone(), all))
            })
            .collect();
        let whole = driven(&samples, u64::from(of), StageVitals::default(), all);
        let mut expected = report(&StageContext { rules: Rules::OnRequests, ..context.clone() }, &whole);
        let merged = merge(&context, &parts, of).unwrap();
        let mut found = merged.report;
        prop_assert_eq!(merged.driven.records.len(), samples.len());
        // Clients are judged one by one beside: whatever speaks against the whole still does.
        for reason in &expected.verdict.reasons {
            prop_assert!(found.verdict.reasons.contains(reason), "{:?} lacks {:?}", found.verdict, reason);
        }
        let own_intended: u64 = found.shards.iter().map(|shard| shard.requests.intended).sum();
        prop_assert_eq!(own_intended, expected.requests.intended);
        prop_assert_eq!(found.shards.len(), of as usize);
        // What clients saw of themselves adds up, or is the worst of it.
        let sum = |of: fn(&StageVitals) -> u64| own.iter().map(of).sum::<u64>();
        prop_assert_eq!(found.client.chunks, sum(|own| own.loops.chunks));
        let cpu = clock::seconds(sum(|own| own.loops.cpu));
        prop_assert!((found.client.cpu_seconds - cpu).abs() < 1e-9);
        let stall = own.iter().map(|own| own.loops.longest_stall).max().unwrap_or_default();
        prop_assert_eq!(found.client.longest_stall_seconds, clock::seconds(stall));
        (found.verdict, found.shards) = (Verdict::default(), Vec::new());
        expected.verdict = Verdict::default();
        found.client = expected.client.clone();
        prop_assert_eq!(found, expected);
    }
}

fn quiet(index: u64, shard: u32) -> Sample {
    let due = COMMON + index * 100 * MILLISECOND;
    let mut record = Record::new(index, 0, Some(due), due);
    record.sent = Some(due);
    record.first_content = Some(due + 200 * MILLISECOND);
    record.last_content = Some(due + 220 * MILLISECOND);
    record.end = due + 220 * MILLISECOND;
    record.chunks = 2;
    record.output_tokens = Some(2);
    Sample {
        record,
        gaps: vec![(20 * MILLISECOND, Some(1))],
        shard,
    }
}

/// Three shards of four requests each, all well.
fn good() -> Vec<Part> {
    (0..3)
        .map(|index| {
            let samples: Vec<Sample> = (0..4)
                .map(|number| quiet(u64::from(index) + 3 * number, index))
                .collect();
            let vitals = StageVitals {
                open_files_limit: 1024,
                ..StageVitals::default()
            };
            part(index, 3, driven(&samples, 0, vitals, 12))
        })
        .collect()
}

fn verdict_of(parts: &[Part]) -> (Vec<(String, VerdictStatus, String)>, StageReport) {
    let load = load();
    let merged = merge(&context(&load, &[], &[]), parts, 3).unwrap();
    let reasons = merged.report.verdict.reasons.iter();
    let reasons =
        reasons.map(|reason| (reason.reason.clone(), reason.status, reason.message.clone()));
    (reasons.collect(), merged.report)
}

#[test]
fn a_shard_that_is_lost_is_named_and_its_arrivals_are_counted() {
    let (reasons, report) = verdict_of(&good());
    assert_eq!(reasons, []);
    assert_eq!(report.requests.succeeded, 12);

    let mut parts = good();
    parts.remove(1);
    let (reasons, report) = verdict_of(&parts);
    let (reason, status, message) = &reasons[0];
    assert_eq!(
        (reason.as_str(), *status),
        (SHARD_LOST, VerdictStatus::Invalid)
    );
    assert!(message.contains("shard 1 of 3"), "{message}");
    let requests = &report.requests;
    assert_eq!(
        (requests.intended, requests.succeeded, requests.failed),
        (12, 8, 4)
    );
    assert_eq!(requests.sent, requests.succeeded + requests.failed);
    assert_eq!(requests.failures["shardLost"], 4);
    let lost: Vec<bool> = report.shards.iter().map(|shard| shard.lost).collect();
    assert_eq!(lost, [false, true, false]);
    // What the others measured is in the figures.
    assert_eq!(report.time_to_first_token.unwrap().count, 8);
}

#[test]
fn what_one_shard_suffers_is_said_with_its_number() {
    type Change = fn(&mut ShardResult);
    let cases: [(&str, VerdictStatus, Change); 9] = [
        ("ClientStalled", VerdictStatus::Suspect, |shard| {
            shard.vitals.loops.longest_stall = 150 * MILLISECOND;
        }),
        ("ClientThrottled", VerdictStatus::Invalid, |shard| {
            shard.vitals.surroundings.throttled = Some(2 * SECOND);
        }),
        ("FileDescriptorLimit", VerdictStatus::Invalid, |shard| {
            shard.vitals.loops.descriptors_refused = 2;
        }),
        ("CpuContention", VerdictStatus::Suspect, |shard| {
            shard.vitals.loops.span = SECOND;
            shard.vitals.loops.run_queue_wait = Some(SECOND / 10);
        }),
        ("ClientLate", VerdictStatus::Suspect, |shard| {
            let mut delay = Latencies::new();
            delay.record(20 * MILLISECOND, 1000);
            shard.vitals.loops.delay = Some(delay);
        }),
        ("ClientOverhead", VerdictStatus::Suspect, |shard| {
            shard.calibration = Some(Calibration {
                streams: 1,
                overhead_mean: 0.002,
                overhead_p99: None,
                sustainable_chunks_per_second: 1e6,
                seconds: 1.0,
                cpu_seconds: 1.0,
            });
        }),
        ("Cancelled", VerdictStatus::Invalid, |shard| {
            shard.cut = Some(Cut::Cancelled);
        }),
        ("ShardLate", VerdictStatus::Suspect, |shard| {
            shard.vitals.loops.late_start = 11 * MILLISECOND;
        }),
        ("ClockOffset", VerdictStatus::Suspect, |shard| {
            shard.clock_offset_bound_seconds = 0.011;
        }),
    ];
    for (expected, status, change) in cases {
        let mut parts = good();
        change(&mut parts[2].result);
        let (reasons, _) = verdict_of(&parts);
        assert_eq!(reasons.len(), 1, "{expected}: {reasons:?}");
        assert_eq!((reasons[0].0.as_str(), reasons[0].1), (expected, status));
        assert!(reasons[0].2.contains("shard 2"), "{reasons:?}");
    }
}

/// One shard of three is behind its schedule: a third of all requests, but its own 99th percentile.
#[test]
fn a_shard_behind_its_schedule_is_not_hidden_by_the_others() {
    let mut parts = good();
    for record in &mut parts[1].records {
        record.started += 50 * MILLISECOND;
    }
    let (reasons, _) = verdict_of(&parts);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(reasons[0].0, "ScheduleDelay");
    assert!(reasons[0].2.starts_with("shard 1: "), "{reasons:?}");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let samples = [quiet(0, 0), quiet(1, 0)];
    let driven = driven(&samples, 0, StageVitals::default(), 2);
    let log = log::compressed("rate-10", driven.start, &driven.records).unwrap();
    let stage = Stage {
        name: "rate-10".into(),
        load: load(),
        end: StageEnd::Requests(2),
    };
    let result = ShardResult::of(&driven, &stage, Place::default(), Share { index: 0, of: 2 });
    let refusal = |result: &ShardResult, log: &[u8]| {
        let json = serde_json::to_vec(result).unwrap();
        Part::read(&json, log).unwrap_err().to_string()
    };
    let short = log::compressed("rate-10", driven.start, &driven.records[..1]).unwrap();
    assert_eq!(refusal(&result, &short), "its log holds 1 requests, not 2");
    assert!(refusal(&result, b"?").contains("cannot be read"));
    let mut other = result.clone();
    other.schema_version = "v9".into();
    assert_eq!(
        refusal(&other, &log),
        format!("its version is \"v9\", not {SCHEMA_VERSION:?}")
    );
}
