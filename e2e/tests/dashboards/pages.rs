//! Pages as they are in a cluster with a run under way, in which something happens at every scrape.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, http::header, routing::get};
use bakeoff_crds::{
    BenchmarkRun,
    manifests::{names, turns},
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
    run::{
        BenchmarkRunStatus, SimulatedEngine,
        status::{EnginePhase, RoundRestart, TurnStatus, condition},
    },
};
use bakeoff_operator::{
    admin::{self, Health},
    metrics::{Figures, Look},
    observed::{Observed, Progress as RunnerProgress, StoredPlan},
    status::conditions,
    watched::Watched,
};
use bakeoff_runner::{
    agent::vitals_page,
    measure::Progress,
    simulate::{
        Engine, SimulatorConfig,
        batch::{Batch, BatchSettings},
        metrics::Metrics,
    },
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::runtime::{reflector, watcher};
use serde_json::{Value, json};

use crate::exporter;

/// The run.
pub const RUN: &str = "run";
/// The Job that loads its engine, by its names.
pub const RUNNER_JOB: &str = "run-load-vllm-r1-01234";

const TEXT: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];

/// The engine whose page a profile's pod shows.
const ENGINES: [(&str, Engine); 15] = [
    ("vllm", Engine::Vllm),
    ("tgi", Engine::Tgi),
    ("triton-vllm", Engine::TritonVllm),
    ("triton-tensorrt-llm", Engine::TritonTensorRtLlm),
    ("triton-tensorrt-llm-engine", Engine::TritonEnsemble),
    ("triton-model", Engine::KserveV2),
    ("llama-cpp", Engine::LlamaCpp),
    ("sglang", Engine::SgLang),
    ("tensorrt-llm", Engine::TensorRtLlm),
    ("torchserve", Engine::TorchServeVllm),
    ("ray-serve", Engine::RayServe),
    ("ray-service", Engine::RayServe),
    ("vllm-leader-worker-set", Engine::Vllm),
    ("jetstream", Engine::JetStream),
    ("openllm", Engine::OpenLlm),
];

/// The pod of a profile's engine. Some have the names of those whose GPUs the exporter knows.
pub fn pod(profile: &str) -> String {
    match profile {
        // As the operator names it: the run's turn is this one's.
        "vllm" => "run-vllm-r1-01234".to_owned(),
        "tgi" => exporter::RENAMED.to_owned(),
        "llama-cpp" => exporter::HONOURED.to_owned(),
        "sglang" => exporter::OLD.to_owned(),
        other => format!("run-{other}-1"),
    }
}

/// Whether a profile has a page here.
pub fn has_page(profile: &str) -> bool {
    ENGINES.iter().any(|(known, _)| *known == profile)
}

/// All of them.
pub fn pods() -> Vec<String> {
    ENGINES.iter().map(|(profile, _)| pod(profile)).collect()
}

/// Serves all pages; the jobs that scrape them.
pub async fn start() -> Vec<Value> {
    let mut jobs = Vec::new();
    for (profile, engine) in ENGINES {
        let address = serve(engine_page(engine)).await;
        jobs.push(job(profile, &address, &pod(profile)));
    }
    let address = serve(operator_page()).await;
    jobs.push(job("operator", &address, "bakeoff-1"));
    let runner_pod = format!("{RUNNER_JOB}-0-x7k2p");
    let progress: Arc<Progress> = Arc::default();
    let runner = Router::new()
        .route(
            "/metrics",
            get(|State(progress): State<Arc<Progress>>| async move {
                (TEXT, vitals_page::page(&progress))
            }),
        )
        .with_state(progress);
    jobs.push(job("runner", &serve(runner).await, &runner_pod));
    let begun = tokio::time::Instant::now();
    let kubelet = get(move || async move {
        let seconds = begun.elapsed().as_secs_f64();
        (TEXT, cadvisor(&runner_pod, seconds))
    });
    let mut kubelet = job(
        "kubelet",
        &serve(Router::new().route("/metrics", kubelet)).await,
        "",
    );
    kubelet["honor_labels"] = true.into();
    jobs.push(kubelet);
    jobs
}

/// A scrape configuration, with the labels that Kubernetes' discovery gives the targets.
fn job(name: &str, address: &str, pod: &str) -> Value {
    json!({"job_name": name, "static_configs": [
        {"targets": [address], "labels": {"namespace": "bench", "pod": pod}},
    ]})
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address.to_string()
}

/// A simulated engine's own page; it answers two requests more each time that it is asked.
fn engine_page(engine: Engine) -> Router {
    let simulated: SimulatedEngine =
        serde_json::from_value(json!({"protocol": "OpenAiCompletions"})).unwrap();
    let config = SimulatorConfig {
        engine,
        ..SimulatorConfig::new(&simulated, "tiny")
    };
    let metrics = Metrics::new(&config);
    let page = move || {
        let (config, metrics) = (config.clone(), metrics.clone());
        async move {
            let mut batch = Batch::new(BatchSettings {
                time_to_first_token: 50_000_000,
                inter_token_latency: 10_000_000,
                max_batch_size: 1,
                batch_slowdown: 0.0,
            });
            batch.arrive(0, (), 7, 3);
            batch.arrive(0, (), 5, 2);
            metrics.look_up(12, 4);
            while let Some(step) = batch.step(|sequence, at| {
                metrics.token(sequence, at, true);
                true
            }) {
                metrics.step(step);
            }
            (TEXT, metrics.render(&config))
        }
    };
    Router::new().route("/metrics", get(page))
}

