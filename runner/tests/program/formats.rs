//! A run in the formats of other tools: as their projects publish them, with the figures of its own
//! report, and the same whether the run or `bakeoff report` makes them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bakeoff_crds::report::{Distribution, Report};
use serde_json::Value;

use crate::common::{alone, bakeoff, engine};

fn yaml(url: &str, output: &Path) -> String {
    format!(
        "apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: formats, namespace: team, uid: abcdef01}}
spec:
  model: {{id: demo/model}}
  engines: [{{name: up, external: {{url: '{url}', protocol: OpenAiCompletions}}}}]
  workload:
    prompts: {{inline: [one, two]}}
    limits: {{maxOutputTokens: 8}}
    sampling: {{ignoreEos: true}}
    warmup: {{requests: 0}}
    sweep: {{requestRate: [60, 120]}}
    requestsPerStage: 40
    repetitions: 2
  metrics: {{backend: None}}
  runner: {{calibration: Never}}
  objectives: [{{metric: RequestLatency, percentile: 50, lessThan: 10s}}]
  output:
    uri: file://{}
    formats: [Requests, Google, Vllm, LlmD, InferencePerf, Aiperf]
",
        output.display()
    )
}

/// Every file under a folder, by its path there.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = std::fs::read(&path).unwrap();
                    found.push((path.strip_prefix(folder).unwrap().to_owned(), bytes));
                }
            }
        }
    }
    found.sort();
    found
}

/// The published layout of a file.
fn layout(path: &Path) -> &'static str {
    let name = path.file_name().unwrap().to_str().unwrap();
    match path.iter().next().unwrap().to_str().unwrap() {
        "google" => "google",
        "vllm" => "vllm",
        "llm-d" => "llm-d",
        "aiperf" if name.ends_with(".jsonl") => "aiperf-record",
        "aiperf" => "aiperf-profile",
        "inference-perf" if name.starts_with("per_request") => "inference-perf-requests",
        "inference-perf" => "inference-perf-lifecycle",
        other => panic!("{other}"),
    }
}

fn documents(path: &Path, bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "yaml" => vec![serde_saphyr::from_str(text).unwrap()],
        "jsonl" => text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        _ => vec![serde_json::from_str(text).unwrap()],
    }
}

fn assert_published(path: &Path, bytes: &[u8]) {
    let schema = format!("src/export/published/{}.schema.json", layout(path));
    let schema = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(schema)).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for document in documents(path, bytes) {
        let errors: Vec<_> = validator
            .iter_errors(&document)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, [""; 0], "{}", path.display());
    }
}

#[test]
fn a_run_leaves_files_that_other_tools_read() {
    let _alone = alone();
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let (file, output) = (
        folder.path().join("run.yaml"),
        folder.path().join("results"),
    );
    std::fs::write(&file, yaml(&engine.url, &output)).unwrap();
    let ended = Command::new(bakeoff())
        .arg("run")
        .arg(&file)
        .output()
        .unwrap();
    // The verdict is that of a busy machine; what cannot be trusted is not given away.
    let (index, _) = tree(&output)
        .into_iter()
        .find(|(path, _)| path.ends_with("exports/index.json"))
        .unwrap_or_else(|| panic!("{ended:?}"));
    let exports = output.join(index.parent().unwrap());
    let run = exports.parent().unwrap();
    let index: Value =
        serde_json::from_slice(&std::fs::read(exports.join("index.json")).unwrap()).unwrap();
    let report: Report =
        serde_json::from_slice(&std::fs::read(run.join("report.json")).unwrap()).unwrap();

    let mut stored = tree(&exports);
    stored.retain(|(path, _)| path != Path::new("index.json"));
    let listed = index["files"].as_array().unwrap().len();
    assert_eq!(stored.len(), listed);
    for (path, bytes) in &stored {
        assert_published(path, bytes);
    }
    let given = report.engines[0].stages.len() - index["leftOut"].as_array().unwrap().len();
    assert!(given > 0, "{index}");

    // The same figures as in the report.
    let document = |path: String| {
        documents(
            Path::new(&path),
            &std::fs::read(exports.join(&path)).unwrap(),
        )
        .remove(0)
    };
    let near = |value: &Value, expected: f64, what: &str| {
        let value = value.as_f64().unwrap();
        assert!(
            (value - expected).abs() <= expected.abs() * 1e-6,
            "{what}: {value}, not {expected}"
        );
    };
    let of = |found: &Option<Distribution>| found.clone().unwrap();
    for stage in &report.engines[0].stages {
        let place = format!("up/round-1/rep-{}", stage.repetition);
        if !exports
            .join(format!("vllm/{place}/{}.json", stage.name))
            .is_file()
        {
            continue;
        }
        let first = of(&stage.time_to_first_token).mean;
        let latency = of(&stage.request_latency);
        let scheduled = of(&stage.request_latency_scheduled).mean;
        let per_token = of(&stage.time_per_output_token).mean;
        let output = stage.throughput.output_tokens_per_second;
        let vllm = document(format!("vllm/{place}/{}.json", stage.name));
        near(&vllm["mean_ttft_ms"], first * 1e3, "ttft");
        near(&vllm["median_e2el_ms"], latency.p50.unwrap() * 1e3, "e2el");
        near(
            &vllm["mean_e2el_including_client_queue_ms"],
            scheduled * 1e3,
            "from the due time",
        );
        near(&vllm["output_throughput"], output, "throughput");
        near(
            &vllm["request_goodput"],
            stage.goodput.as_ref().unwrap().requests_per_second,
            "goodput",
        );
        let aiperf = document(format!(
            "aiperf/{place}/{}/profile_export_aiperf.json",
            stage.name
        ));
        near(
            &aiperf["inter_token_latency"]["avg"],
            per_token * 1e3,
            "aiperf",
        );
        near(
            &aiperf["request_latency"]["std"],
            latency.stddev * 1e3,
            "aiperf's deviation",
        );
        let llm_d = document(format!("llm-d/{place}/{}.yaml", stage.name));
        let aggregate = &llm_d["results"]["request_performance"]["aggregate"];
        near(
            &aggregate["latency"]["time_per_output_token"]["mean"],
            per_token,
            "llm-d",
        );
        near(
            &aggregate["throughput"]["output_token_rate"]["mean"],
            output,
            "llm-d's rate",
        );
        let google = document(format!("google/{place}/{}.json", stage.name));
        near(&google["metrics"]["avg_TTFT_ms"], first * 1e3, "google");
        near(
            &google["metrics"]["throughput"],
            output,
            "google's throughput",
        );
        let summary = document(format!(
            "inference-perf/{place}/summary_lifecycle_metrics.json"
        ));
        assert!(summary["successes"]["count"].as_u64().unwrap() >= stage.requests.succeeded);
    }

    // `bakeoff report` makes the same of the folder.
    let again = folder.path().join("again");
    let ended = Command::new(bakeoff())
        .args([
            "report",
            run.to_str().unwrap(),
            "--output",
            again.to_str().unwrap(),
        ])
        .args(["--format", "google,vllm,llm-d,inference-perf,aiperf"])
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(tree(&again), stored);
}
