//! The JSON of Google's inference-benchmark (`benchmark_serving.py --save-json-results`), one file per
//! stage.
//!
//! Layout: AI-Hypercomputer/inference-benchmark at c29b163, `save_json_results`. Times in
//! milliseconds; `tpot` of `summary_stats` is latency over output tokens, first token included.

use bakeoff_crds::report::{Distribution, EngineMetric, StageReport};
use serde_json::{Map, Value, json};

use super::{
    Pass, Stage, compact_date,
    requests::Request,
    sample::{Sample, object, or_null, per, percentile_of, population_deviation_of},
};

/// Statistics as `metrics` names them in front of a figure, and as `summary_stats` does.
const STATISTICS: [(&str, &str); 7] = [
    ("avg", "mean"),
    ("median", "median"),
    ("sd", "sd"),
    ("min", "min"),
    ("max", "max"),
    ("p90", "p90"),
    ("p99", "p99"),
];
/// Kinds of failures as the tool names them, with ours.
const ERRORS: [(&str, &[&str]); 6] = [
    ("ClientConnectorError", &["connect"]),
    ("TimeoutError", &["timeout"]),
    ("ContentTypeError", &["protocol"]),
    ("ClientOSError", &[]),
    ("ServerDisconnectedError", &["truncated"]),
    (
        "unknown_error",
        &[
            "rateLimited",
            "http4xx",
            "http5xx",
            "streamError",
            "empty",
            "cancelled",
        ],
    ),
];

/// The values of [`STATISTICS`].
type Seven = [Option<f64>; 7];

/// The file of a stage.
pub fn result(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let figures = figures(pass, stage);
    let servers = server_metrics(stage.report);
    json!({
        "metrics": metrics(stage, &figures, &servers),
        "dimensions": dimensions(pass, stage),
        "config": {
            "model": pass.model(),
            "num_models": stage.report.models.len().max(1),
            "model_server": backend(pass),
            "start_time": {
                "seconds": stage.begin().as_second(),
                "nanos": stage.begin().subsec_nanosecond(),
            },
        },
        "summary_stats": {"stats": [summary(stage, &figures, &servers)]},
    })
}

/// Every figure of which there are seven statistics, by its name in `metrics`.
fn figures(pass: &Pass<'_>, stage: &Stage<'_>) -> Vec<(&'static str, Seven)> {
    let milliseconds = |of: fn(&Request) -> Option<f64>| -> Vec<f64> {
        let values = stage.succeeded().filter_map(of);
        values.map(|nanoseconds| nanoseconds / 1e6).collect()
    };
    let scaled = |values: Vec<f64>| values.into_iter().map(|value| value / 1e6).collect();
    let mut figures = vec![
        (
            "per_token_latency_ms",
            seven(milliseconds(|request| {
                let tokens = request.input_tokens? + request.answer_tokens()?;
                (tokens > 0).then(|| request.until_end() / f64::from(tokens))
            })),
        ),
        (
            "latency_ms",
            seven(milliseconds(|request| Some(request.until_end()))),
        ),
        (
            "normalized_time_per_output_token_ms",
            seven(milliseconds(|request| {
                let tokens = request.answer_tokens().filter(|tokens| *tokens > 0)?;
                Some(request.until_end() / f64::from(tokens))
            })),
        ),
        ("input_len", seven(stage.input_lengths())),
        ("output_len", seven(stage.output_lengths())),
    ];
    if pass.streaming() {
        let chunks = stage.report.inter_chunk_latency.as_ref();
        figures.extend([
            ("TTFT_ms", seven(scaled(stage.times_to_first_token(pass)))),
            ("ITL_ms", chunks.map_or([None; 7], of_distribution)),
            ("TPOT_ms", seven(scaled(stage.times_per_output_token(pass)))),
        ]);
    }
    figures
}

fn seven(values: Vec<f64>) -> Seven {
    let Some(sample) = Sample::of(values) else {
        return [None; 7];
    };
    [
        sample.mean(),
        sample.percentile(50.0),
        sample.population_deviation(),
        sample.min(),
        sample.max(),
        sample.percentile(90.0),
        sample.percentile(99.0),
    ]
    .map(Some)
}

/// In milliseconds, of a distribution in seconds whose values were not kept.
fn of_distribution(distribution: &Distribution) -> Seven {
    [
        Some(distribution.mean),
        percentile_of(distribution, 50.0),
        Some(population_deviation_of(distribution)),
        Some(distribution.min),
        Some(distribution.max),
        percentile_of(distribution, 90.0),
        percentile_of(distribution, 99.0),
    ]
    .map(|seconds| seconds.map(|seconds| seconds * 1e3))
}

