//! The engines' wire formats, without I/O: bytes in, events out.
//!
//! A [`Codec`] writes the requests of one endpoint; its [`Decoder`]s read the answers, one decoder
//! for each. Adding a protocol is one file with `encode` and a state that reads frames, and one arm
//! in each `match` here and in `decode.rs`.
//!
//! Sampling parameters are always written out, because engines differ in what they take for
//! granted (vLLM samples at temperature 1.0, llama.cpp at 0.8).

mod decode;
pub(crate) mod grpc;
mod http;
mod json;
mod llama_cpp;
mod openai;
mod openai_chat;
mod openai_completions;
mod so_far;
mod tgi;
mod triton;
mod triton_tensorrt_llm;
mod triton_vllm;

use std::sync::Arc;

use bakeoff_crds::{
    plan::{Endpoint, http::HttpFormatError},
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
    /// Prompts in each request; 0 stands for one.
    pub prompts_per_request: u32,
    /// The names that requests ask for, each an adapter's or, where there is none, the model's own.
    /// Empty stands for the model's own alone.
    pub names: Vec<Option<String>>,
}

/// What one request asks for.
pub(crate) struct Request<'a> {
    /// The prompts; never empty, and more than one only for protocols that take several.
    prompts: &'a [&'a Prompt],
    /// Name of the model.
    model: &'a str,
    /// Name of an adapter on it.
    adapter: Option<&'a str>,
    options: &'a RequestOptions,
}

impl Request<'_> {
    /// The plain prompt.
    fn text(&self) -> &str {
        self.prompts.first().map_or("", |prompt| &prompt.text)
    }

    /// Most tokens of each answer: with several prompts the most that one of them asks for, since a
    /// request has one such number.
    fn max_tokens(&self) -> u32 {
        let tokens = self.prompts.iter().map(|prompt| prompt.max_tokens);
        tokens.max().unwrap_or(1)
    }
}

/// Writes the requests of one endpoint and makes the decoders of their answers.
#[derive(Clone, Debug)]
pub struct Codec {
    protocol: Protocol,
    model: String,
    options: RequestOptions,
    /// Of a protocol that is data, or by gRPC the twin of one.
    http: Option<Result<http::Http, HttpFormatError>>,
}

impl Codec {
    /// The codec of an endpoint. Where its server cannot stream, no stream is asked for.
    pub fn new(endpoint: &Endpoint, mut options: RequestOptions) -> Self {
        let format = endpoint.format();
        if let Some(format) = &format {
            options.streaming &= format.answer.streams;
        }
        Self {
            protocol: endpoint.protocol,
            model: endpoint.model.clone(),
            http: format.map(|format| http::Http::new(format, &endpoint.model, options.streaming)),
            options,
        }
    }

    /// The body of the request for some prompts, to be sent as [`Self::content_type`] by POST to the
    /// endpoint's path. `name` is the place of the name that it asks for among the options' names.
    ///
    /// Only OpenAI's completions take several prompts and names of any model; TGI takes adapters.
    /// Planning refuses loads that a protocol has no words for.
    ///
    /// # Errors
    /// Where the template of a protocol that is data gives nothing for these prompts.
    pub fn encode(&self, prompts: &[&Prompt], name: u16) -> Result<Bytes, HttpFormatError> {
        let adapter = self.options.names.get(usize::from(name));
        let request = Request {
            prompts,
            model: &self.model,
            adapter: adapter.and_then(Option::as_deref),
            options: &self.options,
        };
        Ok(match self.protocol {
            Protocol::OpenAiCompletions => openai_completions::encode(&request),
            Protocol::OpenAiChat => openai_chat::encode(&request),
            Protocol::Tgi => tgi::encode(&request),
            Protocol::TritonVllm => triton_vllm::encode(&request),
            Protocol::TritonTensorRtLlm => triton_tensorrt_llm::encode(&request),
            Protocol::LlamaCpp => llama_cpp::encode(&request),
            Protocol::TritonVllmGrpc => grpc::triton::encode_vllm(&request),
            Protocol::TritonTensorRtLlmGrpc => grpc::triton::encode_tensorrt_llm(&request),
            Protocol::JetStreamGrpc => grpc::jetstream::encode(&request),
            Protocol::KserveV2Grpc => grpc::triton::encode_texts(&request),
            Protocol::TorchServeGrpc => {
                grpc::torchserve::encode(request.model, &self.templated(&request)?)
            }
            Protocol::Http
            | Protocol::TorchServe
            | Protocol::TransformersInstances
            | Protocol::Sax
            | Protocol::JetStream
            | Protocol::KserveV2 => self.templated(&request)?,
        })
    }

    /// The body that a format's template gives.
    fn templated(&self, request: &Request<'_>) -> Result<Bytes, HttpFormatError> {
        match &self.http {
            Some(Ok(http)) => http.encode(request),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(Bytes::new()),
        }
    }

    /// The beginning of the answer's text that is no part of it, where the server repeats the prompt.
    pub fn echo(&self, prompts: &[&Prompt]) -> Option<Arc<str>> {
        let Some(Ok(http)) = &self.http else {
            return None;
        };
        let prompt = prompts.first().filter(|_| http.answer.echoes_prompt)?;
        Some(prompt.text.as_str().into())
    }

    /// Whether requests are calls by gRPC.
    pub fn is_grpc(&self) -> bool {
        self.protocol.is_grpc()
    }

    /// Media type of bodies.
    pub fn content_type(&self) -> &str {
        match &self.http {
            Some(Ok(http)) => &http.content_type,
            _ => "application/json",
        }
    }

    /// Header fields that the format of a protocol adds.
    pub fn headers(&self) -> &[(String, String)] {
        match &self.http {
            Some(Ok(http)) => &http.headers,
            _ => &[],
        }
    }

    /// What all requests have in common.
    pub fn options(&self) -> &RequestOptions {
        &self.options
    }

    /// Names that requests may ask for, at least one.
    pub fn names(&self) -> u16 {
        u16::try_from(self.options.names.len().max(1)).unwrap_or(u16::MAX)
    }

    /// Prompts in each request, at least one.
    pub fn prompts_per_request(&self) -> usize {
        self.options.prompts_per_request.max(1) as usize
    }

    /// Value of the request's `accept` header.
    pub fn accept(&self) -> &'static str {
        if self.http.is_some() {
            "*/*"
        } else if self.options.streaming {
            "text/event-stream"
        } else {
            "application/json"
        }
    }

    /// A decoder for one answer, whose text begins with `echo` where the server repeats the prompt.
    pub fn decoder(&self, echo: Option<Arc<str>>) -> Decoder {
        if let Some(Ok(http)) = &self.http
            && !self.is_grpc()
        {
            let answer = Arc::clone(&http.answer);
            return Decoder::http(http::Reader::new(answer, self.options.streaming, echo));
        }
        Decoder::new(self.protocol, self.options.prompts_per_request.max(1))
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
        /// Which of the request's answers it belongs to, from 0: one for each prompt.
        answer: u32,
    },
    /// Token counts of the whole request so far. The last one counts; they are never added up.
    Usage {
        /// Tokens of the prompt.
        input_tokens: Option<u32>,
        /// Tokens of the answer.
        output_tokens: Option<u32>,
    },
    /// Why generation ended; once for each answer of the request.
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
