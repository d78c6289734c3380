//! Runs with known requests, for tests.
//!
//! Each request is written as a line of the log, so that what is tested is what is read.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::{Load, LoadMode},
    report::{
        EngineMetric, EngineReport, Goodput, MetricValue, Provenance, Report, Requests,
        StageReport, Throughput, Window,
    },
    run::Arrival,
};
use jiff::Timestamp;
use serde_json::json;

use super::{
    Pass, Stage,
    requests::{self, Log, Request},
};
use crate::{
    record::log::SCHEMA_VERSION,
    report::fixture::invalid,
    stats::{distribution, token_distribution},
};

/// When every stage's schedule begins.
pub fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A log of the lines of some requests.
pub fn packed(lines: &[serde_json::Value]) -> Vec<u8> {
    let anchor = json!({"schemaVersion": SCHEMA_VERSION, "stage": "any", "start": start()});
    let lines = std::iter::once(&anchor).chain(lines);
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

/// Four requests of an open loop. The first: due at 0, sent 1 ms later; first content 100 ms after
/// that, last after 400 ms, the end 2 ms later; 7 tokens in, 4 out in as many frames. So its time
/// per output token is 100 ms. The second takes half as long for twice the tokens out, the third has
/// one token, and the last times out.
pub fn open_lines() -> Vec<serde_json::Value> {
    vec![
        json!({"index": 0, "prompt": 0, "due": 0.0, "started": 0.001, "sent": 0.001,
            "firstContent": 0.101, "lastContent": 0.401, "end": 0.403, "chunks": 4, "bytes": 900,
            "inputTokens": 7, "outputTokens": 4, "tokenizerOutputTokens": 4, "finish": "length",
            "outcome": "succeeded"}),
        json!({"index": 1, "prompt": 1, "due": 0.5, "started": 0.502, "sent": 0.502,
            "firstContent": 0.552, "lastContent": 0.692, "end": 0.692, "chunks": 8, "bytes": 1500,
            "inputTokens": 9, "outputTokens": 8, "tokenizerOutputTokens": 9, "finish": "stop",
            "outcome": "succeeded"}),
        json!({"index": 2, "prompt": 2, "due": 1.0, "started": 1.0, "sent": 1.0,
            "firstContent": 1.06, "lastContent": 1.06, "end": 1.061, "chunks": 1, "bytes": 300,
            "inputTokens": 5, "outputTokens": 1, "finish": "stop", "outcome": "succeeded"}),
        json!({"index": 3, "prompt": 3, "due": 1.5, "started": 1.5, "sent": 1.5, "end": 2.001,
            "chunks": 0, "bytes": 0, "outcome": "timeout",
            "message": "no whole answer within 500 ms"}),
    ]
}

/// Two whole answers of a closed loop, and one refused.
pub fn closed_lines() -> Vec<serde_json::Value> {
    vec![
        json!({"index": 0, "prompt": 0, "started": 0.0, "sent": 0.0, "firstContent": 0.25,
            "lastContent": 0.25, "end": 0.25, "chunks": 1, "bytes": 900, "inputTokens": 10,
            "outputTokens": 20, "finish": "length", "outcome": "succeeded"}),
        json!({"index": 1, "prompt": 1, "started": 0.0, "sent": 0.0, "firstContent": 0.75,
            "lastContent": 0.75, "end": 0.75, "chunks": 1, "bytes": 900, "inputTokens": 30,
            "outputTokens": 40, "finish": "length", "outcome": "succeeded"}),
        json!({"index": 2, "prompt": 2, "started": 0.25, "end": 1.0, "chunks": 0, "bytes": 0,
            "outcome": "connect", "message": "connection refused"}),
    ]
}

/// A stage's report whose counts and totals are those of the log.
fn stage(name: &str, repetition: u32, load: Load, log: &Log, streaming: bool) -> StageReport {
    let answered = || {
        log.requests
            .iter()
            .filter(|request| request.failure.is_none())
    };
    let begin = log
        .requests
        .iter()
        .map(|request| request.sent)
        .min()
        .unwrap();
    let end = log
        .requests
        .iter()
        .map(|request| request.end)
        .max()
        .unwrap();
    let seconds = (end - begin) as f64 / 1e9;
    let mut failures = BTreeMap::new();
    for request in &log.requests {
        if let Some((kind, _)) = &request.failure {
            *failures.entry(kind.clone()).or_insert(0) += 1;
        }
    }
    let (all, good) = (log.requests.len() as u64, answered().count() as u64);
    let tokens =
        |of: fn(&Request) -> Option<u32>| token_distribution(answered().filter_map(of).collect());
    let rate = |amount: f64| amount / seconds;
    let output = tokens(Request::answer_tokens);
    // Gaps between frames: three of 100 ms and seven of 20 ms.
    let gaps = || distribution([vec![0.1; 3], vec![0.02; 7]].concat());
    StageReport {
        name: name.into(),
        round: 1,
        repetition,
        attempt: 1,
        load,
        window: Window {
            start: (start() + jiff::SignedDuration::from_nanos(begin)).to_string(),
            duration_seconds: seconds,
        },
        requests: Requests {
            intended: all,
            sent: all,
            succeeded: good,
            failed: all - good,
            failures,
            ..Requests::default()
        },
        inter_token_latency: streaming.then(gaps).flatten(),
        inter_chunk_latency: streaming.then(gaps).flatten(),
        input_tokens: tokens(|request| request.input_tokens),
        output_tokens: output.clone(),
        token_count_mismatches: 1,
        throughput: Throughput {
            requests_per_second: rate(good as f64),
            output_tokens_per_second: rate(output.unwrap().sum as f64),
            ..Throughput::default()
        },
        goodput: streaming.then(|| Goodput {
            requests_per_second: rate(2.0),
            good: 2,
            attainment: 0.5,
            objectives: Vec::new(),
        }),
        engine_metrics: BTreeMap::from([
            (
                "kvCacheUsage".into(),
                EngineMetric {
                    direct: Some(MetricValue {
                        mean: Some(0.41),
                        max: Some(0.63),
                        increase: None,
                    }),
                    ..EngineMetric::default()
                },
            ),
            (
                "running".into(),
                EngineMetric {
                    absent: Some("NotExposed".into()),
                    ..EngineMetric::default()
                },
            ),
        ]),
        ..StageReport::default()
    }
}

fn open_load() -> Load {
    Load {
        mode: LoadMode::Open,
        rate: Some(2.0),
        arrival: Some(Arrival::Poisson),
        ..Load::default()
    }
}

fn closed_load() -> Load {
    Load {
        concurrency: Some(2),
        ..Load::default()
    }
}

fn run(streaming: bool, engine: EngineReport) -> Report {
    let mut report = crate::report::fixture::report();
    report.run.spec["workload"]["streaming"] = json!(streaming);
    report.run.spec["objectives"] =
        json!([{"metric": "TimeToFirstToken", "percentile": 99, "lessThan": "80ms"}]);
    report.engines = vec![engine];
    report
}

/// Two repetitions of a rate, streamed, with a failure in each, on an engine that the run deployed;
/// and one stage of the first that is Invalid.
pub fn streamed() -> Report {
    let log = requests::read(&packed(&open_lines())).unwrap();
    let mut overloaded = stage("rate-9", 1, open_load(), &log, true);
    overloaded.verdict = invalid("ErrorRateExceeded");
    run(
        true,
        EngineReport {
            name: "vllm".into(),
            profile: "vllm".into(),
            display_name: "vLLM".into(),
            provenance: Provenance {
                image: Some("example.com/vllm:1".into()),
                command_line: vec!["vllm".into(), "serve".into()],
                engine_version: Some("0.11.0".into()),
                protocol: Some("OpenAiChat".into()),
                nodes: vec!["node-a".into()],
                ..Provenance::default()
            },
            stages: vec![
                stage("rate-2", 1, open_load(), &log, true),
                overloaded,
                stage("rate-2", 2, open_load(), &log, true),
            ],
            ..EngineReport::default()
        },
    )
}

/// Whole answers, on a server that was up already.
pub fn whole() -> Report {
    let log = requests::read(&packed(&closed_lines())).unwrap();
    run(
        false,
        EngineReport {
            name: "hosted".into(),
            profile: "external".into(),
            display_name: "hosted".into(),
            provenance: Provenance {
                protocol: Some("OpenAiCompletions".into()),
                url: Some("https://api.example.com".into()),
                ..Provenance::default()
            },
            stages: vec![stage("concurrency-2", 1, closed_load(), &log, false)],
            ..EngineReport::default()
        },
    )
}

/// The first pass of a report's first engine, without what is Invalid.
pub fn pass<'a>(report: &'a Report, lines: &[serde_json::Value]) -> Pass<'a> {
    let engine = &report.engines[0];
    let stages = engine.stages.iter().filter(|stage| stage.repetition == 1);
    Pass {
        report,
        engine,
        round: 1,
        repetition: 1,
        number: 0,
        stages: stages
            .filter(|stage| super::may_be_exported(stage))
            .map(|report| Stage {
                report,
                log: requests::read(&packed(lines)).unwrap(),
            })
            .collect(),
    }
}
