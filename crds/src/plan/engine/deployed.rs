//! An engine that a profile deploys.

use super::{Planned, cache_reset, differences, one_node};
use crate::{
    plan::{
        Endpoint, EngineSource, PlannedEngine, PlannedMetrics, PlannedModelCheck, abilities,
        endpoint::{choose_protocol, default_path, named_protocol},
        http, traffic,
    },
    profile::{EngineProfileSpec, ProfileProtocol, render::Renderer},
    run::{Adapter, BenchmarkRunSpec, EngineSpec, Tuning},
    validate::Problem,
};

pub(super) fn plan(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    profile_name: &str,
    profile: &EngineProfileSpec,
    field: &str,
) -> Result<Planned, Problem> {
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
    let mut warnings = differences::warnings(spec, engine, &tuning, &renderer, profile);
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
        deviations: differences::deviations(spec, engine, profile),
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

/// The run's settings, and the engine's own in place of those that it has.
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
