//! From one engine of a run to its part of the plan: deployed by a profile, external or simulated.

use super::{
    Endpoint, EngineSource, ExternalEndpoint, PlannedEngine, PlannedMetrics, PlannedModelCheck,
    RequestedModel, abilities,
    endpoint::{choose_protocol, default_path, named_protocol, native_profile},
    http, traffic,
};
use crate::{
    profile::{
        Capabilities, EngineProfileSpec, HttpCall, ProfileProtocol, ProfileSet, render::Renderer,
    },
    run::{
        Adapter, Api, BenchmarkRunSpec, CachePolicy, EngineSpec, ExternalEngine, Protocol,
        SimulatedEngine, Tuning,
    },
    validate::{Place, Problem},
};

/// Port of a simulated engine's pod.
const SIMULATED_PORT: u16 = 8000;

type Planned = Result<(PlannedEngine, Vec<String>), Problem>;

pub(super) fn plan_engine(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    profiles: &ProfileSet,
    place: Place,
    field: &str,
) -> Planned {
    if let Some(external) = &engine.external {
        return external_engine(spec, engine, external, field);
    }
    if let Some(simulated) = &engine.simulated {
        if spec.hardware.nodes() > 1 {
            return Err(one_node(spec, "a simulated engine"));
        }
        let planned = simulated_engine(spec, engine, simulated);
        let warnings = simulated_warnings(spec, &planned);
        return Ok((planned, warnings));
    }
    let Some(name) = &engine.profile else {
        return Err(Problem::new(
            field,
            "set one of profile, external and simulated",
        ));
    };
    let Some(profile) = profiles.get(name) else {
        let known: Vec<_> = profiles.names().collect();
        return Err(Problem::new(
            format!("{field}.profile"),
            format!(
                "there is no profile {name:?}; known are {}; apply an EngineProfile of that name to add it",
                known.join(", ")
            ),
        ));
    };
    if place == Place::Cluster && engine.image.is_none() && profile.container.image.is_none() {
        return Err(Problem::new(
            format!("{field}.image"),
            format!(
                "nobody publishes an image of profile {name:?}; build one (docs/engines has a Dockerfile for each built-in profile) and name it here"
            ),
        ));
    }
    deployed_engine(spec, engine, name, profile, field)
}

