//! The flat JSON of `vllm bench serve --save-result --save-detailed`, one file per stage.
//!
//! Layout: vllm-project/vllm at 009e6d4a, `vllm/benchmarks/serve.py`. Statistics in milliseconds,
//! lists in seconds; `itl` is the gap between frames, pooled over requests, and not per token.

use bakeoff_crds::{plan::LoadMode, report::Distribution, run::Arrival};
use serde_json::{Map, Value, json};

use super::{
    Pass, Stage, compact_date,
    requests::Request,
    sample::{Sample, per, percentile_of, population_deviation_of},
};

/// The percentile that the tool gives without being asked for others.
const PERCENTILE: f64 = 99.0;

/// The file of a stage.
pub fn result(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let mut result = Map::new();
    // As the tool's own `--metadata KEY=VALUE`, which figures of the same name win over.
    for (key, value) in &pass.report.run.metadata {
        result.insert(key.clone(), json!(value));
    }
    let mut add = |pairs: Vec<(&str, Value)>| {
        result.extend(
            pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value)),
        );
    };
    add(identity(pass, stage));
    add(load(stage));
    add(totals(stage));
    add(details(pass, stage));
    for (name, found) in statistics(pass, stage) {
        let Some([mean, median, deviation, p99]) = found else {
            continue;
        };
        for (key, value) in [
            ("mean", mean),
            ("median", median),
            ("std", deviation),
            ("p99", p99),
        ] {
            result.insert(format!("{key}_{name}_ms"), json!(value));
        }
    }
    Value::Object(result)
}

fn identity(pass: &Pass<'_>, stage: &Stage<'_>) -> Vec<(&'static str, Value)> {
    let backend = match pass.engine.provenance.protocol.as_deref() {
        Some("OpenAiChat") => "openai-chat",
        Some("OpenAiCompletions") => "openai",
        Some(other) => other,
        None => "unknown",
    };
    vec![
        ("date", json!(compact_date(stage.begin()))),
        ("endpoint_type", json!(backend)),
        ("backend", json!(backend)),
        ("label", json!(pass.engine.name)),
        ("model_id", json!(pass.model())),
        ("tokenizer_id", json!(pass.model())),
        ("num_prompts", json!(stage.report.requests.intended)),
        ("bakeoff_run", json!(pass.report.run.identity.folder())),
        ("bakeoff_stage", json!(stage.report.name)),
        ("bakeoff_round", json!(pass.round.to_string())),
        ("bakeoff_repetition", json!(pass.repetition.to_string())),
        (
            "bakeoff_verdict",
            json!(format!("{:?}", stage.report.verdict.status)),
        ),
    ]
}

/// A closed loop is an infinite rate with a bound on the requests in flight.
fn load(stage: &Stage<'_>) -> Vec<(&'static str, Value)> {
    let load = &stage.report.load;
    let infinite = json!("inf");
    let burstiness = match load.arrival {
        Some(Arrival::Constant) => infinite.clone(),
        Some(Arrival::Gamma) => json!(load.burstiness),
        Some(Arrival::Poisson) | None => json!(1.0),
    };
    let ramp = load.rate.zip(load.to_rate);
    let rate = match (load.mode, load.rate, ramp) {
        (LoadMode::Open, Some(rate), None) => json!(rate),
        _ => infinite,
    };
    let mut pairs = vec![
        ("request_rate", rate),
        ("burstiness", burstiness),
        ("max_concurrency", json!(load.concurrency)),
    ];
    if let Some((from, to)) = ramp {
        pairs.extend([
            ("ramp_up_strategy", json!("linear")),
            ("ramp_up_start_rps", json!(from)),
            ("ramp_up_end_rps", json!(to)),
        ]);
    }
    pairs
}

fn totals(stage: &Stage<'_>) -> Vec<(&'static str, Value)> {
    let (report, seconds) = (stage.report, stage.seconds());
    let (input, output) = (stage.input_total(), stage.output_total());
    let total = input.zip(output).map(|(input, output)| input + output);
    let rate = |tokens: Option<u64>| json!(tokens.map(|tokens| per(tokens as f64, seconds)));
    let goodput = report.goodput.as_ref();
    vec![
        ("duration", json!(seconds)),
        ("completed", json!(report.requests.succeeded)),
        ("failed", json!(report.requests.failed)),
        ("total_input_tokens", json!(input)),
        ("total_output_tokens", json!(output)),
        (
            "request_throughput",
            json!(per(report.requests.succeeded as f64, seconds)),
        ),
        (
            "request_goodput",
            json!(goodput.map(|goodput| goodput.requests_per_second)),
        ),
        ("output_throughput", rate(output)),
        ("total_token_throughput", rate(total)),
        (
            "max_output_tokens_per_s",
            json!(most_tokens_in_a_second(stage)),
        ),
        ("max_concurrent_requests", json!(most_in_flight(stage))),
        // Of audio alone.
        ("rtfx", json!(0.0)),
    ]
}

