//! What real servers write, frame by frame.
//!
//! Every shape here is held against a capture or, for TGI and the two Triton backends, against the
//! source code of the server; see `tests/fixtures/wire`.

mod fastchat;
mod grpc;
mod llama_cpp;
mod openai;
mod plain;
mod sglang;
mod tensorrt_llm;
mod tgi;
mod transformers;
mod triton;

use std::fmt::Write;

use bytes::Bytes;

use super::{config::Engine, text};

/// Interfaces that produce text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `/v1/completions` in the dialect of vLLM, TGI or llama.cpp.
    Completions,
    /// `/v1/chat/completions` in the dialect of vLLM, TGI or llama.cpp.
    Chat,
    /// TGI's `generate` and `generate_stream`, Triton's, llama.cpp's `completion`.
    Native,
    /// Triton's, JetStream's and TorchServe's calls by gRPC.
    Grpc,
}

/// All that the frames of an answer hold.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The engine.
    pub engine: Engine,
    /// The interface.
    pub interface: Interface,
    /// Id of the request.
    pub id: String,
    /// Unix time in seconds.
    pub created: u64,
    /// Name of the model, as a JSON string with its quotes.
    pub model: String,
    /// The prompt, for servers that repeat it.
    pub prompt: String,
    /// Hash that chooses the words.
    pub hash: u64,
    /// Tokens of the prompt.
    pub input_tokens: u32,
    /// Tokens of the whole answer.
    pub output_tokens: u32,
    /// Whether the answer ends because no more tokens were asked for.
    pub at_limit: bool,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// `stream_options.continuous_usage_stats`.
    pub continuous_usage: bool,
    /// Outputs that a request to Triton asked for.
    pub outputs: TritonOutputs,
    /// Place of the prompt in a request of several.
    pub choice: u32,
    /// Tokens of the prompts and answers of the whole request: of this one alone in most.
    pub of_request: (u32, u32),
}

/// Outputs of Triton's backends that a request may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TritonOutputs {
    /// `return_finish_reason`.
    pub finish_reason: bool,
    /// `return_num_input_tokens`.
    pub num_input_tokens: bool,
    /// `return_num_output_tokens`.
    pub num_output_tokens: bool,
}

/// One write to the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether it holds a token.
    pub token: bool,
}

impl Answer {
    /// The frames that come with a token, the closing ones with the last; `index` counts from 0.
    pub fn frames(&self, index: u32, last: bool) -> Vec<Frame> {
        match (self.engine, self.interface) {
            (_, Interface::Grpc) => grpc::frames(self, index, last),
            (Engine::Tgi, Interface::Chat) => tgi::chat(self, index, last),
            (Engine::Tgi, Interface::Completions) => tgi::completions(self, index, last),
            (Engine::Tgi, Interface::Native) => tgi::generate_stream(self, index, last),
            (Engine::TritonVllm, _) => triton::vllm(self, index, last),
            (Engine::TritonTensorRtLlm, _) => triton::tensorrt_llm(self, index, last),
            (Engine::TritonEnsemble, _) => triton::ensemble(self, index),
            (Engine::LlamaCpp, Interface::Chat) => llama_cpp::chat(self, index, last),
            (Engine::LlamaCpp, Interface::Completions) => llama_cpp::completions(self, index, last),
            (Engine::LlamaCpp, Interface::Native) => llama_cpp::completion(self, index, last),
            (Engine::SgLang, Interface::Chat) => sglang::chat(self, index, last),
            (Engine::SgLang, _) => sglang::completions(self, index, last),
            (Engine::TensorRtLlm, Interface::Chat) => tensorrt_llm::chat(self, index, last),
            (Engine::TensorRtLlm, _) => tensorrt_llm::completions(self, index, last),
            (Engine::Transformers, Interface::Chat) => transformers::chat(self, index, last),
            (Engine::Transformers, _) => transformers::completions(self, index, last),
            (Engine::FastChat, Interface::Chat) => fastchat::chat(self, index, last),
            (Engine::FastChat, _) => fastchat::completions(self, index, last),
            (engine, Interface::Chat) if engine.passes_on_vllm() => {
                openai::vllm_chat(self, index, last)
            }
            (engine, _) if engine.passes_on_vllm() => openai::vllm_completions(self, index, last),
            _ => plain::frames(self, index, last),
        }
    }