fn deployed_engine(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    profile_name: &str,
    profile: &EngineProfileSpec,
    field: &str,
) -> Planned {
    let tuning = merged(&spec.tuning, engine.tuning.as_ref());
    let renderer = Renderer::new(spec, engine, &tuning, profile.port);
    let in_profile = |error: crate::profile::render::RenderError| {
        Problem::new(
            format!("{field}.profile"),
            format!("{profile_name:?}: {error}"),
        )
    };
    let chosen = chosen_protocol(spec, engine, profile_name, profile, field)?;
    let capabilities = profile.capabilities.clone();
    if spec.hardware.nodes() > 1 && !capabilities.multi_node {
        return Err(one_node(spec, &format!("profile {profile_name:?}")));
    }
    if let Some(problem) = abilities::problem(spec, &tuning, profile_name, &capabilities) {
        return Err(problem);
    }
    if chosen.adapter.is_none()
        && let Some(problem) =
            traffic::no_adapters(spec, chosen.protocol, &format!("profile {profile_name:?}"))
    {
        return Err(problem);
    }
    let model = match &chosen.model {
        Some(template) => renderer
            .render("protocols.model", template)
            .map_err(in_profile)?,
        None => spec.model.id.clone(),
    };
    let template = chosen.adapter.as_deref().unwrap_or_default();
    let adapter = |adapter: &Adapter| renderer.adapter(template, adapter).map_err(in_profile);
    let models = traffic::models(spec, adapter)?;
    let model_check = match &profile.model_check {
        None => None,
        Some(check) => Some(PlannedModelCheck {
            path: check.path.clone(),
            pointer: check.pointer.clone(),
            expect: match &check.expect {
                Some(template) => renderer
                    .render("modelCheck.expect", template)
                    .map_err(in_profile)?,
                None => spec.model.id.clone(),
            },
            adapters: if check.adapters {
                let adapters = spec.model.adapters.iter().map(adapter);
                adapters.collect::<Result<_, _>>()?
            } else {
                Vec::new()
            },
        }),
    };
    let mut warnings = warnings(spec, engine, &tuning, &renderer, profile);
    let format = chosen
        .http
        .clone()
        .or_else(|| http::builtin(chosen.protocol));
    let mut path = default_path(chosen.protocol, &model, spec.workload.streaming);
    if let Some(format) = format {
        let place = format!("{field}.profile: {profile_name:?}: protocols.http");
        let found = http::check(spec, &format, &model, &engine.name, &place)?;
        warnings.extend(found.warnings);
        if !chosen.protocol.is_grpc() {
            path = found.path;
        }
    }
    let planned = PlannedEngine {
        name: engine.name.clone(),
        profile: profile_name.to_owned(),
        display_name: profile.display_name.clone(),
        source: EngineSource::Deployed(renderer.deployment(profile, engine).map_err(in_profile)?),
        endpoint: Endpoint {
            protocol: chosen.protocol,
            port: profile.port,
            path: chosen.path.clone().unwrap_or(path),
            model,
            http: chosen.http.clone(),
            request_port: chosen.port.filter(|&port| port != profile.port),
        },
        models,
        model_check,
        version: profile.version.clone(),
        model_revision: profile.model_revision.clone(),
        cache_reset: cache_reset(spec, profile),
        metrics: profile.metrics.as_ref().map(|metrics| PlannedMetrics {
            path: metrics.path.clone(),
            port: metrics.port.unwrap_or(profile.port),
            interval: spec.metrics.direct_interval,
            series: metrics.series.clone(),
        }),
        capabilities,
        cautions: profile.cautions.clone(),
        deviations: deviations(spec, engine, profile),
    };
    Ok((planned, warnings))
}

/// The protocol of the requests: the engine's own choice, or that of the workload.
fn chosen_protocol<'a>(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    profile_name: &str,
    profile: &'a EngineProfileSpec,
    field: &str,
) -> Result<&'a ProfileProtocol, Problem> {
    let spoken = &profile.protocols;
    if let Some(named) = engine.protocol {
        return named_protocol(spoken, named).ok_or_else(|| {
            let known: Vec<_> = spoken.iter().map(|it| format!("{:?}", it.protocol)).collect();
            Problem::new(
                format!("{field}.protocol"),
                format!(
                    "{named:?} is not spoken by profile {profile_name:?}, which has {}; choose one of these, or leave it to workload.api",
                    known.join(", ")
                ),
            )
        });
    }
    let api = spec.workload.api;
    choose_protocol(spoken, api).ok_or_else(|| {
        Problem::new(
            "spec.workload.api",
            format!(
                "{api:?} is not spoken by profile {profile_name:?}; use Auto, or leave the engine out"
            ),
        )
    })
}

fn one_node(spec: &BenchmarkRunSpec, who: &str) -> Problem {
    Problem::new(
        "spec.hardware.nodes",
        format!(
            "{who} runs on one node, not on {}; set it to 1, take a profile that spans nodes, such as \
             vllm-leader-worker-set, or leave the engine out",
            spec.hardware.nodes()
        ),
    )
}

