//! The engines' wire formats, without I/O: bytes in, events out.
//!
//! A [`Codec`] writes the requests of one endpoint; its [`Decoder`]s read the answers, one decoder
//! for each. Adding a protocol is one file with `encode` and a state that reads frames, and one arm
//! in each `match` here and in `decode.rs`.
//!
//! Sampling parameters are always written out, because engines differ in what they take for
//! granted (vLLM samples at temperature 1.0, llama.cpp at 0.8).

mod decode;
mod json;
mod llama_cpp;
mod openai;
mod openai_chat;
mod openai_completions;
mod tgi;
mod triton;
mod triton_tensorrt_llm;
mod triton_vllm;

use bakeoff_crds::{
    plan::Endpoint,
    run::{Protocol, Sampling},
};
use bytes::Bytes;

pub use decode::{DecodeError, Decoder};

use crate::prompt::Prompt;

/// What all requests of a run have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestOptions {
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Whether the answer is asked for as a stream.
    pub streaming: bool,
}

/// Writes the requests of one endpoint and makes the decoders of their answers.
#[derive(Clone, Debug)]
pub struct Codec {
    protocol: Protocol,
    model: String,
    options: RequestOptions,
}

impl Codec {
    /// The codec of an endpoint.
    pub fn new(endpoint: &Endpoint, options: RequestOptions) -> Self {
        Self {
            protocol: endpoint.protocol,
            model: endpoint.model.clone(),
            options,
        }
    }

    /// The JSON body of the request for a prompt, to be sent as `application/json` by POST to the
    /// endpoint's path.
    pub fn encode(&self, prompt: &Prompt) -> Bytes {
        let (model, options) = (self.model.as_str(), &self.options);
        match self.protocol {
            Protocol::OpenAiCompletions => openai_completions::encode(model, prompt, options),
            Protocol::OpenAiChat => openai_chat::encode(model, prompt, options),
            Protocol::Tgi => tgi::encode(prompt, options),
            Protocol::TritonVllm => triton_vllm::encode(prompt, options),
            Protocol::TritonTensorRtLlm => triton_tensorrt_llm::encode(prompt, options),
            Protocol::LlamaCpp => llama_cpp::encode(prompt, options),
        }
    }

    /// Value of the request's `accept` header.
    pub fn accept(&self) -> &'static str {
        if self.options.streaming {
            "text/event-stream"
        } else {
            "application/json"
        }
    }

    /// A decoder for one answer.
    pub fn decoder(&self) -> Decoder {
        Decoder::new(self.protocol)
    }
}

/// What an answer tells, in the order in which it tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// Output. Never for frames that carry none: role, usage, comment, `[DONE]`.
    Content {
        /// The text, reasoning included. Empty where a token has no text of its own: a special
        /// token, or a part of a character whose text comes with a later token.
        text: &'a str,
        /// Number of tokens in the frame, where the frame itself says it. Never guessed.
        tokens: Option<u32>,
    },
    /// Token counts of the whole request so far. The last one counts; they are never added up.
    Usage {
        /// Tokens of the prompt.
        input_tokens: Option<u32>,
        /// Tokens of the answer.
        output_tokens: Option<u32>,
    },
    /// Why generation ended.
    Finish {
        /// The reason.
        reason: FinishReason,
    },
    /// The answer is whole. Comes once, as the last event.
    End,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string did.
    Stop,
    /// The most tokens asked for were reached.
    Length,
    /// Anything else, such as an abort or a content filter.
    Other,
}

impl FinishReason {
    /// The reason as engines spell it.
    fn from_engine(word: &str) -> Self {
        match word {
            "stop" | "eos_token" | "stop_sequence" | "eos" | "word" | "end_turn" => Self::Stop,
            "length" | "limit" | "max_tokens" => Self::Length,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
