//! One stage's report from its records.
//!
//! Definitions are those of `bakeoff_crds::report::StageReport`; latencies are of requests that
//! succeeded, throughput is over the window from the first sending to the last end.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::Load,
    report::{Requests, RetryAfter, StageReport, Throughput, TokenCountSource, Window},
    run::Objective,
};

use super::{
    client, distribution, goodput,
    groups::GroupContext,
    pace, quantile, sanity,
    steady::{SteadyContext, percentile_intervals, steady_state},
    token_distribution,
    verdict::{self, Evidence, Rules},
};
use crate::{
    calibrate::Calibration,
    clock::{self, Nanos},
    drive::Driven,
    record::{Outcome, Record},
};

/// Kind of failure of requests that a lost shard was to send: whether it did, nobody knows.
const SHARD_LOST: &str = "shardLost";

/// What a stage is called and judged by.
#[derive(Clone, Debug)]
pub struct StageContext<'a> {
    /// Name of the stage.
    pub name: &'a str,
    /// Round, from 1.
    pub round: u32,
    /// Repetition, from 1.
    pub repetition: u32,
    /// Attempt, from 1.
    pub attempt: u32,
    /// How often the round had begun anew on another node before.
    pub restart: u32,
    /// The load.
    pub load: &'a Load,
    /// Whether answers streamed.
    pub streaming: bool,
    /// The names that requests asked for, in the plan's order.
    pub names: Vec<String>,
    /// Bounds that make an answer good.
    pub objectives: &'a [Objective],
    /// Share of failed and dropped arrivals over which the stage is Invalid.
    pub max_error_rate: f64,
    /// Longest answer asked for, by prompt.
    pub asked_tokens: &'a [u32],
    /// Whether answers were to run to their full length.
    pub forced_length: bool,
    /// Whether sampling was greedy, so that answers can be held against each other.
    pub greedy: bool,
    /// Length of each prompt by the tokenizer, where it is known; stands in where the engine does
    /// not tell.
    pub prompt_tokens: &'a [Option<u32>],
    /// What the client adds itself, where it was calibrated.
    pub calibration: Option<Calibration>,
    /// By what it is judged.
    pub rules: Rules,
}

