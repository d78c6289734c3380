//! An engine that runs elsewhere.

use super::{Planned, by_name, no_stream};
use crate::{
    plan::{Endpoint, EngineSource, ExternalEndpoint, PlannedEngine, endpoint::default_path, http},
    profile::Capabilities,
    run::{BenchmarkRunSpec, EngineSpec, ExternalEngine, Protocol},
    validate::Problem,
};

pub(super) fn plan(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    external: &ExternalEngine,
    field: &str,
) -> Result<Planned, Problem> {
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

fn is_triton(protocol: Protocol) -> bool {
    matches!(
        protocol,
        Protocol::TritonVllm
            | Protocol::TritonTensorRtLlm
            | Protocol::TritonVllmGrpc
            | Protocol::TritonTensorRtLlmGrpc
    )
}
