//! Protocols that are data ([`HttpFormat`]): requests from a template, answers by JSON pointers.
//!
//! A frame is parsed into a tree, which costs more than the readers of single protocols do; where a
//! protocol matters, it has a reader of its own.

mod reader;
mod text;
mod values;

use std::sync::Arc;

use bakeoff_crds::{
    plan::http::{BodyValues, HttpFormatError, RequestTemplate, TemplateMessage},
    run::{HttpAnswer, HttpFormat},
};
use bytes::Bytes;

use super::Request;

pub use reader::Reader;
pub use text::{NotUtf8, TextReader};
pub use values::{JsonValues, ValuesError};

/// A format, ready to be used.
#[derive(Clone, Debug)]
pub struct Http {
    template: RequestTemplate,
    /// Header fields of every request.
    pub headers: Vec<(String, String)>,
    /// Media type of bodies.
    pub content_type: String,
    /// Where answers hold what.
    pub answer: Arc<HttpAnswer>,
}

impl Http {
    /// Reads the templates of a format.
    ///
    /// # Errors
    /// Where one is malformed. Planning refuses such formats.
    pub fn new(format: HttpFormat, model: &str, stream: bool) -> Result<Self, HttpFormatError> {
        let template = RequestTemplate::new(&format)?;
        Ok(Self {
            headers: template.headers(model, stream)?,
            template,
            content_type: format.content_type,
            answer: Arc::new(format.answer),
        })
    }

    /// The body of a request.
    pub fn encode(&self, request: &Request<'_>) -> Result<Bytes, HttpFormatError> {
        let messages = request.prompts.first().map(|prompt| &*prompt.messages);
        let messages: Vec<TemplateMessage<'_>> = messages
            .unwrap_or_default()
            .iter()
            .map(|message| TemplateMessage {
                role: &message.role,
                content: &message.content,
            })
            .collect();
        let body = self.template.body(&BodyValues {
            prompt: request.text(),
            messages: &messages,
            max_tokens: request.max_tokens(),
            sampling: &request.options.sampling,
            model: request.adapter.unwrap_or(request.model),
            stream: request.options.streaming,
        })?;
        Ok(body.into())
    }
}