/// The operator's own page, with a run under way and others that end as time goes by.
fn operator_page() -> Router {
    let plan = plan();
    let vllm = turns(&plan)[0];
    assert_eq!(names::runner(&plan, vllm), RUNNER_JOB);
    assert_eq!(names::engine(&plan, vllm), pod("vllm"));
    let turn = |phase, reason: Option<&str>| TurnStatus {
        engine: "vllm".to_owned(),
        round: 1,
        phase,
        reason: reason.map(str::to_owned),
        pod_name: Some(names::engine(&plan, vllm)),
        ..TurnStatus::default()
    };
    let mut status = BenchmarkRunStatus {
        start_time: at(0),
        turns: vec![turn(EnginePhase::Measuring, None)],
        ..BenchmarkRunStatus::default()
    };
    progressing(&mut status);
    let mut ended = BenchmarkRunStatus {
        completion_time: at(600),
        turns: vec![
            TurnStatus {
                scheduled_time: at(5),
                image_pulled_time: at(60),
                image_was_present: Some(false),
                container_started_time: at(61),
                ready_time: at(120),
                end_time: at(500),
                start_time: at(0),
                ..turn(EnginePhase::Succeeded, None)
            },
            turn(EnginePhase::Failed, Some("EngineCrashed")),
        ],
        ..status.clone()
    };
    ended.restarts.push(RoundRestart {
        round: 1,
        restart: 1,
        node_name: None,
        reason: "NodeLost".into(),
        message: String::new(),
        time: Time(Timestamp::UNIX_EPOCH),
    });
    let complete = condition::COMPLETE;
    let now = Timestamp::UNIX_EPOCH;
    conditions::set(&mut ended.conditions, complete, true, "Succeeded", "", now);
    let observed = Observed {
        plan: StoredPlan::Stored(plan.into()),
        progress: Some(RunnerProgress {
            stages_done: 1,
            stages_planned: 4,
            ..RunnerProgress::default()
        }),
        ..Observed::default()
    };

    let health = Health::default();
    let (store, mut writer) = reflector::store();
    let mut run = run();
    run.status = Some(BenchmarkRunStatus {
        phase: bakeoff_crds::run::status::RunPhase::Running,
        ..status.clone()
    });
    let watched = Watched::from(kube::core::DeserializeGuard(Ok(run)));
    writer.apply_watcher_event(&watcher::Event::Apply(watched));
    health.count_runs_of(store);
    health.metrics.set_leader(true);
    let metrics = health.metrics.clone();
    tokio::spawn(async move {
        // For as long as the page is served, its store is.
        let _writer = writer;
        loop {
            let key = ("bench".to_owned(), RUN.to_owned());
            let figures = Figures::new(&observed, &status);
            metrics.saw(key.clone(), &status, &ended, figures.clone());
            metrics.saw(key, &status, &status, figures);
            let (took, worked) = (Duration::from_millis(7), Duration::from_millis(2));
            metrics.reconciled(took, worked, Look::Full, Some("apply"));
            metrics.requested("list", "pods".to_owned());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    admin::router(health)
}

fn progressing(status: &mut BenchmarkRunStatus) {
    let now = Timestamp::UNIX_EPOCH;
    let kind = condition::PROGRESSING;
    conditions::set(&mut status.conditions, kind, true, "Measuring", "", now);
}

fn at(second: i64) -> Option<Time> {
    Some(Time(
        Timestamp::from_second(1_700_000_000 + second).unwrap(),
    ))
}

fn run() -> BenchmarkRun {
    serde_json::from_value(json!({
        "apiVersion": "bakeoff.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": RUN, "namespace": "bench", "uid": "0123456789"},
        "spec": {
            "model": {"id": "demo/model"},
            "engines": [{"name": "vllm", "profile": "vllm"}],
            "workload": {"prompts": {"inline": ["one"]}, "sweep": {"concurrency": [1]}},
            "output": {"uri": "s3://results"},
        },
    }))
    .unwrap()
}

fn plan() -> Plan {
    let settings = PlanSettings {
        runner_image: "runner".into(),
        place: Place::Cluster,
    };
    resolve(&run(), &ProfileSet::builtin(), &settings).unwrap()
}

/// What the exporter of the runner's tests leaves out: the runner's container and the operator's.
fn cadvisor(runner_pod: &str, seconds: f64) -> String {
    let mut page = String::new();
    for (pod, container) in [(runner_pod, "bakeoff"), ("bakeoff-1", "operator")] {
        let labels = format!(r#"{{container="{container}",namespace="bench",pod="{pod}"}}"#);
        for (name, value) in [
            ("container_cpu_usage_seconds_total", seconds),
            ("container_memory_working_set_bytes", 1e8),
            ("container_cpu_cfs_periods_total", 10.0 * seconds),
            ("container_cpu_cfs_throttled_periods_total", seconds),
        ] {
            page.push_str(&format!("{name}{labels} {value}\n"));
        }
    }
    page
}
