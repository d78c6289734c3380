//! A Prometheus that breaks off every answer: the run goes through, and its report says what is
//! missing and why.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bakeoff_crds::report::Report;

use crate::common::{alone, bakeoff};

/// A server that takes questions, and how many it took.
fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let questions = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&questions);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .for_each(drop);
            seen.fetch_add(1, Ordering::Relaxed);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{");
        }
    });
    (url, questions)
}

#[test]
fn a_prometheus_that_breaks_off_costs_its_figures_and_no_others() {
    let _alone = alone();
    let (url, questions) = server();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("results");
    let file = folder.path().join("run.yaml");
    let queries: String = (0..8)
        .map(|number| format!("{{name: q{number}, query: 'up'}}, "))
        .collect();
    // Each stage is longer than four scrapes.
    let yaml = format!(
        "apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: blind}}
spec:
  model: {{id: demo/model}}
  engines: [{{name: up, simulated: {{protocol: OpenAiCompletions, timeToFirstToken: 5ms}}}}]
  workload:
    prompts: {{inline: [one, two]}}
    limits: {{maxOutputTokens: 2}}
    warmup: {{requests: 0}}
    sweep: {{requestRate: [5, 6], arrival: Constant}}
    requestsPerStage: 26
  runner: {{calibration: Never}}
  metrics: {{backend: Prometheus, url: '{url}', interval: 1s, extraQueries: [{queries}]}}
  output: {{uri: 'file://{}'}}
",
        output.display()
    );
    std::fs::write(&file, yaml).unwrap();
    let ended = Command::new(bakeoff())
        .args(["run", &file.display().to_string()])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(matches!(ended.status.code(), Some(0 | 3)), "{log}");
    let report = walk(&output).expect("a report");
    let report: Report = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let stages = &report.engines[0].stages;
    assert_eq!(stages.len(), 2);
    for stage in stages {
        assert_eq!(stage.requests.succeeded, 26);
        for number in 0..8 {
            let metric = &stage.engine_metrics[&format!("q{number}")];
            let absent = metric.absent.as_deref().unwrap_or_default();
            assert!(absent.starts_with("PrometheusUnreachable: "), "{metric:?}");
        }
        // What the engine says itself is there all the same.
        let running = &stage.engine_metrics["running"];
        assert!(running.direct.is_some(), "{running:?}");
    }
    // Two unanswered questions a stage, and no more.
    assert_eq!(questions.load(Ordering::Relaxed), 4);
}

/// The `report.json` somewhere below a folder.
fn walk(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries
        .map(|entry| entry.path())
        .find_map(|path| match path.file_name()?.to_str()? {
            "report.json" => Some(path),
            _ => walk(&path),
        })
}
