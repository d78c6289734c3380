use bakeoff_crds::run::status::VerdictStatus;
use clap::Parser;

use super::*;
use crate::{
    simulate,
    testing::planned,
    workload::{self, Sources},
};

#[derive(Debug, Parser)]
struct Words {
    #[command(flatten)]
    arguments: Arguments,
}

/// A plan in a folder, its prompts in the store, and a simulated engine that is up.
struct Bench {
    folder: tempfile::TempDir,
    plan: Plan,
    prompts_sha256: String,
    engine: simulate::Running,
}

impl Bench {
    async fn new(fault: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plan = planned(&format!(
            "
  model: {{id: demo/model}}
  engines: [{{name: fake, simulated: {{protocol: OpenAiCompletions, timeToFirstToken: 5ms, interTokenLatency: 1ms, fault: {fault}}}}}]
  workload:
    prompts: {{inline: [one, two]}}
    limits: {{maxOutputTokens: 4}}
    warmup: {{requests: 0}}
    sweep: {{concurrency: [2]}}
    requestsPerStage: 6
  runner: {{calibration: Never}}
  output: {{uri: 'file://{}'}}",
            folder.path().join("out").display()
        ));
        let json = serde_json::to_vec(&plan).unwrap();
        std::fs::write(folder.path().join("plan.json"), json).unwrap();
        let store = Store::open(
            &plan.spec.output,
            &plan.run.folder(),
            &Environment::default(),
        )
        .unwrap();
        let frozen = workload::freeze(&plan, &Sources::default()).unwrap();
        let prompts_sha256 = frozen::store(&store, &frozen, &Sources::default())
            .await
            .unwrap();
        let engine = match &plan.engines[0].source {
            EngineSource::Simulated(simulated) => simulate::start(simulated, "demo/model").unwrap(),
            other => panic!("{other:?}"),
        };
        Self {
            folder,
            plan,
            prompts_sha256,
            engine,
        }
    }

    /// Runs the agent to its last words.
    async fn load(&self, engine: &str, prompts_sha256: &str) -> (Termination, bool) {
        let path = |file: &str| self.folder.path().join(file).display().to_string();
        let last_words = path("termination-log");
        let words = Words::parse_from([
            "load",
            "--plan",
            &path("plan.json"),
            "--engine",
            engine,
            "--round",
            "1",
            "--url",
            &self.engine.url,
            "--prompts-sha256",
            prompts_sha256,
            "--listen",
            "127.0.0.1:0",
            "--termination-log",
            &last_words,
        ]);
        let code = run(words.arguments).await.unwrap();
        let text = std::fs::read_to_string(&last_words).unwrap();
        (
            serde_json::from_str(&text).unwrap(),
            code == ExitCode::SUCCESS,
        )
    }
}

#[tokio::test]
async fn an_engine_is_loaded_and_the_last_words_say_what_came_of_it() {
    let bench = Bench::new("None").await;
    let (words, success) = bench.load("fake", &bench.prompts_sha256).await;
    assert!(success);
    assert_eq!(words.failure, None);
    let summary = words.runner.unwrap();
    assert_eq!(
        (summary.stages_done, summary.intended, summary.succeeded),
        (1, 6, 6)
    );
    let stage = bench
        .folder
        .path()
        .join("out")
        .join(bench.plan.run.folder())
        .join("engines/fake/round-1/rep-1/concurrency-2/attempt-1/stage.json");
    assert!(stage.exists(), "{}", stage.display());
}

#[tokio::test]
async fn an_invalid_verdict_is_a_result_and_no_failure() {
    let bench = Bench::new("ErrorEvent").await;
    let (words, success) = bench.load("fake", &bench.prompts_sha256).await;
    assert!(success);
    assert_eq!(words.failure, None);
    let summary = words.runner.unwrap();
    assert_eq!(summary.verdict, VerdictStatus::Invalid);
    assert_eq!(summary.failed, 6);
}

#[tokio::test]
async fn failures_have_their_reasons() {
    let bench = Bench::new("WrongModel").await;
    for (engine, prompts, expected) in [
        (
            "fake",
            bench.prompts_sha256.as_str(),
            reason::WRONG_MODEL_SERVED,
        ),
        ("fake", "0", reason::HASH_MISMATCH),
        ("other", bench.prompts_sha256.as_str(), reason::INVALID_SPEC),
    ] {
        let (words, success) = bench.load(engine, prompts).await;
        assert!(!success, "{expected}");
        assert_eq!(words.failure.unwrap().reason, expected);
    }
}

#[tokio::test]
async fn progress_is_told_to_whoever_asks() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = routes(Arc::default());
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    crate::store::backend::install_crypto_provider();
    let ask = async |path: &str| {
        reqwest::get(format!("{url}{path}"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    let progress: serde_json::Value = serde_json::from_str(&ask("/progress").await).unwrap();
    assert_eq!(
        progress,
        serde_json::json!({"repetition": 0, "stage": "", "stagesDone": 0, "stagesPlanned": 0, "requestsDone": 0})
    );
    let metrics = ask("/metrics").await;
    assert!(
        metrics.contains("\nbakeoff_runner_requests_total 0\n"),
        "{metrics}"
    );
    for name in ["cpu_seconds_total", "peak_memory_bytes"] {
        let begin = format!("bakeoff_runner_{name} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&begin));
        let value: f64 = value.unwrap().parse().unwrap();
        assert!(value > 0.0, "{name} {value}");
    }
    assert_eq!(ask("/healthz").await, "ok");
    server.abort();
}