/// The report of a stage. Engine metrics are not in it yet.
pub fn report(context: &StageContext<'_>, driven: &Driven) -> StageReport {
    let records = &driven.records;
    let requests = count(driven);
    let (window_start, window_seconds) = window(driven);
    let streamed = |latency: fn(&Record) -> Option<f64>| {
        context
            .streaming
            .then(|| succeeded(records, latency))
            .and_then(distribution)
    };
    let time_to_first = streamed(time_to_first_token);
    let latency = distribution(succeeded(records, request_latency));
    let median = |found: &Option<bakeoff_crds::report::Distribution>| {
        found.as_ref().and_then(|distribution| distribution.p50)
    };
    let output_sanity = sanity::output_sanity(records, context.asked_tokens, context.forced_length);
    let client = client::client(&driven.vitals, context.calibration, window_seconds);
    let evidence = Evidence {
        output: output_sanity.clone(),
        requests: requests.clone(),
        max_error_rate: context.max_error_rate,
        own_delay_p99: own_delay_p99(records),
        median_answer: median(&time_to_first).or_else(|| median(&latency)),
        window_seconds,
        streaming: context.streaming,
        rate_kept: pace::rate_kept(records),
        concurrency_held: pace::concurrency_held(records, context.load),
        overhead: context.calibration.map(|found| found.overhead_mean),
        capacity_used: client.capacity_used,
        vitals: driven.vitals.clone(),
        cut: driven.cut,
        tokens: counted_twice(records),
    };
    let prompt_length = |record: &Record| input_tokens(record, context.prompt_tokens);
    let input: Vec<u32> = whole(records).filter_map(prompt_length).collect();
    let output: Vec<u32> = whole(records).filter_map(Record::answer_tokens).collect();
    let steady = steady_state(
        records,
        &SteadyContext {
            load: context.load,
            streaming: context.streaming,
            window_start,
            input_tokens: &prompt_length,
        },
    );
    let groups = GroupContext {
        streaming: context.streaming,
        input_tokens: &prompt_length,
    };
    let (steady_state, no_steady_state) = match steady {
        Ok(steady) => (Some(steady), None),
        Err(reason) => (None, Some(reason)),
    };
    let values = |latency: fn(&Record) -> Option<f64>| match context.streaming {
        true => succeeded(records, latency),
        false => Vec::new(),
    };
    StageReport {
        name: context.name.into(),
        round: context.round,
        repetition: context.repetition,
        attempt: context.attempt,
        restart: context.restart,
        load: context.load.clone(),
        window: Window {
            start: driven.start.wall_of(window_start).to_string(),
            duration_seconds: window_seconds,
        },
        throughput: throughput(requests.succeeded, &input, &output, window_seconds),
        time_to_first_token: time_to_first,
        time_to_first_token_scheduled: streamed(time_to_first_token_scheduled),
        inter_token_latency: context.streaming.then(|| driven.gaps.token()).flatten(),
        inter_chunk_latency: context
            .streaming
            .then(|| driven.gaps.chunk.distribution())
            .flatten(),
        time_per_output_token: streamed(time_per_output_token),
        request_latency: latency,
        request_latency_scheduled: distribution(succeeded(records, request_latency_scheduled)),
        schedule_delay: distribution(
            records
                .iter()
                .filter_map(|record| since(record.due?, record.sent?))
                .collect(),
        ),
        input_tokens: token_distribution(input),
        output_tokens: token_distribution(output),
        token_count_source: source(records),
        token_count_mismatches: mismatches(records),
        goodput: goodput::goodput(
            records,
            requests.intended,
            window_seconds,
            context.objectives,
        ),
        models: groups.models(records, &context.names),
        turns: groups.turns(records),
        intervals: percentile_intervals(
            values(time_to_first_token),
            succeeded(records, request_latency),
            values(time_per_output_token),
        ),
        steady_state,
        no_steady_state,
        output_sanity,
        quality: sanity::quality(records),
        answer_digests: match context.greedy {
            true => sanity::digests(records),
            false => BTreeMap::new(),
        },
        client,
        shards: Vec::new(),
        engine_metrics: BTreeMap::new(),
        resources: BTreeMap::new(),
        accelerators: Vec::new(),
        energy: None,
        reconciliation: Vec::new(),
        cost: None,
        cache: None,
        verdict: verdict::verdict(&evidence, context.rules),
        requests,
    }
}

fn whole(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.succeeded())
}

fn succeeded(records: &[Record], latency: fn(&Record) -> Option<f64>) -> Vec<f64> {
    whole(records).filter_map(latency).collect()
}

fn since(from: Nanos, to: Nanos) -> Option<f64> {
    to.checked_sub(from).map(clock::seconds)
}

/// First content, from sending.
pub(super) fn time_to_first_token(record: &Record) -> Option<f64> {
    since(record.sent?, record.first_content?)
}

/// First content, from when the request was due.
pub(super) fn time_to_first_token_scheduled(record: &Record) -> Option<f64> {
    since(record.due?, record.first_content?)
}

/// Last content, from when the request was due.
pub(super) fn request_latency_scheduled(record: &Record) -> Option<f64> {
    since(record.due?, record.last_content?)
}

/// Last content, from sending.
pub(super) fn request_latency(record: &Record) -> Option<f64> {
    since(record.sent?, record.last_content?)
}

/// (last content - first content) / (tokens - 1), for two tokens or more that did not come in one
/// piece. None for a request of several prompts: its answers overlap, and their tokens are counted
/// together.
pub(super) fn time_per_output_token(record: &Record) -> Option<f64> {
    let tokens = record.answer_tokens()?;
    if tokens < 2 || record.chunks < 2 || record.answers > 1 {
        return None;
    }
    Some(since(record.first_content?, record.last_content?)? / f64::from(tokens - 1))
}

fn count(driven: &Driven) -> Requests {
    let mut failures = BTreeMap::new();
    for record in &driven.records {
        if let Outcome::Failed(kind, _) = &record.outcome {
            *failures.entry(kind.name().to_owned()).or_insert(0) += 1;
        }
    }
    if driven.lost > 0 {
        failures.insert(SHARD_LOST.to_owned(), driven.lost);
    }
    let failed = failures.values().sum();
    let sent = driven.records.len() as u64 + driven.lost;
    Requests {
        intended: driven.intended + driven.lost,
        sent,
        succeeded: sent - failed,
        failed,
        dropped: driven.dropped.total(),
        failures,
        drops: drops(driven),
        retry_after: retry_after(&driven.records),
    }
}

