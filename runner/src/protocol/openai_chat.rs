//! OpenAI's `/v1/chat/completions`.

use bytes::Bytes;
use serde::Serialize;

use super::{Request, json, openai_completions::Common};
use crate::prompt::Message;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [Message],
    #[serde(flatten)]
    common: Common<'a>,
}

/// The body of a request. A chat has one prompt alone.
pub fn encode(request: &Request<'_>) -> Bytes {
    let messages = request.prompts.first().map(|prompt| &*prompt.messages);
    json::body(&Body {
        model: request.adapter.unwrap_or(request.model),
        messages: messages.unwrap_or_default(),
        common: Common::new(request),
    })
}
