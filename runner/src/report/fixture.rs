//! Reports and parts of them for tests.

use std::collections::BTreeMap;

use bakeoff_crds::{
    outcome::Outcome,
    plan::{Load, LoadMode, Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
    report::{
        ClientReport, Distribution, Energy, EnergySource, EngineMetric, EngineReport, Interval,
        IntervalMethod, MetricSource, MetricValue, NoSteadyReason, NoSteadyState, OutputSanity,
        Probe, ProbeAnswer, ProbeQuestion, Quality, ReconciledMeasure, ReconciliationCheck, Report,
        Requests, StageReport, SteadyRule, SteadyState, Throughput, TokenCountSource,
        TokenDistribution, Verdict, VerdictReason, Window,
    },
    run::{
        BenchmarkRun,
        status::{EnginePhase, ModelVolume, NodeFacts, TurnStatus, VerdictStatus},
    },
    summary::{PrefetchSummary, PreflightSummary, ResolvedRepository, Summary},
};

use super::{Facts, Measured, assemble};
use crate::stats::interval::of_share;

/// A distribution round its median.
pub fn distribution(p50: f64, count: u64) -> Distribution {
    Distribution {
        count,
        mean: p50 * 1.1,
        stddev: p50 * 0.2,
        min: p50 * 0.5,
        p50: Some(p50),
        p90: (count >= 100).then_some(p50 * 1.5),
        p95: (count >= 200).then_some(p50 * 1.7),
        p99: (count >= 1000).then_some(p50 * 2.0),
        p999: None,
        max: p50 * 2.5,
    }
}

fn tokens(mean: f64, count: u64) -> TokenDistribution {
    TokenDistribution {
        distribution: Distribution {
            mean,
            ..distribution(mean, count)
        },
        sum: (mean * count as f64) as u64,
    }
}

/// A stage of a concurrency sweep, by its output throughput and median time to first token.
pub fn stage(concurrency: u32, tokens_per_second: f64, first_token: f64) -> StageReport {
    let count = 100 * u64::from(concurrency);
    let latency = f64::from(concurrency) * 128.0 / tokens_per_second;
    StageReport {
        name: format!("concurrency-{concurrency}"),
        round: 1,
        repetition: 1,
        attempt: 1,
        load: Load {
            mode: LoadMode::Closed,
            concurrency: Some(concurrency),
            ..Load::default()
        },
        window: Window {
            start: "2026-03-01T12:00:00.000Z".into(),
            duration_seconds: count as f64 * 128.0 / tokens_per_second,
        },
        requests: Requests {
            intended: count,
            sent: count,
            succeeded: count,
            ..Requests::default()
        },
        time_to_first_token: Some(distribution(first_token, count)),
        time_to_first_token_scheduled: Some(distribution(first_token, count)),
        inter_token_latency: Some(distribution(0.012, count * 127)),
        inter_chunk_latency: Some(distribution(0.012, count * 127)),
        time_per_output_token: Some(distribution(0.012, count)),
        request_latency: Some(distribution(latency, count)),
        request_latency_scheduled: Some(distribution(latency, count)),
        schedule_delay: Some(distribution(0.000_02, count)),
        input_tokens: Some(tokens(220.0, count)),
        output_tokens: Some(tokens(128.0, count)),
        token_count_source: TokenCountSource::Server,
        throughput: Throughput {
            requests_per_second: tokens_per_second / 128.0,
            input_tokens_per_second: tokens_per_second * 220.0 / 128.0,
            output_tokens_per_second: tokens_per_second,
        },
        client: ClientReport {
            cpu_seconds: 0.4,
            cpu_micros_per_chunk: 9.5,
            peak_rss_bytes: 48 << 20,
            chunks: count * 128,
            overhead_micros: Some(85.0),
            longest_stall_seconds: 0.000_4,
            busiest_loop_share: 0.12,
            loop_delay: Some(distribution(0.000_03, 2000)),
            run_queue_wait_seconds: Some(0.01),
            throttled_seconds: Some(0.0),
            steal_share: Some(0.001),
            open_files_limit: 1_048_576,
            ..ClientReport::default()
        },
        engine_metrics: BTreeMap::from([
            (
                "kvCacheUsage".to_owned(),
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
                "preemptions".to_owned(),
                EngineMetric {
                    absent: Some("NotExposed".into()),
                    ..EngineMetric::default()
                },
            ),
        ]),
        resources: BTreeMap::from([(
            "gpuUtilization".to_owned(),
            EngineMetric {
                prometheus: Some(MetricValue {
                    mean: Some(0.87),
                    max: Some(1.0),
                    increase: None,
                }),
                ..EngineMetric::default()
            },
        )]),
        energy: Some(Energy {
            source: EnergySource::Counter,
            joules: count as f64 * 40.0,
            joules_per_output_token: Some(40.0 / 128.0),
        }),
        reconciliation: vec![ReconciliationCheck {
            measure: ReconciledMeasure::CompletedRequests,
            source: MetricSource::Direct,
            client: count as f64,
            engine: count as f64,
            least: Some(count as f64 * 0.99),
            most: count as f64 * 1.01,
            passed: true,
        }],
        output_sanity: Some(OutputSanity {
            judged: count,
            cut_off: Some(count / 4),
            repeating: count / 100,
            ..OutputSanity::default()
        }),
        intervals: intervals(first_token, IntervalMethod::OrderStatistics),
        steady_state: Some(steady(tokens_per_second, first_token, latency, count)),
        ..StageReport::default()
    }
}

/// Steady throughput is 5 % over that of the whole stage, which has a ramp and a tail.
fn steady(tokens_per_second: f64, first_token: f64, latency: f64, count: u64) -> SteadyState {
    let tokens_per_second = tokens_per_second * 1.05;
    let kept = count * 9 / 10;
    let mut intervals = intervals(first_token, IntervalMethod::OrderStatistics);
    intervals.insert(
        "outputTokensPerSecond".to_owned(),
        Interval {
            low: tokens_per_second * 0.98,
            high: tokens_per_second * 1.02,
            method: IntervalMethod::BatchMeans,
        },
    );
    SteadyState {
        rule: SteadyRule::InFlightAtTarget,
        start_seconds: latency * 1.5,
        duration_seconds: kept as f64 * 128.0 / tokens_per_second,
        requests: kept,
        failed: 0,
        time_to_first_token: Some(distribution(first_token, kept)),
        time_to_first_token_scheduled: None,
        time_per_output_token: Some(distribution(0.012, kept)),
        request_latency: Some(distribution(latency, kept)),
        request_latency_scheduled: None,
        throughput: Throughput {
            requests_per_second: tokens_per_second / 128.0,
            input_tokens_per_second: tokens_per_second * 220.0 / 128.0,
            output_tokens_per_second: tokens_per_second,
        },
        intervals,
    }
}

fn intervals(first_token: f64, method: IntervalMethod) -> BTreeMap<String, Interval> {
    let interval = Interval {
        low: first_token * 0.97,
        high: first_token * 1.03,
        method,
    };
    BTreeMap::from([("timeToFirstTokenP50".to_owned(), interval)])
}

/// The same load as an open loop at a rate.
pub fn rate_stage(rate: f64, tokens_per_second: f64, latency: f64) -> StageReport {
    let mut stage = stage(4, tokens_per_second, latency / 8.0);
    stage.name = format!("rate-{rate}");
    stage.load = Load {
        mode: LoadMode::Open,
        concurrency: None,
        rate: Some(rate),
        arrival: Some(bakeoff_crds::run::Arrival::Poisson),
        ..Load::default()
    };
    stage.request_latency = Some(distribution(latency, 400));
    stage.steady_state = None;
    stage.no_steady_state = Some(NoSteadyState {
        reason: NoSteadyReason::TooShort,
        message: "12 requests lie between ramp and tail".into(),
    });
    stage
}

/// An engine with stages.
pub fn engine(name: &str, stages: Vec<StageReport>) -> EngineReport {
    EngineReport {
        name: name.to_owned(),
        profile: name.to_owned(),
        display_name: name.to_owned(),
        stages,
        ..EngineReport::default()
    }
}

/// An Invalid verdict of one reason.
pub fn invalid(reason: &str) -> Verdict {
    Verdict::of(vec![VerdictReason {
        reason: reason.to_owned(),
        message: format!("{reason} with figures"),
        status: VerdictStatus::Invalid,
    }])
}

/// The run of the fixtures: two deployed engines, one external, at concurrency 1, 8 and 32.
const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: mistral, namespace: bench, uid: 0f9a1b2c-0000-4000-8000-000000000000}
spec:
  model: {id: mistralai/Mistral-7B-Instruct-v0.2, revision: 3ad372f}
  tuning: {maxBatchSize: 64}
  hardware: {pricePerHour: 0.72}
  engines:
    - {name: vllm, profile: vllm, args: [--enforce-eager]}
    - {name: tgi, profile: tgi}
    - name: hosted
      external: {url: "https://api.example.com", protocol: OpenAiChat, pricePerMillionTokens: {output: 0.2}}
  workload:
    prompts: {synthetic: {inputTokens: {mean: 220}, outputTokens: {mean: 128}}}
    sweep: {concurrency: [1, 8, 32]}
  output:
    uri: s3://results/bakeoff
    metadata: {team: platform}
