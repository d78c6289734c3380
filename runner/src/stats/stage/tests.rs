use bakeoff_crds::{plan::LoadMode, report::TokenCountSource, run::status::VerdictStatus};

use super::*;
use crate::{
    clock::{MILLISECOND, SECOND},
    drive::{
        Dropped,
        vitals::{LoopVitals, StageVitals},
    },
    record::{FailureKind, Outcome, log::Start},
    stats::Gaps,
};

/// A request that was due at so many milliseconds, sent 1 ms later, and answered by two tokens
/// 100 and 120 ms after sending.
fn answered(index: u64, due_ms: u64) -> Record {
    let due = due_ms * MILLISECOND;
    let sent = due + MILLISECOND;
    let mut record = Record::new(index, 0, Some(due), sent);
    record.sent = Some(sent);
    record.first_content = Some(sent + 100 * MILLISECOND);
    record.last_content = Some(sent + 120 * MILLISECOND);
    record.end = sent + 130 * MILLISECOND;
    record.chunks = 2;
    record.output_tokens = Some(3);
    record
}

fn driven(records: Vec<Record>, dropped: u64) -> Driven {
    let mut gaps = Gaps::new();
    gaps.record(20 * MILLISECOND, None);
    Driven {
        start: Start {
            at: 0,
            wall: clock::wall(0),
        },
        intended: records.len() as u64 + dropped,
        intended_of_all: None,
        lost: 0,
        dropped: Dropped {
            not_sent: dropped,
            ..Dropped::default()
        },
        records,
        gaps,
        vitals: StageVitals {
            loops: LoopVitals {
                cpu: MILLISECOND,
                chunks: 4,
                ..LoopVitals::default()
            },
            open_files_limit: 1000,
            ..StageVitals::default()
        },
        cut: None,
        texts: Vec::new(),
    }
}

fn context<'a>(load: &'a Load, prompt_tokens: &'a [Option<u32>]) -> StageContext<'a> {
    StageContext {
        name: "rate-2",
        round: 1,
        repetition: 2,
        attempt: 1,
        restart: 0,
        load,
        streaming: true,
        names: Vec::new(),
        objectives: &[],
        max_error_rate: 0.5,
        asked_tokens: &[3],
        forced_length: true,
        greedy: true,
        prompt_tokens,
        calibration: None,
        rules: Rules::All,
    }
}

fn open() -> Load {
    Load {
        mode: LoadMode::Open,
        rate: Some(2.0),
        ..Load::default()
    }
}

#[test]
fn figures_follow_their_definitions() {
    let load = open();
    let driven = driven(vec![answered(0, 0), answered(1, 1000)], 0);
    let report = report(&context(&load, &[Some(7)]), &driven);
    let mean = |distribution: &Option<bakeoff_crds::report::Distribution>| {
        distribution.as_ref().unwrap().mean
    };
    for (name, found, expected) in [
        ("ttft", mean(&report.time_to_first_token), 0.100),
        (
            "ttft scheduled",
            mean(&report.time_to_first_token_scheduled),
            0.101,
        ),
        ("tpot", mean(&report.time_per_output_token), 0.010),
        ("latency", mean(&report.request_latency), 0.120),
        (
            "latency scheduled",
            mean(&report.request_latency_scheduled),
            0.121,
        ),
        ("delay", mean(&report.schedule_delay), 0.001),
        ("chunks", mean(&report.inter_chunk_latency), 0.020),
        ("window", report.window.duration_seconds, 1.130),
        (
            "output",
            report.throughput.output_tokens_per_second,
            6.0 / 1.130,
        ),
        (
            "input",
            report.throughput.input_tokens_per_second,
            14.0 / 1.130,
        ),
        ("cpu", report.client.cpu_micros_per_chunk, 250.0),
    ] {
        assert!((found - expected).abs() < 1e-9, "{name}: {found}");
    }
    assert_eq!(report.inter_token_latency, None);
    assert_eq!(report.token_count_source, TokenCountSource::Server);
    assert_eq!(
        report.verdict.status,
        VerdictStatus::Valid,
        "{:?}",
        report.verdict
    );
}

