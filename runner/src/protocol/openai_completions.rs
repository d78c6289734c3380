//! OpenAI's `/v1/completions`.

use bytes::Bytes;
use serde::Serialize;

use super::{Request, json};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    prompt: Prompts<'a>,
    #[serde(flatten)]
    common: Common<'a>,
}

/// One prompt, or a list of them.
#[derive(Serialize)]
#[serde(untagged)]
enum Prompts<'a> {
    One(&'a str),
    Several(Vec<&'a str>),
}

/// What completions and chat completions have in common.
#[derive(Serialize)]
pub struct Common<'a> {
    max_tokens: u32,
    temperature: f64,
    top_p: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_tokens: Option<u32>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> Common<'a> {
    /// Names beyond OpenAI's own (`top_k`, `ignore_eos`, `min_tokens`; understood by vLLM, SGLang
    /// and llama.cpp) are written only where they are asked for, since strict endpoints refuse
    /// them.
    pub fn new(request: &Request<'a>) -> Self {
        let options = request.options;
        let sampling = &options.sampling;
        Self {
            max_tokens: request.max_tokens(),
            temperature: sampling.temperature,
            top_p: sampling.top_p.unwrap_or(1.0),
            top_k: sampling.top_k,
            seed: sampling.seed,
            stop: &sampling.stop,
            stream: options.streaming,
            stream_options: options.streaming.then_some(StreamOptions {
                include_usage: true,
            }),
            ignore_eos: sampling.ignore_eos.then_some(true),
            min_tokens: sampling.ignore_eos.then_some(request.max_tokens()),
        }
    }
}

/// The body of a request. Answers to a list come by their index in it.
pub fn encode(request: &Request<'_>) -> Bytes {
    json::body(&Body {
        model: request.adapter.unwrap_or(request.model),
        prompt: match request.prompts {
            [_, _, ..] => {
                let texts = request.prompts.iter().map(|prompt| &*prompt.text);
                Prompts::Several(texts.collect())
            }
            _ => Prompts::One(request.text()),
        },
        common: Common::new(request),
    })
}
