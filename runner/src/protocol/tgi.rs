//! Text Generation Inference's `/generate_stream` and `/generate`.
//!
//! One event per token; the last one also holds `generated_text` and `details`. Source of the
//! shapes: `StreamResponse`, `StreamDetails` and `ErrorResponse` of its router.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    DecodeError, Event, FinishReason, Request,
    json::{self, ErrorField, Text, text},
};

#[derive(Serialize)]
struct Body<'a> {
    inputs: &'a str,
    parameters: Parameters<'a>,
}

#[derive(Serialize)]
struct Parameters<'a> {
    max_new_tokens: u32,
    do_sample: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    details: bool,
    return_full_text: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter_id: Option<&'a str>,
}

/// The body of a request. Greedy decoding is `do_sample: false` with none of temperature, top_p and
/// top_k: TGI refuses a temperature of 0, and samples as soon as one of the others is there. A
/// top_p of 1 is refused too, and means the same as none. It cannot ignore the end of sequence.
pub fn encode(request: &Request<'_>) -> Bytes {
    let options = request.options;
    let sampling = &options.sampling;
    let sampled = sampling.temperature > 0.0;
    json::body(&Body {
        inputs: request.text(),
        parameters: Parameters {
            max_new_tokens: request.max_tokens(),
            do_sample: sampled,
            temperature: sampled.then_some(sampling.temperature),
            top_p: sampling
                .top_p
                .filter(|top_p| sampled && *top_p > 0.0 && *top_p < 1.0),
            top_k: sampling.top_k.filter(|_| sampled),
            seed: sampling.seed,
            stop: &sampling.stop,
            details: true,
            return_full_text: false,
            adapter_id: request.adapter,
        },
    })
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    token: Option<Token<'a>>,
    #[serde(borrow)]
    generated_text: Option<Text<'a>>,
    #[serde(borrow)]
    details: Option<Details<'a>>,
    error: Option<ErrorField>,
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    generated_tokens: Option<u32>,
    input_length: Option<u32>,
}

/// Reads a frame, or a whole answer: that has no `token`, and its text is `generated_text`.
///
/// A special token (`</s>`) counts as a token, and has no text: `generated_text` leaves it out too.
pub fn read(data: &[u8], on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), DecodeError> {
    let frame: Frame<'_> =
        serde_json::from_slice(data).map_err(|error| DecodeError::json(&error, data))?;
    if let Some(error) = &frame.error {
        return Err(DecodeError::stream(&error.0));
    }
    if frame.token.is_none() && frame.generated_text.is_none() {
        return Err(DecodeError::Protocol(
            "a frame has neither `token` nor `generated_text`".to_owned(),
        ));
    }
    let details = frame.details.as_ref();
    match &frame.token {
        Some(token) => on_event(Event::Content {
            text: if token.special { "" } else { text(&token.text) },
            tokens: Some(1),
            answer: 0,
        }),
        None => on_event(Event::Content {
            text: text(&frame.generated_text),
            tokens: details.and_then(|details| details.generated_tokens),
            answer: 0,
        }),
    }
    if frame.generated_text.is_none() {
        return Ok(());
    }
    if let Some(details) = details {
        on_event(Event::Usage {
            input_tokens: details.input_length,
            output_tokens: details.generated_tokens,
        });
    }
    on_event(Event::Finish {
        reason: details
            .and_then(|details| details.finish_reason.as_ref())
            .map_or(FinishReason::Other, |reason| {
                FinishReason::from_engine(reason.as_str())
            }),
    });
    on_event(Event::End);
    Ok(())
}