fn external_engine(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    external: &ExternalEngine,
    field: &str,
) -> Planned {
    let protocol = external.protocol;
    let model = external
        .model
        .clone()
        .unwrap_or_else(|| spec.model.id.clone());
    let mut capabilities = Capabilities {
        streaming: true,
        ignore_eos: spec.workload.sampling.ignore_eos,
        seed: true,
        usage_in_stream: true,
        prompt_lists: protocol == Protocol::OpenAiCompletions,
        adapters: protocol != Protocol::LlamaCpp && !is_triton(protocol),
        ..Capabilities::default()
    };
    let mut warnings = Vec::new();
    let format = external.http.clone().or_else(|| http::builtin(protocol));
    let mut path = default_path(protocol, &model, spec.workload.streaming);
    if let Some(format) = &format {
        let place = format!("{field}.external.http");
        let found = http::check(spec, format, &model, &engine.name, &place)?;
        if spec.workload.sampling.ignore_eos && !found.ignores_eos {
            return Err(Problem::new(
                "spec.workload.sampling.ignoreEos",
                format!(
                    "requests to {:?} by {protocol:?} cannot say it; set it to false, write ignoreEos into http.body, or leave the engine out",
                    engine.name
                ),
            ));
        }
        capabilities.streaming = format.answer.streams;
        capabilities.seed = found.seed;
        // JetStream tells token ids by gRPC alone.
        capabilities.usage_in_stream =
            !format.answer.output_tokens.is_empty() || protocol == Protocol::JetStreamGrpc;
        capabilities.adapters = found.adapters;
        warnings = found.warnings;
        if !protocol.is_grpc() {
            path = found.path;
        }
    }
    if spec.workload.streaming && !capabilities.streaming {
        warnings.push(no_stream(&engine.name, protocol));
    }
    let planned = PlannedEngine {
        name: engine.name.clone(),
        profile: "external".into(),
        display_name: external.url.clone(),
        source: EngineSource::External(ExternalEndpoint {
            url: external.url.trim_end_matches('/').to_owned(),
            api_key_secret_ref: external.api_key_secret_ref.clone(),
            price_per_million_tokens: external.price_per_million_tokens,
        }),
        endpoint: Endpoint {
            protocol,
            port: 0,
            path,
            model,
            http: external.http.clone(),
            request_port: None,
        },
        models: by_name(spec),
        model_check: None,
        version: None,
        model_revision: None,
        cache_reset: None,
        metrics: None,
        capabilities,
        cautions: vec!["Its hardware is not known, so it is not the same hardware.".into()],
        deviations: vec!["runs elsewhere, on hardware that the run does not control".into()],
    };
    Ok((planned, warnings))
}

fn no_stream(engine: &str, protocol: Protocol) -> String {
    format!("{engine}: {protocol:?} does not stream, so it has no time to first token")
}