"#;

/// The plan of [`RUN`].
pub fn plan() -> Plan {
    plan_of(RUN)
}

/// The plan of a run.
pub fn plan_of(yaml: &str) -> Plan {
    let run: BenchmarkRun = serde_saphyr::from_str(yaml).unwrap();
    let settings = PlanSettings {
        runner_image: "registry.example.com/bakeoff:test".into(),
        place: Place::Cluster,
    };
    resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
}

/// A moment of the hour in which the run took place.
pub fn time<T: serde::de::DeserializeOwned>(second: u32) -> Option<T> {
    let moment = format!("2026-03-01T12:{:02}:{:02}Z", second / 60, second % 60);
    serde_json::from_value(moment.into()).ok()
}

/// A turn that ended well on `node-a`.
pub fn turn(engine: &str) -> TurnStatus {
    TurnStatus {
        engine: engine.to_owned(),
        round: 1,
        phase: EnginePhase::Succeeded,
        pod_name: Some(format!("mistral-{engine}")),
        node_name: Some("node-a".into()),
        runner_node_name: Some("node-b".into()),
        image_id: Some(format!(
            "registry.example.com/{engine}@sha256:{}",
            "ab".repeat(32)
        )),
        start_time: time(0),
        scheduled_time: time(2),
        image_pulled_time: time(40),
        image_was_present: Some(false),
        container_started_time: time(41),
        ready_time: time(153),
        summary: Some(Summary {
            engine_version: Some("0.11.0".into()),
            ..Summary::default()
        }),
        ..TurnStatus::default()
    }
}

