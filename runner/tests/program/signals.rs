//! SIGTERM midway: what was measured is kept, and marked.

use std::{path::Path, process::Child};

use bakeoff_crds::{
    BenchmarkRun,
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
    report::{Report, StageReport},
    run::status::VerdictStatus,
    summary::{Termination, reason},
};
use bakeoff_runner::{
    simulate::Running,
    store::{Environment, Store},
    workload::{self, Sources, frozen},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{alone, bakeoff, bench, engine, has, stage, start};

/// A load that lasts until it is cut.
const ENDLESS: [&str; 7] = [
    "--concurrency",
    "4",
    "--requests",
    "10000000",
    "--max-tokens",
    "4",
    "--no-calibration",
];

/// Tells the program to stop once the engine has answered so many requests.
fn terminate_after(engine: &Running, requests: usize, child: &mut Child) -> Option<i32> {
    while engine.log.records().len() < requests {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        std::thread::yield_now();
    }
    let process = Pid::from_child(child);
    kill_process(process, Signal::TERM).unwrap();
    child.wait().unwrap().code()
}

fn assert_cut(stage: &StageReport, at_least: u64) {
    assert_eq!(stage.verdict.status, VerdictStatus::Invalid);
    assert!(has(stage, "Cancelled"), "{:?}", stage.verdict);
    // Those before are kept with their figures, those under way are counted as what they are.
    assert!(stage.requests.succeeded >= at_least, "{:?}", stage.requests);
    let cancelled = stage.requests.failures.get("cancelled");
    assert_eq!(
        stage.requests.failed,
        cancelled.copied().unwrap_or_default()
    );
    assert!(stage.time_to_first_token.is_some());
}

#[test]
fn bench_keeps_what_it_measured() {
    let _alone = alone();
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("report.json");
    let mut child = start(bakeoff(), &bench(&engine.url, &output, &ENDLESS));
    assert_eq!(terminate_after(&engine, 40, &mut child), Some(3));
    assert_cut(&stage(&output), 30);
}

/// A run of two stages against an engine that is up, stored in a folder.
fn yaml(url: &str, output: &Path) -> String {
    format!(
        "apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: cut, namespace: team, uid: abcdef01}}
spec:
  model: {{id: demo/model}}
  engines: [{{name: up, external: {{url: '{url}', protocol: OpenAiCompletions}}}}]
  workload:
    prompts: {{inline: [one, two]}}
    limits: {{maxOutputTokens: 4}}
    sampling: {{ignoreEos: true}}
    warmup: {{requests: 0}}
    sweep: {{concurrency: [4, 8]}}
    requestsPerStage: 1000000
  runner: {{calibration: Never}}
  output: {{uri: 'file://{}'}}
",
        output.display()
    )
}

/// The one `stage.json` under a folder.
fn stored_stage(folder: &Path) -> StageReport {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("stage.json") {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "the second stage was not begun: {found:?}");
    serde_json::from_slice(&std::fs::read(&found[0]).unwrap()).unwrap()
}

#[test]
fn run_writes_a_report_of_what_it_measured() {
    let _alone = alone();
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let (file, output) = (folder.path().join("run.yaml"), folder.path().join("out"));
    std::fs::write(&file, yaml(&engine.url, &output)).unwrap();
    let words = ["run".to_owned(), file.display().to_string()];
    let mut child = start(bakeoff(), &words);
    assert_eq!(terminate_after(&engine, 40, &mut child), Some(3));
    assert_cut(&stored_stage(&output), 30);
    let team = output.join("team");
    let run = std::fs::read_dir(team).unwrap().next().unwrap().unwrap();
    let json = std::fs::read(run.path().join("report.json")).unwrap();
    let report: Report = serde_json::from_slice(&json).unwrap();
    assert_eq!(report.verdict.status, VerdictStatus::Invalid);
    assert_cut(&report.engines[0].stages[0], 30);
    assert!(run.path().join("manifest.json").is_file());
}

#[test]
fn the_agent_stores_the_stage_and_says_why_it_ended() {
    let _alone = alone();
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let run: BenchmarkRun = serde_saphyr::from_str(&yaml(&engine.url, &output)).unwrap();
    let settings = PlanSettings {
        runner_image: "unused".into(),
        place: Place::Local,
    };
    let plan = resolve(&run, &ProfileSet::builtin(), &settings).unwrap();
    let prompts = store_prompts(&plan);
    let file = folder.path().join("plan.json");
    std::fs::write(&file, serde_json::to_vec(&plan).unwrap()).unwrap();
    let last_words = folder.path().join("last-words");
    let words: Vec<String> = [
        "agent",
        "load",
        "--plan",
        file.to_str().unwrap(),
        "--engine",
        "up",
        "--round",
        "1",
        "--url",
        &engine.url,
        "--prompts-sha256",
        &prompts,
        "--listen",
        "127.0.0.1:0",
        "--termination-log",
        last_words.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec();
    let mut child = start(bakeoff(), &words);
    // Another try may go through.
    assert_eq!(terminate_after(&engine, 40, &mut child), Some(75));
    assert_cut(&stored_stage(&output), 30);
    let said: Termination = serde_json::from_slice(&std::fs::read(last_words).unwrap()).unwrap();
    assert_eq!(said.failure.unwrap().reason, reason::ABORTED);
    assert_eq!(said.runner.unwrap().stages_done, 1);
}

/// Stores a plan's prompts as the preflight does, and gives their hash.
fn store_prompts(plan: &Plan) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let environment = Environment::default();
        let store = Store::open(&plan.spec.output, &plan.run.folder(), &environment).unwrap();
        let frozen = workload::freeze(plan, &Sources::default()).unwrap();
        frozen::store(&store, &frozen, &Sources::default())
            .await
            .unwrap()
    })
}