fn simulated_warnings(spec: &BenchmarkRunSpec, planned: &PlannedEngine) -> Vec<String> {
    if spec.workload.streaming && !planned.endpoint.can_stream() {
        vec![no_stream(&planned.name, planned.endpoint.protocol)]
    } else {
        Vec::new()
    }
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
            port: SIMULATED_PORT,
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
                port: SIMULATED_PORT,
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

/// The call that empties the prefix cache, where the run wants it empty.
fn cache_reset(spec: &BenchmarkRunSpec, profile: &EngineProfileSpec) -> Option<HttpCall> {
    let wanted = spec.workload.cache_policy == CachePolicy::Cold;
    profile.cache_reset.clone().filter(|_| wanted)
}

/// What requests ask for where adapters go by their own names.
fn by_name(spec: &BenchmarkRunSpec) -> Vec<RequestedModel> {
    let name = |adapter: &Adapter| Ok::<_, std::convert::Infallible>(adapter.name.clone());
    let Ok(models) = traffic::models(spec, name);
    models
}

fn is_triton(protocol: Protocol) -> bool {
    matches!(
        protocol,
        Protocol::TritonVllm
            | Protocol::TritonTensorRtLlm
            | Protocol::TritonVllmGrpc
            | Protocol::TritonTensorRtLlmGrpc
    )
}

fn merged(all: &Tuning, own: Option<&Tuning>) -> Tuning {
    let own = own.cloned().unwrap_or_default();
    Tuning {
        max_batch_size: own.max_batch_size.or(all.max_batch_size),
        gpu_memory_utilization: own.gpu_memory_utilization.or(all.gpu_memory_utilization),
        tensor_parallel_size: own.tensor_parallel_size.or(all.tensor_parallel_size),
        pipeline_parallel_size: own.pipeline_parallel_size.or(all.pipeline_parallel_size),
        prefix_caching: own.prefix_caching.or(all.prefix_caching),
        max_batched_tokens: own.max_batched_tokens.or(all.max_batched_tokens),
        chunked_prefill: own.chunked_prefill.or(all.chunked_prefill),
        in_flight_batching: own.in_flight_batching.or(all.in_flight_batching),
        kv_cache_dtype: own.kv_cache_dtype.or(all.kv_cache_dtype),
        speculative_decoding: own
            .speculative_decoding
            .or_else(|| all.speculative_decoding.clone()),
        max_adapter_rank: own.max_adapter_rank.or(all.max_adapter_rank),
    }
}

fn deviations(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    profile: &EngineProfileSpec,
) -> Vec<String> {
    let mut deviations = Vec::new();
    if unable_to_force_length(spec, profile) {
        deviations.push(
            "answers end where the model ends them, for they cannot be forced to their full length"
                .into(),
        );
    }
    if let Some(image) = engine
        .image
        .as_ref()
        .filter(|_| profile.container.image.is_some())
    {
        deviations.push(format!("image {image} in place of the profile's"));
    }
    if let Some(protocol) = engine.protocol {
        deviations.push(format!("requests by {protocol:?}, chosen for this engine"));
    }
    if !engine.args.is_empty() {
        deviations.push(format!("further arguments {}", engine.args.join(" ")));
    }
    if !engine.env.is_empty() {
        let names: Vec<_> = engine
            .env
            .iter()
            .map(|variable| variable.name.as_str())
            .collect();
        deviations.push(format!("further environment {}", names.join(", ")));
    }
    if let Some(tuning) = &engine.tuning {
        let own = serde_json::to_string(tuning).unwrap_or_default();
        deviations.push(format!("tuning of its own {own}"));
    }
    if let Some(model) = &engine.model {
        let files = model
            .path
            .as_deref()
            .or(model.id.as_deref())
            .unwrap_or_default();
        deviations.push(format!("other files of the model: {files}"));
    }
    deviations
}

/// Whether the run asks for answers of full length and the engine cannot give them: then it is
/// compared per token.
fn unable_to_force_length(spec: &BenchmarkRunSpec, profile: &EngineProfileSpec) -> bool {
    spec.workload.sampling.ignore_eos && !profile.capabilities.ignore_eos
}

fn warnings(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    tuning: &Tuning,
    renderer: &Renderer,
    profile: &EngineProfileSpec,
) -> Vec<String> {
    let name = &engine.name;
    // Asked for, and what the engine does anyway.
    let batches =
        tuning.in_flight_batching == Some(true) && profile.capabilities.continuous_batching;
    let mut warnings: Vec<_> = renderer
        .ignored_settings(profile)
        .into_iter()
        .filter(|setting| !(batches && setting == "tuning.inFlightBatching"))
        .map(|setting| {
            format!(
                "{name}: {} has no setting for {setting}",
                profile.display_name
            )
        })
        .collect();
    if unable_to_force_length(spec, profile) {
        warnings.push(format!(
            "{name}: {} cannot force answers to their full length (workload.sampling.ignoreEos), so \
             compare it per token",
            profile.display_name
        ));
    }
    if spec.workload.cache_policy == CachePolicy::Cold
        && profile.cache_reset.is_none()
        && tuning.prefix_caching != Some(false)
    {
        warnings.push(format!(
            "{name}: the prefix cache of {} cannot be emptied between stages (workload.cachePolicy); \
             give workload.prompts.count as many prompts as all stages have requests, or switch \
             tuning.prefixCaching off",
            profile.display_name
        ));
    }
    if spec.workload.sampling.seed.is_some() && !profile.capabilities.seed {
        warnings.push(format!("{name}: {} takes no seed", profile.display_name));
    }
    if spec.workload.api == Api::Auto && !profile.capabilities.streaming && spec.workload.streaming
    {
        warnings.push(format!("{name}: {} does not stream", profile.display_name));
    }
    warnings
}
