//! Frames of Triton's generate extension, which its vLLM and TensorRT-LLM backends have in common:
//! one JSON object per response with the model's outputs as scalars. There is no `[DONE]`, and an
//! error may come as `{"error": "…"}` within HTTP 200.

use serde::Deserialize;

use super::{
    DecodeError, FinishReason,
    json::{ErrorField, Text},
};

/// One response.
#[derive(Deserialize)]
pub struct Frame<'a> {
    /// Output of that name.
    #[serde(borrow)]
    pub text_output: Option<Text<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    /// Tokens of this response; an output of the vLLM backend since 24.12.
    pub num_output_tokens: Option<u32>,
    /// Tokens of the prompt; an output of the vLLM backend since 24.12.
    pub num_input_tokens: Option<u32>,
    error: Option<ErrorField>,
}

impl<'a> Frame<'a> {
    /// The frame of an event's data.
    pub fn read(data: &'a [u8]) -> Result<Self, DecodeError> {
        let frame: Self =
            serde_json::from_slice(data).map_err(|error| DecodeError::json(&error, data))?;
        if let Some(error) = &frame.error {
            return Err(DecodeError::stream(&error.0));
        }
        if frame.text_output.is_none() {
            return Err(DecodeError::Protocol(
                "a response has no output `text_output`".to_owned(),
            ));
        }
        Ok(frame)
    }

    /// Whether the model has an output that tells why generation ended.
    pub fn tells_finish(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Why generation ended, on the last response. Both backends write Python's `None` before.
    pub fn finish(&self) -> Option<FinishReason> {
        finish(self.finish_reason.as_ref()?.as_str())
    }
}

/// The reason that an output's word stands for, if it is one.
pub fn finish(word: &str) -> Option<FinishReason> {
    match word {
        "" | "None" | "null" => None,
        reason => Some(FinishReason::from_engine(reason)),
    }
}
