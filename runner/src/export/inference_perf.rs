//! The lifecycle files of inference-perf, one folder per pass: a summary, one file per stage, and the
//! requests.
//!
//! Layout: kubernetes-sigs/inference-perf at 010d12fb, `inference_perf/reportgen/base.py`. Seconds
//! throughout; a latency ends with the stream, not with the last content.

mod goodput;
mod requests;

use std::collections::BTreeMap;

use bakeoff_crds::report::Distribution;
use serde_json::{Value, json};

use super::{
    FormatError, Named, Pass, Stage,
    requests::Request,
    sample::{Sample, object, per, percentile_of},
};

/// Percentiles by their keys.
const PERCENTILES: [(&str, f64); 11] = [
    ("p0.1", 0.1),
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("median", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
];
/// Most messages that are kept of one kind of failure, as in the tool.
const MESSAGES: usize = 100;

/// The files of a pass.
///
/// # Errors
/// Where a value cannot be written.
pub fn files(pass: &Pass<'_>) -> Result<Named, FormatError> {
    let all: Vec<&Stage<'_>> = pass.stages.iter().collect();
    let mut files = vec![(
        "summary_lifecycle_metrics.json".to_owned(),
        serde_json::to_vec_pretty(&lifecycle(pass, &all, false))?,
    )];
    for (number, stage) in pass.stages.iter().enumerate() {
        files.push((
            format!("stage_{number}_lifecycle_metrics.json"),
            serde_json::to_vec_pretty(&lifecycle(pass, &[stage], true))?,
        ));
    }
    files.push((
        "per_request_lifecycle_metrics.json".to_owned(),
        serde_json::to_vec_pretty(&requests::requests(pass))?,
    ));
    Ok(files)
}

/// The metrics of some stages; `of_a_stage` adds the load that the one stage asked for.
pub fn lifecycle(pass: &Pass<'_>, stages: &[&Stage<'_>], of_a_stage: bool) -> Value {
    let every = || stages.iter().copied().flat_map(moments);
    let (begin, end) = (
        every().map(|moment| moment.sent).min().unwrap_or_default(),
        every().map(|moment| moment.end).max().unwrap_or_default(),
    );
    let seconds = (end - begin) as f64 / 1e9;
    json!({
        "benchmark_time_seconds": seconds,
        "load_summary": load_summary(stages, of_a_stage),
        "successes": successes(pass, stages, seconds),
        "failures": failures(stages),
    })
}

/// When a request was sent and ended, in nanoseconds since the Unix epoch.
struct Moment {
    sent: i128,
    end: i128,
}

fn moments<'a>(stage: &'a Stage<'_>) -> impl Iterator<Item = Moment> + 'a {
    stage.log.requests.iter().map(|request| Moment {
        sent: stage.epoch(request.sent),
        end: stage.epoch(request.end),
    })
}

fn load_summary(stages: &[&Stage<'_>], of_a_stage: bool) -> Value {
    let requests = || stages.iter().flat_map(|stage| &stage.log.requests);
    let count = requests().count();
    let delays = requests().filter_map(Request::delay);
    let mut summary = vec![
        ("count", json!(count)),
        ("schedule_delay", summarize(delays.map(|delay| delay / 1e9))),
    ];
    if let (true, [stage]) = (of_a_stage, stages) {
        let sent = || stage.log.requests.iter().map(|request| request.sent);
        let first = sent().min().unwrap_or_default();
        let duration = (sent().max().unwrap_or_default() - first) as f64 / 1e9;
        summary.extend([
            ("send_duration", json!(duration)),
            ("requested_rate", json!(stage.report.load.mean_rate())),
            ("achieved_rate", json!(per(count as f64, duration))),
        ]);
        if let Some(concurrency) = stage.report.load.concurrency {
            summary.push(("concurrency", json!(concurrency)));
        }
    }
    object(summary)
}

fn successes(pass: &Pass<'_>, stages: &[&Stage<'_>], seconds: f64) -> Value {
    let answered = || stages.iter().flat_map(|stage| stage.succeeded());
    let lengths = |of: fn(&Request) -> Option<u32>| answered().filter_map(of).map(f64::from);
    let input: Option<u64> = stages.iter().map(|stage| stage.input_total()).sum();
    let output: Option<u64> = stages.iter().map(|stage| stage.output_total()).sum();
    let total = input.zip(output).map(|(input, output)| input + output);
    let rate = |tokens: Option<u64>| json!(tokens.map(|tokens| per(tokens as f64, seconds)));
    let count = answered().count();
    let untold =
        |of: fn(&Request) -> Option<u32>| answered().filter(|one| of(one).is_none()).count();
    let none = || summarize(answered().map(|_| 0.0));
    let mut pairs = vec![
        ("count", json!(count)),
        ("latency", latency(pass, stages)),
        (
            "throughput",
            json!({
                "input_tokens_per_sec": rate(input),
                "output_tokens_per_sec": rate(output),
                "total_tokens_per_sec": rate(total),
                "requests_per_sec": per(count as f64, seconds),
                "images_per_sec": 0.0,
                "videos_per_sec": 0.0,
                "audios_per_sec": 0.0,
            }),
        ),
        // The log has no lengths of bodies.
        ("request_size_bytes", Value::Null),
        (
            "image",
            json!({"count": none(), "pixels": null, "bytes": null, "aspect_ratio": null}),
        ),
        (
            "video",
            json!({"count": none(), "frames": null, "pixels": null, "bytes": null, "aspect_ratio": null}),
        ),
        (
            "audio",
            json!({"count": none(), "seconds": null, "bytes": null}),
        ),
        (
            "prompt_tokens",
            with_total(input, lengths(|request| request.input_tokens)),
        ),
        (
            "output_len",
            summarize(lengths(|request| request.tokenizer_output_tokens)),
        ),
        (
            "output_tokens",
            with_total(output, lengths(Request::answer_tokens)),
        ),
        (
            "token_count_mismatches",
            json!(
                stages
                    .iter()
                    .map(|stage| stage.report.token_count_mismatches)
                    .sum::<u64>()
            ),
        ),
        (
            "client_fallback_requests",
            json!({
                "prompt": untold(|request| request.input_tokens),
                "output": untold(|request| request.output_tokens),
            }),
        ),
    ];
    if let Some(goodput) = goodput::goodput(pass, stages, seconds) {
        pairs.push(("goodput_metrics", goodput));
    }
    object(pairs)
}

