//! Triton's `generate_stream` with the vLLM backend's inputs and outputs. Source of the shapes:
//! `src/utils/request.py` of triton-inference-server/vllm_backend.

use bytes::Bytes;
use serde::Serialize;

use super::{
    DecodeError, Event, Request,
    json::{self, text},
    triton::Frame,
};

#[derive(Serialize)]
struct Body<'a> {
    text_input: &'a str,
    /// The input tensor `stream`, and request parameters, which the backend takes for sampling
    /// parameters.
    parameters: Parameters<'a>,
    /// Takes the place of the request parameters where it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling_parameters: Option<String>,
    exclude_input_in_output: bool,
    return_finish_reason: bool,
    return_num_input_tokens: bool,
    return_num_output_tokens: bool,
}

#[derive(Serialize)]
struct Parameters<'a> {
    stream: bool,
    #[serde(flatten)]
    sampling: Option<SamplingParameters<'a>>,
}

#[derive(Serialize)]
struct SamplingParameters<'a> {
    max_tokens: u32,
    temperature: f64,
    top_p: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_tokens: Option<u32>,
}

/// The body of a request. Stop strings are a list, which Triton's request parameters cannot hold:
/// with them, all sampling parameters go as JSON text into the input `sampling_parameters`.
pub fn encode(request: &Request<'_>) -> Bytes {
    let options = request.options;
    let parameters = parameters(request);
    let (as_parameters, as_input) = if options.sampling.stop.is_empty() {
        (Some(parameters), None)
    } else {
        (None, serde_json::to_string(&parameters).ok())
    };
    json::body(&Body {
        text_input: request.text(),
        parameters: Parameters {
            stream: options.streaming,
            sampling: as_parameters,
        },
        sampling_parameters: as_input,
        exclude_input_in_output: true,
        return_finish_reason: true,
        return_num_input_tokens: true,
        return_num_output_tokens: true,
    })
}

fn parameters<'a>(request: &Request<'a>) -> SamplingParameters<'a> {
    let sampling = &request.options.sampling;
    SamplingParameters {
        max_tokens: request.max_tokens(),
        temperature: sampling.temperature,
        top_p: sampling.top_p.unwrap_or(1.0),
        top_k: sampling.top_k,
        seed: sampling.seed,
        stop: &sampling.stop,
        ignore_eos: sampling.ignore_eos.then_some(true),
        min_tokens: sampling.ignore_eos.then_some(request.max_tokens()),
    }
}

/// All sampling parameters as JSON text, for the input `sampling_parameters`.
pub fn sampling(request: &Request<'_>) -> String {
    serde_json::to_string(&parameters(request)).unwrap_or_default()
}

/// What must be known of the frames before.
#[derive(Debug, Default)]
pub struct State {
    /// Whether frames say why generation ended: then the last one must.
    pub tells_finish: bool,
    output_tokens: Option<u32>,
}

impl State {
    /// Reads a response. `num_output_tokens` counts the tokens of this response alone.
    pub fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let frame = Frame::read(data)?;
        let (text, tokens) = (text(&frame.text_output), frame.num_output_tokens);
        if let Some(tokens) = tokens {
            self.output_tokens = Some(self.output_tokens.unwrap_or(0).saturating_add(tokens));
        }
        if !text.is_empty() || tokens.is_some_and(|tokens| tokens > 0) {
            on_event(Event::Content {
                text,
                tokens,
                answer: 0,
            });
        }
        self.tells_finish |= frame.tells_finish();
        if frame.num_input_tokens.is_some() || self.output_tokens.is_some() {
            on_event(Event::Usage {
                input_tokens: frame.num_input_tokens,
                output_tokens: self.output_tokens,
            });
        }
        if let Some(reason) = frame.finish() {
            on_event(Event::Finish { reason });
        }
        Ok(())
    }
}