/// For how long the server asked to be left alone.
fn retry_after(records: &[Record]) -> Option<RetryAfter> {
    let asked = records.iter().filter_map(|record| record.retry_after);
    let asked: Vec<f64> = asked.map(f64::from).collect();
    let count = asked.len() as u64;
    (count > 0).then(|| RetryAfter {
        count,
        mean_seconds: asked.iter().sum::<f64>() / count as f64,
        max_seconds: asked.iter().copied().fold(0.0, f64::max),
    })
}

/// Requests that were never sent, by kind; those kinds alone that there were.
fn drops(driven: &Driven) -> BTreeMap<String, u64> {
    let dropped = driven.dropped;
    [
        ("notSent", dropped.not_sent),
        ("conversationEnded", dropped.conversation_ended),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(kind, count)| (kind.to_owned(), count))
    .collect()
}

/// From the first sending to the last end.
fn window(driven: &Driven) -> (Nanos, f64) {
    let records = &driven.records;
    let first = records
        .iter()
        .map(|record| record.sent.unwrap_or(record.started))
        .min();
    let last = records.iter().map(|record| record.end).max();
    match (first, last) {
        (Some(first), Some(last)) => (first, clock::seconds(last.saturating_sub(first))),
        _ => (driven.start.at, 0.0),
    }
}

/// The client's own delay: until it took a request up, not until a connection stood.
fn own_delay_p99(records: &[Record]) -> Option<f64> {
    let mut delays: Vec<f64> = records
        .iter()
        .filter_map(|record| since(record.due?, record.started))
        .collect();
    delays.sort_unstable_by(f64::total_cmp);
    quantile(&delays, 0.99)
}

/// Length of a prompt: the engine's figure first, the tokenizer's second.
fn input_tokens(record: &Record, prompt_tokens: &[Option<u32>]) -> Option<u32> {
    let by_tokenizer = || {
        let at = usize::try_from(record.prompt).ok()?;
        *prompt_tokens.get(at)?
    };
    record.input_tokens.or_else(by_tokenizer)
}

fn throughput(succeeded: u64, input: &[u32], output: &[u32], window_seconds: f64) -> Throughput {
    if window_seconds <= 0.0 {
        return Throughput::default();
    }
    // From 0: the sum of no numbers is -0 otherwise, which is how it would be shown.
    let sum = |counts: &[u32]| {
        counts
            .iter()
            .fold(0.0, |sum, &count| sum + f64::from(count))
    };
    Throughput {
        requests_per_second: succeeded as f64 / window_seconds,
        input_tokens_per_second: sum(input) / window_seconds,
        output_tokens_per_second: sum(output) / window_seconds,
    }
}

/// Who counted, where it is one for all: the engine where it counted any.
fn source(records: &[Record]) -> TokenCountSource {
    if whole(records).any(|record| record.output_tokens.is_some()) {
        TokenCountSource::Server
    } else if whole(records).any(|record| record.tokenizer_output_tokens.is_some()) {
        TokenCountSource::Tokenizer
    } else {
        TokenCountSource::None
    }
}

fn both_counts(records: &[Record]) -> impl Iterator<Item = (u32, u32)> {
    whole(records).filter_map(|record| record.output_tokens.zip(record.tokenizer_output_tokens))
}

fn mismatches(records: &[Record]) -> u64 {
    both_counts(records)
        .filter(|(engine, tokenizer)| engine != tokenizer)
        .count() as u64
}

fn counted_twice(records: &[Record]) -> Option<(u64, u64)> {
    both_counts(records)
        .map(|(engine, tokenizer)| (u64::from(engine), u64::from(tokenizer)))
        .reduce(|sums, counts| (sums.0 + counts.0, sums.1 + counts.1))
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::{plan::LoadMode, run::status::VerdictStatus};

    use super::*;
    use crate::{
        clock::{MILLISECOND, SECOND},
        drive::{
            Dropped,
            vitals::{LoopVitals, StageVitals},
        },
        record::{FailureKind, log::Start},
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
        assert_eq!(time_per_output_token(&record), None);
        record.chunks = 2;
        record.output_tokens = Some(1);
        assert_eq!(time_per_output_token(&record), None);
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
}