fn latency(pass: &Pass<'_>, stages: &[&Stage<'_>]) -> Value {
    let answered = || stages.iter().flat_map(|stage| stage.succeeded());
    let seconds =
        |nanoseconds: Vec<f64>| summarize(nanoseconds.into_iter().map(|value| value / 1e9));
    let normalized = answered().filter_map(|request| {
        let tokens = request.answer_tokens().filter(|tokens| *tokens > 0)?;
        Some(request.until_end() / f64::from(tokens))
    });
    let stages_of = || stages.iter();
    let first_token = stages_of().flat_map(|stage| stage.times_to_first_token(pass));
    let per_token = stages_of().flat_map(|stage| stage.times_per_output_token(pass));
    // Gaps of several stages were not kept, so that they can be given of one alone.
    let gaps = match stages {
        [stage] => stage.report.inter_token_latency.as_ref(),
        _ => None,
    };
    json!({
        "request_latency": seconds(answered().map(Request::until_end).collect()),
        "normalized_time_per_output_token": seconds(normalized.collect()),
        "time_per_output_token": seconds(per_token.collect()),
        "time_to_first_token": seconds(first_token.collect()),
        "inter_token_latency": gaps.map(of_distribution),
    })
}

fn failures(stages: &[&Stage<'_>]) -> Value {
    let failed = || stages.iter().flat_map(|stage| stage.failed());
    let mut labels: BTreeMap<&str, (u64, Vec<&str>)> = BTreeMap::new();
    for (_, kind, message) in failed() {
        let (count, messages) = labels.entry(label(kind)).or_default();
        *count += 1;
        if messages.len() < MESSAGES && !messages.contains(&message) {
            messages.push(message);
        }
    }
    let by_label = labels.into_iter().map(|(label, (count, messages))| {
        let messages: Vec<_> = messages
            .into_iter()
            .map(|message| json!({"message": message}))
            .collect();
        (label, json!({"count": count, "messages": messages}))
    });
    let known = || failed().filter_map(|(request, ..)| request.input_tokens);
    json!({
        "count": failed().count(),
        "request_latency": summarize(failed().map(|(request, ..)| request.until_end() / 1e9)),
        "prompt_tokens": with_total(
            Some(known().map(u64::from).sum()),
            known().map(f64::from),
        ),
        "by_label": object(by_label),
    })
}

/// A kind of failure by the tool's label, where it has one for it.
fn label(kind: &str) -> &str {
    match kind {
        "timeout" => "Timeout",
        "connect" => "Connection Error",
        other => other,
    }
}

/// Mean, least, greatest and percentiles; null where there is no value.
fn summarize(values: impl IntoIterator<Item = f64>) -> Value {
    Sample::of(values).map_or(Value::Null, |sample| object(statistics(&sample)))
}

fn statistics(sample: &Sample) -> Vec<(&'static str, Value)> {
    let percentiles =
        PERCENTILES.map(|(key, percentile)| (key, json!(sample.percentile(percentile))));
    let others = [
        ("mean", json!(sample.mean())),
        ("min", json!(sample.min())),
        ("max", json!(sample.max())),
    ];
    others.into_iter().chain(percentiles).collect()
}

/// Of a distribution whose values were not kept: percentiles that it has.
fn of_distribution(found: &Distribution) -> Value {
    let percentiles = PERCENTILES
        .iter()
        .filter_map(|(key, percentile)| Some((*key, json!(percentile_of(found, *percentile)?))));
    let others = [
        ("mean", json!(found.mean)),
        ("min", json!(found.min)),
        ("max", json!(found.max)),
    ];
    object(others.into_iter().chain(percentiles))
}

/// A total beside the distribution.
fn with_total(total: Option<u64>, values: impl IntoIterator<Item = f64>) -> Value {
    let sample = Sample::of(values);
    let statistics = sample.as_ref().map(statistics).unwrap_or_default();
    object([("total", json!(total))].into_iter().chain(statistics))
}
