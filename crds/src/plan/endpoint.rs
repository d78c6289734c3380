//! Which protocol of an engine is used, and at which path.

use super::http;
use crate::{
    profile::ProfileProtocol,
    run::{Api, Protocol},
};

/// The protocol that an engine's own `protocol` names; none where the engine does not speak it.
pub fn named_protocol(spoken: &[ProfileProtocol], named: Protocol) -> Option<&ProfileProtocol> {
    spoken.iter().find(|candidate| candidate.protocol == named)
}

/// The protocol that `workload.api` asks for; none where the engine does not speak it.
pub fn choose_protocol(spoken: &[ProfileProtocol], api: Api) -> Option<&ProfileProtocol> {
    spoken.iter().find(|candidate| match api {
        Api::Auto => true,
        Api::Completions => candidate.protocol == Protocol::OpenAiCompletions,
        Api::Chat => candidate.protocol == Protocol::OpenAiChat,
        Api::Native => !matches!(
            candidate.protocol,
            Protocol::OpenAiCompletions | Protocol::OpenAiChat
        ),
    })
}

/// Path of a protocol's request, from the server's root. `model` matters to Triton alone.
pub fn default_path(protocol: Protocol, model: &str, streaming: bool) -> String {
    match protocol {
        Protocol::OpenAiCompletions => "/v1/completions".into(),
        Protocol::OpenAiChat => "/v1/chat/completions".into(),
        Protocol::Tgi if streaming => "/generate_stream".into(),
        Protocol::Tgi => "/generate".into(),
        Protocol::TritonVllm | Protocol::TritonTensorRtLlm if streaming => {
            format!("/v2/models/{model}/generate_stream")
        }
        Protocol::TritonVllm | Protocol::TritonTensorRtLlm => {
            format!("/v2/models/{model}/generate")
        }
        Protocol::LlamaCpp => "/completion".into(),
        Protocol::TritonVllmGrpc | Protocol::TritonTensorRtLlmGrpc => {
            "/inference.GRPCInferenceService/ModelStreamInfer".into()
        }
        Protocol::JetStreamGrpc => "/jetstream_proto.Orchestrator/Decode".into(),
        Protocol::KserveV2Grpc => "/inference.GRPCInferenceService/ModelInfer".into(),
        Protocol::TorchServeGrpc => {
            let method = if streaming {
                "StreamPredictions"
            } else {
                "Predictions"
            };
            format!("/org.pytorch.serve.grpc.inference.InferenceAPIsService/{method}")
        }
        Protocol::Http
        | Protocol::TorchServe
        | Protocol::TransformersInstances
        | Protocol::Sax
        | Protocol::JetStream
        | Protocol::KserveV2 => from_format(protocol, model, streaming),
    }
}

/// The path in a format that comes with Bakeoff. Planning has tried it before: see [`super::http`].
fn from_format(protocol: Protocol, model: &str, streaming: bool) -> String {
    let format = http::builtin(protocol);
    let template = format.and_then(|format| http::RequestTemplate::new(&format).ok());
    let path = template.and_then(|template| template.path(model, streaming).ok());
    path.unwrap_or_else(|| "/".into())
}

/// Whether the protocol takes the plain prompt, so that Bakeoff itself applies the chat template.
pub fn takes_plain_prompt(protocol: Protocol) -> bool {
    protocol != Protocol::OpenAiChat
}

/// Name of the built-in profile of the engine that a protocol is native to, where there is one that
/// its simulator has everything of.
pub fn native_profile(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::OpenAiCompletions | Protocol::OpenAiChat => Some("vllm"),
        Protocol::Tgi => Some("tgi"),
        Protocol::TritonVllm => Some("triton-vllm"),
        Protocol::TritonTensorRtLlm => Some("triton-tensorrt-llm"),
        Protocol::LlamaCpp => Some("llama-cpp"),
        Protocol::Http
        | Protocol::TorchServe
        | Protocol::TransformersInstances
        | Protocol::Sax
        | Protocol::JetStream
        | Protocol::KserveV2
        | Protocol::TritonVllmGrpc
        | Protocol::TritonTensorRtLlmGrpc
        | Protocol::JetStreamGrpc
        | Protocol::KserveV2Grpc
        | Protocol::TorchServeGrpc => None,
    }
}
