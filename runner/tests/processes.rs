//! `runner.parallelism` without a cluster: the program as one process and as four, against the same
//! simulated engine and the same load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{collections::BTreeMap, path::Path, process::Command};

use bakeoff_crds::{
    Duration,
    report::Report,
    run::status::VerdictStatus,
    run::{Fault, Protocol, SimulatedEngine},
};
use bakeoff_runner::simulate;
use serde_json::Value;

const REQUESTS: usize = 320;

fn run_file(folder: &Path, parallelism: u32) -> std::path::PathBuf {
    // Answers of 2 to 41 tokens, so that latencies are spread far wider than a busy machine shakes
    // them.
    let prompts: String = (0..40)
        .map(|number| {
            format!(
                "{{\"prompt\": \"number {number}\", \"outputTokens\": {}}}\n",
                2 + number
            )
        })
        .collect();
    std::fs::write(folder.join("prompts.jsonl"), prompts).unwrap();
    let yaml = format!(
        "
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: processes-{parallelism}}}
spec:
  model: {{id: demo/model}}
  engines: [{{name: fake, simulated: {{protocol: OpenAiCompletions}}}}]
  workload:
    prompts: {{jsonl: {{path: prompts.jsonl}}}}
    limits: {{maxOutputTokens: 64}}
    sampling: {{ignoreEos: true}}
    warmup: {{requests: 0}}
    sweep: {{requestRate: [40]}}
    requestsPerStage: {REQUESTS}
  runner: {{parallelism: {parallelism}}}
  output: {{uri: 'file://{}'}}
",
        folder.join("out").display()
    );
    let path = folder.join(format!("run-{parallelism}.yaml"));
    std::fs::write(&path, yaml).unwrap();
    path
}

/// The report and the requests of a run, by index.
fn run(folder: &Path, parallelism: u32, url: &str) -> (Report, BTreeMap<u64, Value>) {
    let file = run_file(folder, parallelism);
    let output = Command::new(env!("CARGO_BIN_EXE_bakeoff"))
        .args(["run", "--at", &format!("fake={url}")])
        .arg(&file)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output
            .status
            .code()
            .is_some_and(|code| code == 0 || code == 3),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let local = folder.join("out/local");
    let name = format!("processes-{parallelism}-");
    let run = std::fs::read_dir(local)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&name)
        })
        .unwrap();
    let report = serde_json::from_slice(&std::fs::read(run.join("report.json")).unwrap()).unwrap();
    let log = run.join("engines/fake/round-1/rep-1/rate-40/attempt-1/requests.jsonl.zst");
    let lines = zstd::decode_all(&std::fs::read(log).unwrap()[..]).unwrap();
    let requests = String::from_utf8(lines)
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["index"].as_u64().unwrap(), line))
        .collect();
    (report, requests)
}

/// Time from sending to the last content of each answer, sorted.
fn latencies(requests: &BTreeMap<u64, Value>) -> Vec<f64> {
    let mut found: Vec<f64> = requests
        .values()
        .map(|line| line["lastContent"].as_f64().unwrap() - line["sent"].as_f64().unwrap())
        .collect();
    found.sort_by(f64::total_cmp);
    found
}

/// Kolmogorov–Smirnov distance of two sorted samples.
fn distance(one: &[f64], two: &[f64]) -> f64 {
    let share = |sample: &[f64], value: f64| {
        sample.partition_point(|&other| other <= value) as f64 / sample.len() as f64
    };
    one.iter()
        .chain(two)
        .map(|&value| (share(one, value) - share(two, value)).abs())
        .fold(0.0, f64::max)
}

#[test]
fn four_processes_report_what_one_does() {
    let engine = SimulatedEngine {
        protocol: Protocol::OpenAiCompletions,
        time_to_first_token: Duration::from_millis(50),
        inter_token_latency: Duration::from_millis(10),
        max_batch_size: 256,
        batch_slowdown: 0.0,
        fault: Fault::None,
    };
    let server = simulate::start(&engine, "demo/model").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (alone, one) = run(folder.path(), 1, &server.url);
    let before = server.log.records().len();
    let (shared, four) = run(folder.path(), 4, &server.url);
    // The engine saw each arrival once, the one request that is tried first, and the four of the probe.
    assert_eq!(server.log.records().len() - before, REQUESTS + 1 + 4);

    assert_eq!((one.len(), four.len()), (REQUESTS, REQUESTS));
    for (index, line) in &one {
        for key in ["due", "prompt", "outputTokens"] {
            assert_eq!(line[key], four[index][key], "{key} of {index}");
        }
    }
    let stage = |report: &Report| report.engines[0].stages[0].clone();
    let (alone, shared) = (stage(&alone), stage(&shared));
    assert_eq!(alone.requests, shared.requests);
    assert_eq!(alone.output_tokens, shared.output_tokens);
    assert!(alone.shards.is_empty());
    let sent: Vec<u64> = shared
        .shards
        .iter()
        .map(|shard| shard.requests.sent)
        .collect();
    assert_eq!(sent, [80, 80, 80, 80]);
    let bounds = shared.shards[1..].iter();
    let mut bounds = bounds.map(|shard| shard.clock_offset_bound_seconds);
    assert!(bounds.all(|bound| bound > 0.0));
    // Each was calibrated.
    assert!(shared.client.overhead_micros.is_some());
    assert!(
        shared
            .verdict
            .reasons
            .iter()
            .all(|reason| reason.status != VerdictStatus::Invalid),
        "{:?}",
        shared.verdict
    );

    // 0.1 % critical value of the two-sample test.
    let critical = 1.949 * (2.0 / REQUESTS as f64).sqrt();
    let (one, four) = (latencies(&one), latencies(&four));
    let found = distance(&one, &four);
    assert!(found < critical, "{found} >= {critical}");
    // The test can tell: the same answers 100 ms later are another distribution.
    let later: Vec<f64> = four.iter().map(|latency| latency + 0.1).collect();
    assert!(distance(&one, &later) > critical);
}