/// A volume that a model of 14 GB was fetched into, half of it by this run.
pub fn model_volume(commit: Option<&str>) -> ModelVolume {
    ModelVolume {
        claim_name: "weights".into(),
        node_name: Some("node-a".into()),
        content: PrefetchSummary {
            commit: commit.map(str::to_owned),
            files: 12,
            bytes: 14_000_000_000,
            fetched_bytes: 7_000_000_000,
            seconds: 70.2,
            content_sha256: "cd".repeat(32),
        },
    }
}

/// Facts beside the stages: every engine had its turn, none failed.
pub fn facts() -> Facts {
    Facts {
        preflight: PreflightSummary {
            prompts: 1000,
            prompts_sha256: "0123456789abcdef".repeat(4),
            dataset_sha256: None,
            tokenizer_sha256: Some("fedcba9876543210".repeat(4)),
            left_out: 0,
            repositories: vec![ResolvedRepository {
                id: "mistralai/Mistral-7B-Instruct-v0.2".into(),
                revision: "main".into(),
                commit: Some("41b61a33a2483885c981aa79e0df6b32407ed873".into()),
            }],
        },
        outcome: Outcome {
            start_time: "2026-03-01T11:59:00Z".into(),
            node_name: Some("node-a".into()),
            operator_version: "0.1.0".into(),
            turns: ["vllm", "tgi"].map(turn).to_vec(),
            restarts: Vec::new(),
            model_volume: None,
            nodes: vec![NodeFacts {
                name: "node-a".into(),
                accelerator: Some("NVIDIA-L4".into()),
                driver: Some("580.65.06".into()),
                kernel: Some("6.12.0".into()),
                ..NodeFacts::default()
            }],
        },
        probes: ["vllm", "tgi", "hosted"]
            .map(|engine| (engine.to_owned(), probe()))
            .to_vec(),
        end_time: "2026-03-01T13:30:00Z".into(),
    }
}

