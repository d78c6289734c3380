//! AIPerf's profile export: `profile_export_aiperf.json` and `profile_export.jsonl`, one folder per
//! stage.
//!
//! Layout: ai-dynamo/aiperf, schema 1.5 of `docs/reference/json-export-schema.md` at 1554b478, and
//! `docs/tutorials/working-with-profile-exports.md` at 13992dbd. Times in milliseconds;
//! `inter_token_latency` is one number per request, which we call time per output token.

use std::collections::BTreeMap;

use bakeoff_crds::report::Distribution;
use serde_json::{Value, json};

use super::{
    FormatError, Named, Pass, Stage,
    requests::Request,
    sample::{Sample, object, per, percentile_of, without_nulls},
};

/// Version of the layout.
pub const SCHEMA_VERSION: &str = "1.5";
/// Percentiles that each distribution has.
const PERCENTILES: [(&str, f64); 9] = [
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
];

/// The files of a stage.
///
/// # Errors
/// Where a value cannot be written.
pub fn files(pass: &Pass<'_>, stage: &Stage<'_>) -> Result<Named, FormatError> {
    let folder = &stage.report.name;
    let mut lines = Vec::new();
    for record in records(pass, stage) {
        serde_json::to_writer(&mut lines, &record)?;
        lines.push(b'\n');
    }
    Ok(vec![
        (
            format!("{folder}/profile_export_aiperf.json"),
            serde_json::to_vec_pretty(&profile(pass, stage))?,
        ),
        (format!("{folder}/profile_export.jsonl"), lines),
    ])
}

/// A metric of a request: its tag, its unit, and its value where the request has one.
type Metric = (&'static str, &'static str, fn(&Request) -> Option<f64>);

/// Metrics that streamed and whole answers have.
const ALWAYS: [Metric; 4] = [
    ("request_latency", "ms", |request| {
        Some(request.latency()? / 1e6)
    }),
    ("input_sequence_length", "tokens", |request| {
        request.input_tokens.map(f64::from)
    }),
    ("output_sequence_length", "tokens", |request| {
        request.answer_tokens().map(f64::from)
    }),
    ("output_token_count", "tokens", |request| {
        request.answer_tokens().map(f64::from)
    }),
];
/// The metric of streamed answers alone.
const FIRST_TOKEN: Metric = ("time_to_first_token", "ms", |request| {
    Some(request.time_to_first_token()? / 1e6)
});
/// Metrics of streamed answers, one to a request.
const PER_TOKEN: [Metric; 2] = [
    ("inter_token_latency", "ms", |request| {
        Some(request.time_per_output_token()? / 1e6)
    }),
    (
        "output_token_throughput_per_user",
        "tokens/sec/user",
        |request| {
            let gap = request.time_per_output_token()?;
            (gap > 0.0).then(|| 1e9 / gap)
        },
    ),
];

fn metrics(pass: &Pass<'_>) -> Vec<Metric> {
    let mut metrics = ALWAYS.to_vec();
    if pass.streaming() {
        metrics.push(FIRST_TOKEN);
    }
    if pass.per_token() {
        metrics.extend(PER_TOKEN);
    }
    metrics
}

/// `profile_export_aiperf.json`.
pub fn profile(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let begin = stage.begin();
    let length = jiff::SignedDuration::from_secs_f64(stage.seconds().clamp(0.0, 1e9));
    let identity = &pass.report.run.identity;
    let uid = pass.identifier(stage);
    let cancelled = stage.report.requests.failures.contains_key("cancelled");
    let head = [
        ("schema_version", json!(SCHEMA_VERSION)),
        ("benchmark_id", json!(uid)),
        ("start_time", json!(begin.to_string())),
        (
            "end_time",
            json!(begin.checked_add(length).unwrap_or(begin).to_string()),
        ),
        ("was_cancelled", json!(cancelled)),
        ("input_config", input_config(pass, stage)),
        ("run_info", run_info(pass, stage, &uid)),
        ("error_summary", error_summary(stage)),
        // The layout lets further keys in.
        (
            "bakeoff",
            json!({
                "version": pass.report.run.bakeoff_version,
                "run": identity.folder(),
                "engine": pass.engine.name,
                "verdict": stage.report.verdict,
            }),
        ),
    ];
    let scalars = scalars(stage)
        .into_iter()
        .filter_map(|(tag, unit, value)| Some((tag, json!({"unit": unit, "avg": value?}))));
    let distributions = metrics(pass).into_iter().filter_map(|(tag, unit, of)| {
        let sample = Sample::of(stage.succeeded().filter_map(of))?;
        Some((tag, statistics(&sample, unit)))
    });
    let chunks = stage.report.inter_chunk_latency.as_ref();
    let chunks = chunks
        .filter(|_| pass.streaming())
        .map(|found| ("inter_chunk_latency", of_distribution(found)));
    object(
        head.into_iter()
            .chain(scalars)
            .chain(distributions)
            .chain(chunks),
    )
}

