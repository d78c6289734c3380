//! One stage's report from its records.
//!
//! Definitions are those of `bakeoff_crds::report::StageReport`; latencies are of requests that
//! succeeded, throughput is over the window from the first sending to the last end.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::Load,
    report::{StageReport, Throughput, Window},
    run::Objective,
};

use super::{
    client, distribution, goodput,
    groups::GroupContext,
    latency, pace, quantile, requests, sanity,
    steady::{SteadyContext, percentile_intervals, steady_state},
    token_counts, token_distribution,
    verdict::{self, Evidence, Rules},
};
use crate::{
    calibrate::Calibration,
    clock::{self, Nanos},
    drive::Driven,
    record::Record,
};

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
    let requests = requests::count(driven);
    let (window_start, window_seconds) = window(driven);
    let streamed = |of: fn(&Record) -> Option<f64>| {
        context
            .streaming
            .then(|| latency::of_all(records, of))
            .and_then(distribution)
    };
    let time_to_first = streamed(latency::time_to_first_token);
    let request_latency = distribution(latency::of_all(records, latency::request_latency));
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
        median_answer: median(&time_to_first).or_else(|| median(&request_latency)),
        window_seconds,
        streaming: context.streaming,
        rate_kept: pace::rate_kept(records),
        concurrency_held: pace::concurrency_held(records, context.load),
        overhead: context.calibration.map(|found| found.overhead_mean),
        capacity_used: client.capacity_used,
        vitals: driven.vitals.clone(),
        cut: driven.cut,
        tokens: token_counts::counted_twice(records),
    };
    let prompt_length = |record: &Record| token_counts::input_tokens(record, context.prompt_tokens);
    let input: Vec<u32> = requests::whole(records).filter_map(prompt_length).collect();
    let output: Vec<u32> = requests::whole(records)
        .filter_map(Record::answer_tokens)
        .collect();
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
    let values = |of: fn(&Record) -> Option<f64>| match context.streaming {
        true => latency::of_all(records, of),
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
        time_to_first_token_scheduled: streamed(latency::time_to_first_token_scheduled),
        inter_token_latency: context.streaming.then(|| driven.gaps.token()).flatten(),
        inter_chunk_latency: context
            .streaming
            .then(|| driven.gaps.chunk.distribution())
            .flatten(),
        time_per_output_token: streamed(latency::time_per_output_token),
        request_latency,
        request_latency_scheduled: distribution(latency::of_all(
            records,
            latency::request_latency_scheduled,
        )),
        schedule_delay: distribution(
            records
                .iter()
                .filter_map(|record| latency::since(record.due?, record.sent?))
                .collect(),
        ),
        input_tokens: token_distribution(input),
        output_tokens: token_distribution(output),
        token_count_source: token_counts::source(records),
        token_count_mismatches: token_counts::mismatches(records),
        goodput: goodput::goodput(
            records,
            requests.intended,
            window_seconds,
            context.objectives,
        ),
        models: groups.models(records, &context.names),
        turns: groups.turns(records),
        intervals: percentile_intervals(
            values(latency::time_to_first_token),
            latency::of_all(records, latency::request_latency),
            values(latency::time_per_output_token),
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
        .filter_map(|record| latency::since(record.due?, record.started))
        .collect();
    delays.sort_unstable_by(f64::total_cmp);
    quantile(&delays, 0.99)
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

#[cfg(test)]
mod tests;