/// One value per request, failed ones among them, as the tool has them: 0 where there is none.
fn details(pass: &Pass<'_>, stage: &Stage<'_>) -> Vec<(&'static str, Value)> {
    let requests = &stage.log.requests;
    let seconds = |of: fn(&Request) -> Option<f64>| -> Value {
        let value = |request: &Request| match request.failure {
            None => of(request).unwrap_or_default() / 1e9,
            Some(_) => 0.0,
        };
        requests.iter().map(value).collect()
    };
    let output = |request: &Request| match request.failure {
        None => request.answer_tokens(),
        Some(_) => Some(0),
    };
    let error = |request: &Request| match &request.failure {
        None => String::new(),
        Some((kind, message)) => format!("{kind}: {message}"),
    };
    let queued = |request: &Request| request.delay().unwrap_or_default() / 1e9;
    let mut pairs = vec![
        (
            "input_lens",
            json!(
                requests
                    .iter()
                    .map(|request| request.input_tokens)
                    .collect::<Vec<_>>()
            ),
        ),
        (
            "output_lens",
            json!(requests.iter().map(output).collect::<Vec<_>>()),
        ),
        ("latencies", seconds(Request::latency)),
        (
            "start_times",
            requests
                .iter()
                .map(|request| request.sent as f64 / 1e9)
                .collect(),
        ),
        ("queue_times", requests.iter().map(queued).collect()),
        ("errors", requests.iter().map(error).collect()),
    ];
    if pass.streaming() {
        pairs.push(("ttfts", seconds(Request::time_to_first_token)));
    }
    pairs
}

/// Mean, median, standard deviation and 99th percentile, in milliseconds.
type Four = [Option<f64>; 4];

/// None where the figure does not apply; values of none where nothing was answered.
fn statistics(pass: &Pass<'_>, stage: &Stage<'_>) -> [(&'static str, Option<Four>); 6] {
    let open = stage.report.load.mode == LoadMode::Open;
    let answered = |of: fn(&Request) -> Option<f64>| four(stage.succeeded().filter_map(of));
    let chunks = stage.report.inter_chunk_latency.as_ref();
    let chunks = chunks.map_or([None; 4], of_distribution);
    let streamed = |four: Four| pass.streaming().then_some(four);
    [
        ("ttft", streamed(four(stage.times_to_first_token(pass)))),
        ("tpot", streamed(four(stage.times_per_output_token(pass)))),
        ("itl", streamed(chunks)),
        ("e2el", Some(answered(Request::latency))),
        ("client_queue_time", open.then(|| answered(Request::delay))),
        (
            "e2el_including_client_queue",
            open.then(|| answered(|request| Some(request.latency()? + request.delay()?))),
        ),
    ]
}

fn four(nanoseconds: impl IntoIterator<Item = f64>) -> Four {
    let sample = Sample::of(nanoseconds.into_iter().map(|value| value / 1e6));
    sample.map_or([None; 4], |sample| {
        [
            sample.mean(),
            sample.percentile(50.0),
            sample.population_deviation(),
            sample.percentile(PERCENTILE),
        ]
        .map(Some)
    })
}

/// Of a distribution in seconds whose values were not kept.
fn of_distribution(distribution: &Distribution) -> Four {
    [
        Some(distribution.mean),
        percentile_of(distribution, 50.0),
        Some(population_deviation_of(distribution)),
        percentile_of(distribution, PERCENTILE),
    ]
    .map(|seconds| seconds.map(|seconds| seconds * 1e3))
}

/// Most requests that were answered at one time; one that ends makes room for one that begins in the
/// same moment.
fn most_in_flight(stage: &Stage<'_>) -> i64 {
    let mut events: Vec<(i64, i64)> = stage
        .succeeded()
        .filter_map(|request| Some([(request.sent, 1), (request.last_content?, -1)]))
        .flatten()
        .collect();
    events.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in events {
        now += change;
        most = most.max(now);
    }
    most
}

/// Most output tokens in one of the seconds since the first sending. The log has no time for each
/// token: those of an answer are taken as evenly spread between its first and its last content.
fn most_tokens_in_a_second(stage: &Stage<'_>) -> u64 {
    let first = stage.succeeded().map(|request| request.sent).min();
    let mut seconds: Vec<u64> = Vec::new();
    for request in stage.succeeded() {
        let span = request.first_content.zip(request.last_content);
        let (Some(first), Some((begin, end)), Some(tokens)) =
            (first, span, request.answer_tokens())
        else {
            continue;
        };
        let step = (end - begin) as f64 / f64::from(tokens.saturating_sub(1).max(1));
        for token in 0..tokens {
            let at = (begin - first) as f64 + step * f64::from(token);
            let second = (at / 1e9).max(0.0) as usize;
            if seconds.len() <= second {
                seconds.resize(second + 1, 0);
            }
            if let Some(count) = seconds.get_mut(second) {
                *count += 1;
            }
        }
    }
    seconds.into_iter().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{fixture, requests::Log};

    const SECOND: i64 = 1_000_000_000;

    fn answered(sent: i64, first: i64, last: i64, tokens: u32) -> Request {
        Request {
            sent,
            first_content: Some(first),
            last_content: Some(last),
            end: last,
            chunks: tokens,
            output_tokens: Some(tokens),
            ..Request::default()
        }
    }

    #[test]
    fn peaks_are_counted_by_hand() {
        let report = bakeoff_crds::report::StageReport::default();
        let requests = vec![
            // Tokens at 0.5, 1.0, 1.5 and 2.0 s after the first sending.
            answered(SECOND, 3 * SECOND / 2, 3 * SECOND, 4),
            // Tokens at 1.0 and 1.9 s; it begins as the first one ends.
            answered(3 * SECOND / 2, 2 * SECOND, 29 * SECOND / 10, 2),
            answered(3 * SECOND, 4 * SECOND, 4 * SECOND, 1),
        ];
        let stage = Stage {
            report: &report,
            log: Log {
                start: fixture::start(),
                requests,
            },
        };
        assert_eq!(most_in_flight(&stage), 2);
        assert_eq!(most_tokens_in_a_second(&stage), 4);
    }
}
