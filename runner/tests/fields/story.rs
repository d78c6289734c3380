//! What a run does, told without anything that depends on time.

use std::{fmt::Write, io::Read, path::Path};

use bakeoff_crds::{
    plan::{Place, PlanSettings, resolve},
    profile::ProfileSet,
    report::Report,
    validate::document::{Document, read},
};
use bakeoff_runner::{
    cli::run::{EnginePlace, local},
    store::Environment,
};
use serde_json::{Value, json};

use crate::{
    server::Servers,
    table::{self, Field},
};

/// What the rows' values are set into.
const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: base, uid: "00000000"}
spec:
  model: {id: base-model}
  engines: [{name: engine, profile: vllm}]
  workload:
    prompts: {inline: [SLOW one, SLOW two]}
    limits: {maxOutputTokens: 64}
    warmup: {requests: 0}
    requestsPerStage: 2
  metrics: {interval: 1ms}
  output: {uri: "s3://results/base", formats: [Requests]}
  runner: {calibration: Never}
"#;

/// The story of a run with one value of a field.
pub async fn of(field: &Field, value: &Value) -> String {
    let servers = Servers::start().await;
    let document = document(field, value);
    let yaml = servers.with_addresses(&serde_json::to_string(&document).unwrap());
    let run = match read(&yaml) {
        Ok(Document::BenchmarkRun(run)) => run,
        other => panic!("{} = {value}: {other:?}", field.path),
    };
    let settings = PlanSettings {
        runner_image: "none".into(),
        place: Place::Local,
    };
    let plan = resolve(&run, &ProfileSet::builtin(), &settings)
        .unwrap_or_else(|problems| panic!("{} = {value}: {problems}", field.path));
    let places: Vec<_> = plan
        .engines
        .iter()
        .map(|_| EnginePlace::At(servers.url.clone()))
        .collect();
    let environment = Environment::from([
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_ENDPOINT_URL", &servers.url),
        ("HF_ENDPOINT", &servers.url),
    ]);
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fields/inputs");
    let mut story = match local::run(&plan, &places, inputs, environment, 1).await {
        Ok((report, _)) => told(&report),
        Err(error) => format!("no report: {error:#}\n"),
    };
    let mut seen = servers.seen();
    seen.sort();
    story.push_str(&seen.join("\n"));
    for (key, bytes) in servers.stored() {
        if let Some(content) = content(&key, &bytes) {
            let _ = write!(story, "\n{key}: {content}");
        }
    }
    servers.without_addresses(&story)
}

fn document(field: &Field, value: &Value) -> Value {
    let mut document: Value = serde_saphyr::from_str(RUN).unwrap();
    table::merge(&mut document["spec"], &field.with);
    table::set(&mut document["spec"], &field.path, value);
    // One short stage, where the row does not say which.
    let workload = &mut document["spec"]["workload"];
    if workload["sweep"].is_null() {
        workload["sweep"] = json!({"concurrency": [1]});
    }
    document
}

/// What the report says, but for times and the spec itself.
fn told(report: &Report) -> String {
    let report = serde_json::to_value(report).unwrap();
    let mut told = format!("metadata {}\n", report["run"]["metadata"]);
    for engine in report["engines"].as_array().unwrap() {
        let _ = writeln!(told, "{} failures {}", engine["name"], engine["failures"]);
        for stage in engine["stages"].as_array().unwrap() {
            let stage = json!({
                "name": stage["name"],
                "requests": stage["requests"],
                "inputTokens": stage["inputTokens"]["sum"],
                "outputTokens": stage["outputTokens"]["sum"],
                "tokenCountMismatches": stage["tokenCountMismatches"],
                "goodput": goodput(&stage["goodput"]),
                "calibrated": !stage["client"]["overheadMicros"].is_null(),
                "resources": from_prometheus(&stage["resources"]),
                "costs": stage["cost"]["basis"],
                "fromPrometheus": from_prometheus(&stage["engineMetrics"]),
                "tooManyErrors": stage["verdict"]["reasons"].as_array().unwrap().iter()
                    .any(|reason| reason["reason"] == "ErrorRateExceeded"),
            });
            let _ = writeln!(told, "{stage}");
        }
    }
    told
}

/// How many were good, and of each objective whether it was met: not which metric or bound it has.
fn goodput(goodput: &Value) -> Value {
    let objectives = goodput["objectives"].as_array();
    let met = objectives.map(|objectives| {
        objectives
            .iter()
            .map(|objective| objective["met"].clone())
            .collect::<Vec<_>>()
    });
    json!([goodput["good"], met])
}

/// Names and values of what Prometheus was asked for.
fn from_prometheus(metrics: &Value) -> Value {
    let metrics = metrics.as_object().into_iter().flatten();
    metrics
        .filter(|(_, metric)| !metric["prometheus"].is_null())
        .map(|(name, metric)| json!([name, metric["prometheus"]]))
        .collect()
}

/// What of a stored file does not depend on time.
fn content(key: &str, bytes: &[u8]) -> Option<String> {
    let name = key.rsplit('/').next().unwrap_or_default();
    match name {
        "preflight.json" => Some(String::from_utf8_lossy(bytes).into_owned()),
        "prompts.jsonl.zst" => Some(unpacked(bytes)),
        "requests.jsonl.zst" => Some(due(&unpacked(bytes))),
        _ => None,
    }
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    zstd::Decoder::new(bytes)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// When the requests were due, and which prompt each had.
fn due(lines: &str) -> String {
    let line = |line| -> Value { serde_json::from_str(line).unwrap() };
    let due = lines.lines().skip(1).map(line);
    // A later turn of a conversation is due by when the answer before it ended.
    let due = due.filter(|line| line["turn"].as_u64().unwrap_or(1) == 1);
    due.map(|line| format!("{} at {}; ", line["prompt"], line["due"]))
        .collect()
}
