//! Which protocol of an engine is used, and at which path.

use crate::{
    profile::ProfileProtocol,
    run::{Api, Protocol},
};

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
    }
}

/// Whether the protocol takes the plain prompt, so that Bakeoff itself applies the chat template.
pub fn takes_plain_prompt(protocol: Protocol) -> bool {
    protocol != Protocol::OpenAiChat
}

/// Name of the built-in profile of the engine that a protocol is native to.
pub fn native_profile(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAiCompletions | Protocol::OpenAiChat => "vllm",
        Protocol::Tgi => "tgi",
        Protocol::TritonVllm => "triton-vllm",
        Protocol::TritonTensorRtLlm => "triton-tensorrt-llm",
        Protocol::LlamaCpp => "llama-cpp",
    }
}
