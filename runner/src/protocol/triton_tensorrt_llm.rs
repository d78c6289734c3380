//! Triton's `generate_stream` with the inputs and outputs of TensorRT-LLM's LLM API backend. Source
//! of the shapes: `triton_backend/all_models/llmapi/tensorrt_llm` of NVIDIA/TensorRT-LLM.

use bytes::Bytes;
use serde::Serialize;

use super::{
    DecodeError, Event, Request,
    json::{self, text},
    so_far::SoFar,
    triton::Frame,
};

#[derive(Serialize)]
struct Body<'a> {
    text_input: &'a str,
    streaming: bool,
    sampling_param_max_tokens: u32,
    sampling_param_temperature: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling_param_top_k: Option<u32>,
    sampling_param_top_p: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampling_param_seed: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sampling_param_stop: &'a [String],
    sampling_param_exclude_input_from_output: bool,
    return_finish_reason: bool,
}

/// The body of a request. Greedy decoding is a top_k of 1, which every version understands, while
/// some refuse a temperature of 0. The backend cannot ignore the end of sequence.
pub fn encode(request: &Request<'_>) -> Bytes {
    let options = request.options;
    let sampling = &options.sampling;
    let greedy = sampling.temperature <= 0.0;
    json::body(&Body {
        text_input: request.text(),
        streaming: options.streaming,
        sampling_param_max_tokens: request.max_tokens(),
        sampling_param_temperature: if greedy { 1.0 } else { sampling.temperature },
        sampling_param_top_k: if greedy { Some(1) } else { sampling.top_k },
        sampling_param_top_p: sampling.top_p.unwrap_or(1.0),
        sampling_param_seed: sampling.seed,
        sampling_param_stop: &sampling.stop,
        sampling_param_exclude_input_from_output: true,
        return_finish_reason: true,
    })
}

/// What must be known of the frames before.
///
/// `text_output` is the whole text so far, since the backend sends the LLM API's `output.text`.
#[derive(Debug, Default)]
pub struct State {
    /// Whether frames say why generation ended: then the last one must.
    pub tells_finish: bool,
    so_far: SoFar,
}

impl State {
    /// Reads a response. It does not say how many tokens it holds.
    pub fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let frame = Frame::read(data)?;
        let finish = frame.finish();
        let text = self
            .so_far
            .new_part(text(&frame.text_output), finish.is_some());
        if !text.is_empty() {
            on_event(Event::Content {
                text,
                tokens: None,
                answer: 0,
            });
        }
        self.tells_finish |= frame.tells_finish();
        if let Some(reason) = finish {
            on_event(Event::Finish { reason });
        }
        Ok(())
    }
}
