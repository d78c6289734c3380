//! JetStream's `jetstream_proto.Orchestrator/Decode`. Source of the shapes:
//! `jetstream/core/proto/jetstream.proto` of AI-Hypercomputer/JetStream. It takes no sampling
//! parameters, and always streams.

use bytes::Bytes;

use super::{
    message,
    protobuf::{Fields, Malformed, Value, Writer, varint},
};
use crate::protocol::{DecodeError, Event, Request};

/// The message of a request.
pub fn encode(request: &Request<'_>) -> Bytes {
    let text = Writer::default().bytes(1, request.text().as_bytes());
    let request = Writer::default()
        .number(4, u64::from(request.max_tokens()))
        .bytes(5, &text.0);
    message(&request.0).into()
}

/// What must be known of the responses before.
#[derive(Debug, Default)]
pub struct State {
    output_tokens: u32,
}

impl State {
    /// Reads a DecodeResponse. It says which tokens it holds, and never why there are no more.
    pub fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let mut known = false;
        for field in Fields(data) {
            match field.map_err(malformed)? {
                // An initial response holds nothing.
                (2, Value::Bytes(_)) => known = true,
                (3, Value::Bytes(content)) => {
                    known = true;
                    self.content(content, on_event)?;
                }
                _ => {}
            }
        }
        if known {
            return Ok(());
        }
        Err(malformed(Malformed))
    }

    /// Reads the first sample of a StreamContent.
    fn content(
        &mut self,
        content: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let mut samples = Fields(content).filter_map(|field| match field {
            Ok((1, Value::Bytes(sample))) => Some(Ok(sample)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        let Some(sample) = samples.next().transpose().map_err(malformed)? else {
            return Ok(());
        };
        let (mut text, mut tokens): (&[u8], u32) = (&[], 0);
        for field in Fields(sample) {
            match field.map_err(malformed)? {
                (1, Value::Bytes(bytes)) => text = bytes,
                (2, Value::Number(_)) => tokens += 1,
                (2, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        varint(&mut packed).ok_or_else(|| malformed(Malformed))?;
                        tokens += 1;
                    }
                }
                _ => {}
            }
        }
        let text = std::str::from_utf8(text)
            .map_err(|_| DecodeError::Protocol("a text is not UTF-8".to_owned()))?;
        self.output_tokens = self.output_tokens.saturating_add(tokens);
        // A sample may hold text alone.
        let tokens = Some(tokens).filter(|&tokens| tokens > 0);
        if !text.is_empty() || tokens.is_some() {
            on_event(Event::Content {
                text,
                tokens,
                answer: 0,
            });
        }
        if self.output_tokens > 0 {
            on_event(Event::Usage {
                input_tokens: None,
                output_tokens: Some(self.output_tokens),
            });
        }
        Ok(())
    }
}

fn malformed(_: Malformed) -> DecodeError {
    DecodeError::Protocol("a message is not what jetstream.proto says".to_owned())
}
