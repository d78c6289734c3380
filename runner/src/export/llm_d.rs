//! Benchmark Report v0.2.1 of llm-d-benchmark, one report per stage, as YAML and as JSON.
//!
//! Layout: llm-d/llm-d-benchmark at 3b7decff, `llmdbenchmark/analysis/benchmark_report`. Unknown keys
//! are refused nearly everywhere, and units are checked per field. Statistics have no count.

use bakeoff_crds::report::{Distribution, MetricValue};
use serde_json::{Value, json};

use super::{
    FormatError, Named, Pass, Stage,
    requests::Request,
    sample::{Sample, object, per, percentile_of, without_nulls},
};
use crate::store::sha256_hex;

/// Version of the layout.
pub const VERSION: &str = "0.2.1";
/// Percentiles by their keys.
const PERCENTILES: [(&str, f64); 11] = [
    ("p0p1", 0.1),
    ("p1", 1.0),
    ("p5", 5.0),
    ("p10", 10.0),
    ("p25", 25.0),
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99p9", 99.9),
];

/// The reports of a pass.
///
/// # Errors
/// Where a value cannot be written.
pub fn files(pass: &Pass<'_>) -> Result<Named, FormatError> {
    let mut files = Vec::new();
    for (number, stage) in pass.stages.iter().enumerate() {
        let report = report(pass, stage, number);
        let yaml = serde_saphyr::to_string(&report)
            .map_err(|error| FormatError::Yaml(error.to_string()))?;
        let name = &stage.report.name;
        files.push((format!("{name}.yaml"), yaml.into_bytes()));
        files.push((format!("{name}.json"), serde_json::to_vec_pretty(&report)?));
    }
    Ok(files)
}

/// The report of a stage; `number` is its place in the pass, from 0.
pub fn report(pass: &Pass<'_>, stage: &Stage<'_>, number: usize) -> Value {
    without_nulls(json!({
        "version": VERSION,
        "run": run(pass, stage),
        "scenario": {"load": load(pass, stage, number), "stack": [component(pass)]},
        "results": {
            "request_performance": {"aggregate": {
                "requests": requests(stage),
                "latency": latency(pass, stage),
                "throughput": throughput(stage),
            }},
            "observability": observability(pass, stage),
        },
    }))
}

fn run(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let identity = &pass.report.run.identity;
    let (engine, name) = (&pass.engine.name, &stage.report.name);
    let begin = stage.begin();
    let length = jiff::SignedDuration::from_secs_f64(stage.seconds().clamp(0.0, 1e9));
    let end = begin.checked_add(length).unwrap_or(begin);
    json!({
        "uid": pass.identifier(stage),
        "eid": identity.uid,
        "time": {
            "start": begin.to_string(),
            "end": end.to_string(),
            "duration": format!("PT{}S", stage.seconds()),
        },
        "description": format!("{name} on {engine}, of Bakeoff's run {}", identity.folder()),
        "keywords": ["bakeoff", format!("verdict:{:?}", stage.report.verdict.status)],
    })
}

fn load(pass: &Pass<'_>, stage: &Stage<'_>, number: usize) -> Value {
    let workload = pass.report.run.spec.pointer("/workload");
    let load = &stage.report.load;
    let conversations = pass
        .report
        .run
        .spec
        .pointer("/workload/prompts/conversations");
    let parallelism = pass.spec_number("/runner/parallelism").unwrap_or(1.0);
    let forced = pass.spec_flag("/workload/sampling/ignoreEos") == Some(true);
    let output = stage.report.output_tokens.as_ref().filter(|_| forced);
    let input = stage.report.input_tokens.as_ref();
    let meant = pass.spec_number("/workload/prompts/synthetic/inputTokens/mean");
    json!({
        "metadata": {"cfg_id": identifier(&json!(workload))},
        "standardized": {
            "tool": "bakeoff",
            "tool_version": pass.report.run.bakeoff_version,
            "parallelism": parallelism.max(1.0) as u64,
            "source": source(pass),
            "stage": number,
            "input_seq_len": input.map_or_else(
                || json!({"distribution": "other", "value": meant.unwrap_or_default()}),
                |tokens| length(&tokens.distribution),
            ),
            "output_seq_len": output.map(|tokens| length(&tokens.distribution)),
            "multi_turn": conversations.filter(|found| !found.is_null()).map(|_| json!({"enabled": true})),
            "rate_qps": load.mean_rate().filter(|rate| *rate > 0.0),
            "concurrency": load.concurrency,
        },
        "native": {"config": {
            "load": load,
            "workload": workload,
            "verdict": stage.report.verdict,
            "promptsSha256": pass.report.run.prompts_sha256,
        }},
    })
}