#[test]
fn every_arrival_has_one_outcome() {
    let load = open();
    let mut failed = answered(1, 10);
    failed.outcome = Outcome::Failed(FailureKind::StreamError, "".into());
    let report = report(
        &context(&load, &[]),
        &driven(vec![answered(0, 0), failed], 3),
    );
    let requests = &report.requests;
    assert_eq!(
        (
            requests.intended,
            requests.sent,
            requests.succeeded,
            requests.failed,
            requests.dropped
        ),
        (5, 2, 1, 1, 3)
    );
    assert_eq!(
        requests.failures,
        BTreeMap::from([("streamError".to_owned(), 1)])
    );
    assert_eq!(report.time_to_first_token.unwrap().count, 1);
}

#[test]
fn without_streaming_there_is_no_first_token() {
    let load = open();
    let mut context = context(&load, &[]);
    context.streaming = false;
    let report = report(&context, &driven(vec![answered(0, 0)], 0));
    assert_eq!(report.time_to_first_token, None);
    assert_eq!(report.time_per_output_token, None);
    assert_eq!(report.inter_chunk_latency, None);
    assert!(report.request_latency.is_some());
}

#[test]
fn answers_that_were_read_are_told_of() {
    let load = open();
    let mut context = context(&load, &[]);
    let read = |index, right| {
        let mut record = answered(index, 0);
        let facts = crate::answer::AnswerFacts::of("abc", None);
        record.answer = Some(crate::answer::AnswerFacts { right, ..facts });
        record
    };
    let driven = driven(vec![read(0, Some(true)), read(1, None)], 0);
    let report = super::report(&context, &driven);
    assert_eq!(report.output_sanity.unwrap().judged, 2);
    assert_eq!(report.quality.unwrap().matched, 1);
    assert_eq!(
        report.answer_digests["0"],
        ["ba7816bf8f01cfea", "ba7816bf8f01cfea"]
    );
    context.greedy = false;
    assert!(super::report(&context, &driven).answer_digests.is_empty());
}

#[test]
fn overlapping_answers_have_no_time_per_token() {
    let load = open();
    let mut several = answered(0, 0);
    several.answers = 2;
    let report = report(&context(&load, &[]), &driven(vec![several], 0));
    assert_eq!(report.time_per_output_token, None);
    assert!(report.time_to_first_token.is_some());
}

#[test]
fn tokens_are_the_servers_then_the_tokenizers() {
    let load = open();
    let mut by_tokenizer = answered(0, 0);
    by_tokenizer.output_tokens = None;
    by_tokenizer.tokenizer_output_tokens = Some(5);
    let report = report(&context(&load, &[]), &driven(vec![by_tokenizer.clone()], 0));
    assert_eq!(report.token_count_source, TokenCountSource::Tokenizer);
    assert_eq!(report.output_tokens.unwrap().sum, 5);

    let mut both = answered(1, 0);
    both.tokenizer_output_tokens = Some(4);
    let report = super::report(&context(&load, &[]), &driven(vec![both, answered(2, 0)], 0));
    assert_eq!(report.output_tokens.unwrap().sum, 6);
    assert_eq!(report.token_count_mismatches, 1);
}

#[test]
fn an_answer_in_one_piece_has_no_time_per_token() {
    let mut record = answered(0, 0);
    record.chunks = 1;
    assert_eq!(latency::time_per_output_token(&record), None);
    record.chunks = 2;
    record.output_tokens = Some(1);
    assert_eq!(latency::time_per_output_token(&record), None);
}

#[test]
fn the_sum_of_no_tokens_has_no_sign() {
    let found = throughput(1, &[], &[3, 4], 2.0);
    assert!(found.input_tokens_per_second.is_sign_positive());
    assert_eq!(found.output_tokens_per_second, 3.5);
}

#[test]
fn nothing_sent_is_no_division_by_zero() {
    let load = open();
    let report = report(&context(&load, &[]), &driven(vec![], 4));
    assert_eq!(report.throughput, Throughput::default());
    assert_eq!(report.verdict.status, VerdictStatus::Invalid);
    assert_eq!(report.window.start, clock::wall(0).to_string());
    assert_eq!(SECOND, 1_000_000_000);
}