    /// The frames that come with a token in an answer to one of several prompts; those that close the
    /// stream come with the last token of `all`.
    pub fn choice_frames(&self, index: u32, last: bool, of_all: bool) -> Vec<Frame> {
        openai::vllm_choice(self, index, last, of_all)
    }

    /// The body of the answers to several prompts that does not stream.
    pub fn whole_of_several(answers: &[Self]) -> String {
        openai::vllm_choices_whole(answers)
    }

    /// The body of an answer that does not stream.
    pub fn whole(&self) -> String {
        match (self.engine, self.interface) {
            (Engine::Tgi, Interface::Chat) => tgi::chat_whole(self),
            (Engine::Tgi, Interface::Completions) => tgi::completions_whole(self),
            (Engine::Tgi, Interface::Native) => tgi::generate(self),
            (Engine::TritonVllm, _) => triton::vllm_whole(self),
            (Engine::TritonTensorRtLlm, _) => triton::tensorrt_llm_whole(self),
            (Engine::TritonEnsemble, _) => triton::ensemble_whole(self),
            (Engine::LlamaCpp, Interface::Chat) => llama_cpp::chat_whole(self),
            (Engine::LlamaCpp, Interface::Completions) => llama_cpp::completions_whole(self),
            (Engine::LlamaCpp, Interface::Native) => llama_cpp::completion_whole(self),
            (Engine::SgLang, Interface::Chat) => sglang::chat_whole(self),
            (Engine::SgLang, _) => sglang::completions_whole(self),
            (Engine::TensorRtLlm, Interface::Chat) => tensorrt_llm::chat_whole(self),
            (Engine::TensorRtLlm, _) => tensorrt_llm::completions_whole(self),
            (Engine::Transformers, Interface::Chat) => transformers::chat_whole(self),
            (Engine::Transformers, _) => transformers::completions_whole(self),
            (Engine::FastChat, Interface::Chat) => fastchat::chat_whole(self),
            (Engine::FastChat, _) => fastchat::completions_whole(self),
            (engine, Interface::Chat) if engine.passes_on_vllm() => openai::vllm_chat_whole(self),
            (engine, _) if engine.passes_on_vllm() => openai::vllm_completions_whole(self),
            _ => plain::whole(self),
        }
    }

    /// The messages of an answer by gRPC that does not stream.
    pub fn whole_call(&self) -> Vec<Frame> {
        grpc::whole(self)
    }

    /// The frames of an error amid the stream; none where the server has no words for one and the
    /// stream breaks.
    pub fn error_frames(&self) -> Vec<Frame> {
        match self.engine {
            _ if self.interface == Interface::Grpc => grpc::error(self.engine),
            Engine::SgLang => sglang::error(),
            Engine::TensorRtLlm => tensorrt_llm::error(),
            Engine::Transformers => transformers::error(),
            Engine::FastChat => fastchat::error(),
            Engine::Vllm | Engine::TorchServeVllm | Engine::RayServe | Engine::OpenLlm => {
                openai::vllm_error()
            }
            Engine::Tgi => tgi::error(),
            Engine::TritonVllm | Engine::TritonTensorRtLlm | Engine::TritonEnsemble => {
                triton::error()
            }
            Engine::LlamaCpp => llama_cpp::error(),
            _ => plain::error(self.engine),
        }
    }

    fn token(&self, index: u32) -> (&'static str, u32) {
        text::token(self.hash, index)
    }

    fn text(&self) -> String {
        text::answer(self.hash, self.output_tokens)
    }

    /// OpenAI's word for the end.
    fn finish_reason(&self) -> &'static str {
        if self.at_limit { "length" } else { "stop" }
    }
}

/// An event that holds a token.
fn token(json: &str) -> Frame {
    Frame {
        bytes: format!("data: {json}\n\n").into(),
        token: true,
    }
}

/// An event that holds none.
fn other(json: &str) -> Frame {
    Frame {
        bytes: format!("data: {json}\n\n").into(),
        token: false,
    }
}

/// `a` or `null`.
fn quoted(word: Option<&str>) -> String {
    let mut json = String::new();
    match word {
        // Only words of ours, which need no escapes.
        Some(word) => _ = write!(json, "\"{word}\""),
        None => json.push_str("null"),
    }
    json
}

#[cfg(test)]
mod tests;