/// Where the prompts' tokens are from.
fn source(pass: &Pass<'_>) -> &'static str {
    let prompts = pass.report.run.spec.pointer("/workload/prompts");
    let has = |name: &str| prompts.and_then(|prompts| prompts.get(name)).is_some();
    match () {
        () if has("synthetic") => "random",
        () if has("shareGpt") || has("jsonl") || has("inline") => "sampled",
        () => "unknown",
    }
}

fn length(lengths: &Distribution) -> Value {
    let fixed = lengths.min >= lengths.max;
    json!({
        "distribution": if fixed { "fixed" } else { "other" },
        "value": lengths.mean,
        "min": lengths.min as u64,
        "max": (lengths.max as u64).max(1),
    })
}

/// The engine: as an inference engine where the run deployed it, else, its hardware being unknown, as
/// a generic component.
fn component(pass: &Pass<'_>) -> Value {
    let provenance = &pass.engine.provenance;
    let version = provenance
        .image_id
        .as_ref()
        .or(provenance.image.as_ref())
        .or(provenance.engine_version.as_ref());
    let version = version.map_or("unknown", String::as_str);
    let native = json!({
        "commandLine": provenance.command_line,
        "engineVersion": provenance.engine_version,
        "protocol": provenance.protocol,
        "url": provenance.url,
    });
    let tensors = pass
        .spec_number("/tuning/tensorParallelSize")
        .unwrap_or(1.0);
    let standardized = match provenance.image {
        Some(_) => json!({
            "kind": "inference_engine",
            "tool": pass.engine.profile,
            "tool_version": version,
            "role": "replica",
            "replicas": 1,
            "model": {"name": pass.model()},
            "accelerator": {
                "model": accelerator(pass),
                "count": pass.spec_number("/hardware/accelerator/count").unwrap_or(1.0) as u64,
                "parallelism": {"tp": tensors as u64},
            },
        }),
        None => json!({
            "kind": "generic",
            "tool": pass.engine.profile,
            "tool_version": version,
            "model": {"name": pass.model()},
        }),
    };
    json!({
        "metadata": {"label": pass.engine.name, "cfg_id": identifier(&native)},
        "standardized": standardized,
        "native": {"config": native},
    })
}

/// The accelerator by the node's label where the run asked for one, such as `nvidia-l4`; else the
/// name of the resource.
fn accelerator<'a>(pass: &Pass<'a>) -> &'a str {
    let spec = &pass.report.run.spec;
    let labels = spec
        .pointer("/hardware/nodeSelector")
        .and_then(Value::as_object);
    let label = labels.and_then(|labels| {
        let named = |key: &str| key.contains("accelerator") || key.contains("gpu.product");
        let (_, value) = labels.iter().find(|(key, _)| named(key))?;
        value.as_str()
    });
    let resource = spec.pointer("/hardware/accelerator/resource");
    label
        .or_else(|| resource.and_then(Value::as_str))
        .unwrap_or("unknown")
}

fn identifier(config: &Value) -> String {
    sha256_hex(config.to_string().as_bytes())
}