fn metrics(stage: &Stage<'_>, figures: &[(&str, Seven)], servers: &Map<String, Value>) -> Value {
    let (report, seconds) = (stage.report, stage.seconds());
    let (input, output) = (stage.input_total(), stage.output_total());
    let total = input.zip(output).map(|(input, output)| input + output);
    let rate = |tokens: Option<u64>| or_null(tokens.map(|tokens| per(tokens as f64, seconds)));
    let sent = report.requests.sent as f64;
    let plain = [
        ("num_prompts_attempted", json!(report.requests.sent)),
        ("num_prompts_succeeded", json!(report.requests.succeeded)),
        ("request_rate", or_null(report.load.mean_rate())),
        ("queries_per_second", json!(per(sent, seconds))),
        ("server_metrics", Value::Object(servers.clone())),
        ("benchmark_time", json!(seconds)),
        ("throughput_rps", json!(per(sent, seconds))),
        ("throughput", rate(output)),
        ("total_output_token", json!(output)),
        ("total_input_tokens", json!(input)),
        ("input_tokens_per_sec", rate(input)),
        ("total_tokens", json!(total)),
        ("tokens_per_sec", rate(total)),
    ];
    let statistics = figures.iter().flat_map(|(name, values)| {
        let named = STATISTICS.iter().zip(values);
        named.map(move |((prefix, _), value)| (format!("{prefix}_{name}"), or_null(*value)))
    });
    let errors = ERRORS.iter().map(|(name, kinds)| {
        let failures = &report.requests.failures;
        let count: u64 = kinds.iter().filter_map(|kind| failures.get(*kind)).sum();
        ((*name).to_owned(), json!(count))
    });
    let plain = plain
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    object(plain.chain(statistics).chain(errors))
}

/// Words, which the tool adds to by `--additional-metadata-metrics-to-save`: those of the run's
/// `output.metadata`, and what the format has no other place for.
fn dimensions(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let run = &pass.report.run;
    let own = run
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)));
    let ours = [
        ("date", compact_date(stage.begin())),
        ("backend", backend(pass).to_owned()),
        ("model_id", pass.model().to_owned()),
        ("tokenizer_id", pass.model().to_owned()),
        ("bakeoff_run", run.identity.folder()),
        ("bakeoff_engine", pass.engine.name.clone()),
        ("bakeoff_stage", stage.report.name.clone()),
        ("bakeoff_round", pass.round.to_string()),
        ("bakeoff_repetition", pass.repetition.to_string()),
        (
            "bakeoff_verdict",
            format!("{:?}", stage.report.verdict.status),
        ),
    ];
    let ours = ours.map(|(key, value)| (key.to_owned(), json!(value)));
    object(own.chain(ours))
}

/// The engine by the tool's names, where it has one for it.
fn backend<'a>(pass: &Pass<'a>) -> &'a str {
    match pass.engine.profile.as_str() {
        "triton-tensorrt-llm" | "triton-tensorrt-llm-engine" => "tensorrt_llm_triton",
        other => other,
    }
}

fn summary(stage: &Stage<'_>, figures: &[(&str, Seven)], servers: &Map<String, Value>) -> Value {
    let seven = |name: &str| {
        let found = figures.iter().find(|(other, _)| *other == name);
        let values = found.map_or([None; 7], |(_, values)| *values);
        let named = STATISTICS.iter().zip(values);
        object(named.map(|((_, name), value)| (*name, or_null(value))))
    };
    let output = stage.output_total();
    let throughput = output.map(|tokens| per(tokens as f64, stage.seconds()));
    let servers = servers.iter().map(|(name, values)| {
        let mut named = values.as_object().cloned().unwrap_or_default();
        named.insert("Name".into(), json!(name));
        Value::Object(named)
    });
    json!({
        "request_rate": stage.report.load.mean_rate(),
        "request_latency": seven("latency_ms"),
        "throughput": {"mean": throughput},
        "input_length": seven("input_len"),
        "output_length": seven("output_len"),
        "tpot": seven("normalized_time_per_output_token_ms"),
        "model_server_metrics": servers.collect::<Vec<_>>(),
    })
}

/// The engine's own metrics by our common names: `Mean` and `Max` of gauges, `Increase` of counters.
fn server_metrics(stage: &StageReport) -> Map<String, Value> {
    let value = |metric: &EngineMetric| {
        let found = metric.prometheus.as_ref().or(metric.direct.as_ref())?;
        let known = [
            ("Mean", found.mean),
            ("Max", found.max),
            ("Increase", found.increase),
        ];
        let known = known
            .into_iter()
            .filter_map(|(name, value)| Some((name, json!(value?))));
        Some(object(known))
    };
    let metrics = stage.engine_metrics.iter();
    metrics
        .filter_map(|(name, metric)| Some((name.clone(), value(metric)?)))
        .collect()
}
