//! llama.cpp's `/completion`. The frame with `"stop":true` ends the stream; there is no `[DONE]`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    DecodeError, Event, FinishReason, Request,
    json::{self, ErrorField, Text, text},
};

#[derive(Serialize)]
struct Body<'a> {
    prompt: &'a str,
    n_predict: u32,
    stream: bool,
    temperature: f64,
    top_k: u32,
    top_p: f64,
    min_p: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    ignore_eos: bool,
}

/// The body of a request. The server's own defaults (top_k 40, top_p 0.95, min_p 0.05) are all
/// written over. `cache_prompt` is left to the server's flags, by which the run sets prefix caching.
pub fn encode(request: &Request<'_>) -> Bytes {
    let options = request.options;
    let sampling = &options.sampling;
    json::body(&Body {
        prompt: request.text(),
        n_predict: request.max_tokens(),
        stream: options.streaming,
        temperature: sampling.temperature,
        top_k: sampling.top_k.unwrap_or(0),
        top_p: sampling.top_p.unwrap_or(1.0),
        min_p: 0.0,
        seed: sampling.seed,
        stop: &sampling.stop,
        ignore_eos: sampling.ignore_eos,
    })
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    stop: Option<bool>,
    tokens_predicted: Option<u32>,
    tokens_evaluated: Option<u32>,
    #[serde(borrow)]
    stop_type: Option<Text<'a>>,
    /// What older servers have in place of `stop_type`.
    #[serde(default)]
    stopped_limit: bool,
    error: Option<ErrorField>,
}

/// What must be known of the frames before.
#[derive(Debug, Default)]
pub struct State {
    tokens_predicted: u32,
}

impl State {
    /// Reads a frame, or a whole answer: that is one frame with `"stop":true`.
    ///
    /// By how much `tokens_predicted` grew is the number of tokens in the frame. (`tokens` holds
    /// the last token alone where several made one piece of text.) An end-of-sequence token shows
    /// as such growth in the last frame, without text.
    pub fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let frame: Frame<'_> =
            serde_json::from_slice(data).map_err(|error| DecodeError::json(&error, data))?;
        if let Some(error) = &frame.error {
            return Err(DecodeError::stream(&error.0));
        }
        if frame.content.is_none() && frame.stop.is_none() {
            return Err(DecodeError::Protocol(
                "a frame has neither `content` nor `stop`".to_owned(),
            ));
        }
        let tokens = frame.tokens_predicted.map(|predicted| {
            let grown = predicted.saturating_sub(self.tokens_predicted);
            self.tokens_predicted = predicted;
            grown
        });
        let text = text(&frame.content);
        if !text.is_empty() || tokens.is_some_and(|tokens| tokens > 0) {
            on_event(Event::Content {
                text,
                tokens,
                answer: 0,
            });
        }
        if frame.stop != Some(true) {
            return Ok(());
        }
        on_event(Event::Usage {
            input_tokens: frame.tokens_evaluated,
            output_tokens: frame.tokens_predicted,
        });
        let reason = match &frame.stop_type {
            Some(word) => FinishReason::from_engine(word.as_str()),
            None if frame.stopped_limit => FinishReason::Length,
            None => FinishReason::Other,
        };
        on_event(Event::Finish { reason });
        on_event(Event::End);
        Ok(())
    }
}