/// Failed requests but for cancelled ones, which are those that were not completed.
fn requests(stage: &Stage<'_>) -> Value {
    let counts = &stage.report.requests;
    let cancelled = counts
        .failures
        .get("cancelled")
        .copied()
        .unwrap_or_default();
    json!({
        "total": counts.sent,
        "failures": counts.failed.saturating_sub(cancelled),
        "incomplete": cancelled,
        "input_length": Sample::of(stage.input_lengths()).map(|found| statistics(&found, "count")),
        "output_length": Sample::of(stage.output_lengths()).map(|found| statistics(&found, "count")),
    })
}

fn latency(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let seconds = |nanoseconds: Vec<f64>, unit: &str| {
        let sample = Sample::of(nanoseconds.into_iter().map(|value| value / 1e9))?;
        Some(statistics(&sample, unit))
    };
    let answered = |of: fn(&Request) -> Option<f64>| stage.succeeded().filter_map(of).collect();
    let normalized = |request: &Request| {
        let tokens = request.answer_tokens().filter(|tokens| *tokens > 0)?;
        Some(request.latency()? / f64::from(tokens))
    };
    let gaps = stage.report.inter_token_latency.as_ref();
    json!({
        "time_to_first_token": seconds(stage.times_to_first_token(pass), "s"),
        "normalized_time_per_output_token": seconds(answered(normalized), "s/token"),
        "time_per_output_token": seconds(stage.times_per_output_token(pass), "s/token"),
        "inter_token_latency": gaps.map(|gaps| of_distribution(gaps, "s/token")),
        "request_latency": seconds(answered(Request::latency), "s"),
    })
}

fn throughput(stage: &Stage<'_>) -> Value {
    let (input, output) = (stage.input_total(), stage.output_total());
    let total = input.zip(output).map(|(input, output)| input + output);
    let rate = |count: Option<u64>, unit: &str| {
        let mean = per(count? as f64, stage.seconds());
        Some(json!({"units": unit, "mean": mean}))
    };
    json!({
        "input_token_rate": rate(input, "tokens/s"),
        "output_token_rate": rate(output, "tokens/s"),
        "total_token_rate": rate(total, "tokens/s"),
        "request_rate": rate(Some(stage.report.requests.succeeded), "queries/s"),
    })
}

fn statistics(sample: &Sample, unit: &str) -> Value {
    let percentiles =
        PERCENTILES.map(|(key, percentile)| (key, json!(sample.percentile(percentile))));
    let others = [
        ("units", json!(unit)),
        ("mean", json!(sample.mean())),
        ("stddev", json!(sample.sample_deviation())),
        ("min", json!(sample.min())),
        ("max", json!(sample.max())),
    ];
    object(others.into_iter().chain(percentiles))
}

/// Of a distribution whose values were not kept.
fn of_distribution(found: &Distribution, unit: &str) -> Value {
    let percentiles =
        PERCENTILES.map(|(key, percentile)| (key, json!(percentile_of(found, percentile))));
    let others = [
        ("units", json!(unit)),
        ("mean", json!(found.mean)),
        ("stddev", json!(found.stddev)),
        ("min", json!(found.min)),
        ("max", json!(found.max)),
    ];
    object(others.into_iter().chain(percentiles))
}

/// The engine's own gauges, where they were had.
fn observability(pass: &Pass<'_>, stage: &Stage<'_>) -> Value {
    let gauge = |name: &str, unit: &str| {
        let metric = stage.report.engine_metrics.get(name)?;
        let MetricValue { mean, max, .. } =
            metric.direct.as_ref().or(metric.prometheus.as_ref())?;
        Some(json!({"units": unit, "mean": (*mean)?, "max": max}))
    };
    let known = [
        ("kv_cache_usage", gauge("kvCacheUsage", "fraction")),
        ("running_requests", gauge("running", "count")),
        ("waiting_requests", gauge("waiting", "count")),
    ];
    let known: Vec<_> = known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    if known.is_empty() {
        return Value::Null;
    }
    json!({"components": [{
        "component_label": pass.engine.name,
        "aggregate": without_nulls(object(known)),
    }]})
}
