//! The engines' metric names, which profiles and scrapers rely on.

use bakeoff_crds::run::{Protocol, SimulatedEngine};

use super::*;
use crate::simulate::batch::{Batch, BatchSettings};

const PROTOCOLS: [Protocol; 5] = [
    Protocol::OpenAiCompletions,
    Protocol::Tgi,
    Protocol::TritonVllm,
    Protocol::TritonTensorRtLlm,
    Protocol::LlamaCpp,
];

fn config(protocol: Protocol) -> SimulatorConfig {
    let simulated: SimulatedEngine =
        serde_json::from_value(serde_json::json!({ "protocol": protocol })).unwrap();
    SimulatorConfig::new(&simulated, "a \"model\"")
}

/// Metrics after two requests of 3 and 2 tokens on a batch of one.
fn after_two_requests(config: &SimulatorConfig) -> Metrics {
    let metrics = Metrics::new(config);
    let mut batch = Batch::new(BatchSettings {
        time_to_first_token: 50_000_000,
        inter_token_latency: 10_000_000,
        max_batch_size: 1,
        batch_slowdown: 0.0,
    });
    batch.arrive(0, (), 7, 3);
    batch.arrive(0, (), 5, 2);
    while let Some(step) = batch.step(|sequence, at| {
        metrics.token(sequence, at, true);
        true
    }) {
        metrics.step(step);
    }
    metrics
}

#[test]
fn each_engine_shows_its_own_names() {
    for protocol in PROTOCOLS {
        let config = config(protocol);
        let page = after_two_requests(&config).render(&config);
        let but_buckets: Vec<&str> = page
            .lines()
            .filter(|line| !line.contains("_bucket{"))
            .collect();
        insta::assert_snapshot!(format!("{protocol:?}"), but_buckets.join("\n"));
    }
}

const ENGINES: [(Engine, &str); 12] = [
    (Engine::Vllm, "vllm"),
    (Engine::Tgi, "tgi"),
    (Engine::TritonVllm, "triton-vllm"),
    (Engine::TritonTensorRtLlm, "triton-tensorrt-llm"),
    (Engine::LlamaCpp, "llama-cpp"),
    (Engine::SgLang, "sglang"),
    (Engine::TensorRtLlm, "tensorrt-llm"),
    (Engine::TorchServeVllm, "torchserve"),
    (Engine::RayServe, "ray-serve"),
    (Engine::JetStream, "jetstream"),
    (Engine::KserveV2, "triton-model"),
    (Engine::TritonEnsemble, "triton-tensorrt-llm-engine"),
];

fn played(engine: Engine) -> SimulatorConfig {
    SimulatorConfig {
        engine,
        ..config(Protocol::OpenAiCompletions)
    }
}

#[test]
fn engines_without_a_protocol_of_their_own_show_their_own_names() {
    for (engine, profile) in &ENGINES[5..] {
        let config = played(*engine);
        let page = after_two_requests(&config).render(&config);
        let but_buckets: Vec<&str> = page
            .lines()
            .filter(|line| !line.contains("_bucket{"))
            .collect();
        insta::assert_snapshot!(*profile, but_buckets.join("\n"));
    }
}

/// Every series that a built-in profile reads is there.
#[test]
fn profiles_find_their_series() {
    let profiles = bakeoff_crds::profile::ProfileSet::builtin();
    for (engine, profile) in ENGINES.into_iter().chain([(Engine::OpenLlm, "openllm")]) {
        let config = played(engine);
        let page = after_two_requests(&config).render(&config);
        let metrics = profiles.get(profile).unwrap().metrics.as_ref().unwrap();
        for series in metrics.series.values() {
            let found = series.names.iter().any(|name| {
                let (name, label) = name.split_once('{').unwrap_or((name, ""));
                let label = label.trim_end_matches('}');
                page.lines()
                    .any(|line| line.starts_with(name) && line.contains(label))
            });
            assert!(found, "{profile}: none of {:?} in\n{page}", series.names);
        }
    }
    for name in ["transformers", "fastchat"] {
        assert_eq!(profiles.get(name).unwrap().metrics, None, "{name}");
    }
}

#[test]
fn tgi_shows_nothing_before_its_first_request() {
    let config = config(Protocol::Tgi);
    assert_eq!(Metrics::new(&config).render(&config), "");
}

#[test]
fn buckets_add_up() {
    let mut histogram = Histogram::new(&[0.1, 1.0]);
    for value in [0.05, 0.1, 0.5, 7.0] {
        histogram.observe(value);
    }
    let mut page = Exposition::default();
    page.histogram("h", &[("a", "b")], &histogram);
    assert_eq!(
        page.into_text(),
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"0.1\"} 2.0\nh_bucket{a=\"b\",le=\"1.0\"} 3.0\n\
         h_bucket{a=\"b\",le=\"+Inf\"} 4.0\nh_sum{a=\"b\"} 7.65\nh_count{a=\"b\"} 4.0\n"
    );
}