/// Metrics of the whole stage: tag, unit, value.
fn scalars(stage: &Stage<'_>) -> Vec<(&'static str, &'static str, Option<f64>)> {
    let (report, seconds) = (stage.report, stage.seconds());
    let requests = &report.requests;
    let (input, output) = (stage.input_total(), stage.output_total());
    let total = input.zip(output).map(|(input, output)| input + output);
    let number = |count: Option<u64>| count.map(|count| count as f64);
    let rate = |count: Option<u64>| count.map(|count| per(count as f64, seconds));
    let goodput = report.goodput.as_ref();
    vec![
        (
            "request_count",
            "requests",
            number(Some(requests.succeeded)),
        ),
        (
            "error_request_count",
            "requests",
            number(Some(requests.failed)),
        ),
        (
            "request_throughput",
            "requests/sec",
            rate(Some(requests.succeeded)),
        ),
        ("output_token_throughput", "tokens/sec", rate(output)),
        ("total_token_throughput", "tokens/sec", rate(total)),
        ("total_isl", "tokens", number(input)),
        ("total_osl", "tokens", number(output)),
        ("total_output_tokens", "tokens", number(output)),
        ("benchmark_duration", "sec", Some(seconds)),
        (
            "good_request_count",
            "requests",
            number(goodput.map(|goodput| goodput.good)),
        ),
        (
            "goodput",
            "requests/sec",
            goodput.map(|goodput| goodput.requests_per_second),
        ),
    ]
}

/// What was asked for, by the tool's own names as far as it has them.
fn input_config(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let load = &stage.report.load;
    without_nulls(json!({
        "endpoint": {
            "model_names": [pass.model()],
            "streaming": pass.streaming(),
            "url": pass.engine.provenance.url,
        },
        "loadgen": {
            "concurrency": load.concurrency,
            "request_rate": load.mean_rate(),
            "request_count": stage.report.requests.intended,
        },
    }))
}

fn run_info(pass: &Pass<'_>, stage: &Stage<'_>, uid: &str) -> Value {
    let place = pass
        .stages
        .iter()
        .position(|other| std::ptr::eq(other, stage));
    let load = &stage.report.load;
    let values = [
        ("concurrency", json!(load.concurrency)),
        ("request_rate", json!(load.mean_rate())),
    ];
    json!({
        "benchmark_id": uid,
        "sweep_id": pass.report.run.identity.uid,
        "random_seed": pass.spec_number("/workload/seed").map(|seed| seed as u64),
        "trial": pass.number,
        "run_label": format!("{}-round-{}-rep-{}", pass.engine.name, pass.round, pass.repetition),
        "variation_label": stage.report.name,
        "variation_index": place.unwrap_or_default(),
        "variation_values": without_nulls(object(values)),
        "cli_command": null,
    })
}

/// Each different failure with its number.
fn error_summary(stage: &Stage<'_>) -> Value {
    let mut errors: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (_, kind, message) in stage.failed() {
        *errors.entry((kind, message)).or_default() += 1;
    }
    errors
        .into_iter()
        .map(|((kind, message), count)| {
            json!({"error_details": error(kind, message), "count": count})
        })
        .collect()
}

fn error(kind: &str, message: &str) -> Value {
    json!({"code": null, "type": kind, "message": message})
}

fn statistics(sample: &Sample, unit: &str) -> Value {
    let percentiles =
        PERCENTILES.map(|(key, percentile)| (key, json!(sample.percentile(percentile))));
    let others = [
        ("unit", json!(unit)),
        ("avg", json!(sample.mean())),
        ("min", json!(sample.min())),
        ("max", json!(sample.max())),
        ("std", json!(sample.sample_deviation())),
        ("count", json!(sample.count())),
        ("sum", json!(sample.sum())),
    ];
    object(others.into_iter().chain(percentiles))
}

/// In milliseconds, of a distribution in seconds whose values were not kept.
fn of_distribution(found: &Distribution) -> Value {
    let percentiles = PERCENTILES.iter().filter_map(|(key, percentile)| {
        Some((*key, json!(percentile_of(found, *percentile)? * 1e3)))
    });
    let others = [
        ("unit", json!("ms")),
        ("avg", json!(found.mean * 1e3)),
        ("min", json!(found.min * 1e3)),
        ("max", json!(found.max * 1e3)),
        ("std", json!(found.stddev * 1e3)),
        ("count", json!(found.count)),
    ];
    object(others.into_iter().chain(percentiles))
}

/// The lines of `profile_export.jsonl`.
pub fn records<'a>(pass: &'a Pass<'_>, stage: &'a Stage<'_>) -> impl Iterator<Item = Value> + 'a {
    let metrics = metrics(pass);
    stage.log.requests.iter().map(move |request| {
        let cancelled = matches!(&request.failure, Some((kind, _)) if kind == "cancelled");
        let (session, turn) = request.conversation.unwrap_or((request.index, 0));
        let end = nanoseconds(stage, request.end);
        let known = metrics.iter().filter_map(|(tag, unit, of)| {
            let value = of(request)?;
            // Whole numbers of tokens are whole there too.
            let value = match *unit {
                "tokens" => json!(value as u64),
                _ => json!(value),
            };
            Some((*tag, json!({"value": value, "unit": unit})))
        });
        let known: Vec<_> = known.filter(|_| request.failure.is_none()).collect();
        json!({
            "metadata": {
                "session_num": session,
                // No such headers are sent.
                "x_request_id": null,
                "x_correlation_id": null,
                "conversation_id": request.conversation.map(|(number, _)| number.to_string()),
                "turn_index": turn,
                "request_start_ns": nanoseconds(stage, request.sent),
                "request_ack_ns": null,
                "request_end_ns": end,
                "worker_id": "bakeoff",
                "record_processor_id": "bakeoff",
                "benchmark_phase": "profiling",
                "was_cancelled": cancelled,
                "cancellation_time_ns": cancelled.then_some(end),
            },
            "metrics": object(known),
            "error": request.failure.as_ref().map(|(kind, message)| error(kind, message)),
        })
    })
}

/// Since the Unix epoch.
fn nanoseconds(stage: &Stage<'_>, at: i64) -> i64 {
    i64::try_from(stage.epoch(at)).unwrap_or_default()
}