/// What an engine answers that does as all do.
pub fn probe() -> Probe {
    let answer = ProbeAnswer {
        input_tokens: Some(220),
        output_tokens: Some(16),
        finish: Some("length".into()),
        digest: Some("0123456789abcdef".into()),
        failure: None,
    };
    Probe {
        round: 1,
        first_token_time: Some("2026-03-01T12:00:03Z".into()),
        first_token_seconds: Some(0.4),
        questions: vec![ProbeQuestion {
            prompt: 999,
            tokens: Some(220),
            bare_tokens: Some(219),
            asked_tokens: 16,
            forced: false,
            answers: vec![answer.clone(), answer],
        }],
        ..Probe::default()
    }
}

/// Stages of every engine of [`plan`].
pub fn measured() -> Vec<Measured> {
    let throughputs = [
        ("vllm", [(85.0, 0.031), (610.0, 0.045), (1900.0, 0.082)]),
        ("tgi", [(80.0, 0.026), (580.0, 0.039), (1500.0, 0.120)]),
        ("hosted", [(60.0, 0.210), (410.0, 0.230), (1450.0, 0.260)]),
    ];
    throughputs
        .into_iter()
        .flat_map(|(engine, stages)| {
            let levels = [1, 8, 32].into_iter().zip(stages);
            levels.map(move |(level, (tokens, first_token))| Measured {
                engine: engine.to_owned(),
                stage: StageReport {
                    answer_digests: digests(engine, level),
                    quality: Some(quality(engine)),
                    ..stage(level, tokens, first_token)
                },
            })
        })
        .collect()
}

/// Two answers in three are the same for all engines.
fn digests(engine: &str, level: u32) -> BTreeMap<String, Vec<String>> {
    (0..3)
        .map(|number| {
            let answer = match number {
                0 => format!("{:0>16}", engine.len()),
                _ => format!("{number:0>16}"),
            };
            (format!("{}", level * 10 + number), vec![answer])
        })
        .collect()
}

fn quality(engine: &str) -> Quality {
    let matched = if engine == "tgi" { 48 } else { 56 };
    Quality {
        matched,
        judged: 80,
        prompts: 80,
        share: matched as f64 / 80.0,
        interval: of_share(matched, 80).unwrap(),
    }
}

/// The report of all that.
pub fn report() -> Report {
    assemble(&plan(), &facts(), measured())
}

/// A report of a sweep of request rates over two engines.
pub fn rates() -> Report {
    let stages = |levels: [(f64, f64, f64); 3]| {
        levels
            .map(|(rate, tokens, latency)| rate_stage(rate, tokens, latency))
            .to_vec()
    };
    let mut report = report();
    report.engines = vec![
        engine(
            "vllm",
            stages([(0.5, 60.0, 1.1), (2.0, 250.0, 1.3), (4.0, 480.0, 2.9)]),
        ),
        engine(
            "tgi",
            stages([(0.5, 60.0, 1.2), (2.0, 240.0, 1.6), (4.0, 400.0, 9.5)]),
        ),
    ];
    report
}

/// Snapshots of the report lie together, by the names of the files that they show.
pub fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}
