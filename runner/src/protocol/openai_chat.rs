//! OpenAI's `/v1/chat/completions`.

use bytes::Bytes;
use serde::Serialize;

use super::{RequestOptions, json, openai_completions::Common};
use crate::prompt::{Message, Prompt};

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(flatten)]
    common: Common<'a>,
}

/// The body of a request.
pub fn encode(model: &str, prompt: &Prompt, options: &RequestOptions) -> Bytes {
    json::body(&Request {
        model,
        messages: &prompt.messages,
        common: Common::new(prompt, options),
    })
}
