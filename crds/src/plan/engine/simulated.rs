//! An engine that is simulated, as the one that its protocol is native to.

use super::{Planned, by_name, cache_reset, no_stream};
use crate::{
    plan::{
        Endpoint, EngineSource, PlannedEngine, PlannedMetrics, PlannedModelCheck,
        endpoint::{default_path, native_profile},
        http,
    },
    profile::{Capabilities, ProfileSet},
    run::{BenchmarkRunSpec, EngineSpec, Protocol, SimulatedEngine},
};

/// Port of its pod.
const PORT: u16 = 8000;

pub(super) fn plan(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    simulated: &SimulatedEngine,
) -> Planned {
    let planned = simulated_engine(spec, engine, simulated);
    let warnings = simulated_warnings(spec, &planned);
    (planned, warnings)
}

fn simulated_engine(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    simulated: &SimulatedEngine,
) -> PlannedEngine {
    let protocol = simulated.protocol;
    let model = match protocol {
        Protocol::TritonVllm | Protocol::TritonVllmGrpc => "vllm_model".to_owned(),
        Protocol::TritonTensorRtLlm | Protocol::TritonTensorRtLlmGrpc => "tensorrt_llm".to_owned(),
        _ => spec.model.id.clone(),
    };
    // The simulator speaks like the engine that the protocol is native to; so its checks, metrics
    // and abilities are that engine's.
    let native = native_profile(protocol);
    let profile = native.and_then(|native| ProfileSet::builtin().get(native).cloned());
    let check = profile
        .as_ref()
        .and_then(|profile| profile.model_check.clone());
    let adapters = spec.model.adapters.iter();
    PlannedEngine {
        name: engine.name.clone(),
        profile: "simulated".into(),
        display_name: format!("simulated {protocol:?}"),
        source: EngineSource::Simulated(simulated.clone()),
        endpoint: Endpoint {
            protocol,
            port: PORT,
            path: default_path(protocol, &model, spec.workload.streaming),
            model: model.clone(),
            http: None,
            request_port: None,
        },
        models: by_name(spec),
        model_check: check.map(|check| PlannedModelCheck {
            adapters: if check.adapters {
                adapters.map(|adapter| adapter.name.clone()).collect()
            } else {
                Vec::new()
            },
            path: check.path,
            pointer: check.pointer,
            expect: model,
        }),
        version: profile.as_ref().and_then(|profile| profile.version.clone()),
        model_revision: profile
            .as_ref()
            .and_then(|profile| profile.model_revision.clone()),
        cache_reset: profile
            .as_ref()
            .and_then(|profile| cache_reset(spec, profile)),
        metrics: profile
            .as_ref()
            .and_then(|profile| profile.metrics.clone())
            .map(|metrics| PlannedMetrics {
                path: metrics.path,
                port: PORT,
                interval: spec.metrics.direct_interval,
                series: metrics.series,
            }),
        capabilities: match profile {
            Some(profile) => profile.capabilities,
            None => Capabilities {
                streaming: http::builtin(protocol).is_none_or(|it| it.answer.streams),
                continuous_batching: true,
                ..Capabilities::default()
            },
        },
        cautions: vec!["Simulated: its speed is made up.".into()],
        deviations: Vec::new(),
    }
}

fn simulated_warnings(spec: &BenchmarkRunSpec, planned: &PlannedEngine) -> Vec<String> {
    if spec.workload.streaming && !planned.endpoint.can_stream() {
        vec![no_stream(&planned.name, planned.endpoint.protocol)]
    } else {
        Vec::new()
    }
}
