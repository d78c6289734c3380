//! TorchServe's `InferenceAPIsService`: `StreamPredictions`, or `Predictions` for a whole answer. Source of
//! the shapes: `inference.proto` of pytorch/serve; the input's name is that of its own client,
//! `ts_scripts/torchserve_grpc_client.py`. A handler gets the input's bytes as they are.

use bytes::Bytes;

use super::{
    message,
    protobuf::{Fields, Malformed, Value, Writer},
};
use crate::protocol::{DecodeError, Event, http::TextReader};

/// The message of a request for the model of a name, whose input `data` is the body of a request over
/// HTTP.
pub fn encode(model: &str, body: &[u8]) -> Bytes {
    let entry = Writer::default().bytes(1, b"data").bytes(2, body);
    let request = Writer::default()
        .bytes(1, model.as_bytes())
        .bytes(3, &entry.0);
    message(&request.0).into()
}

/// What must be known of the responses before.
#[derive(Debug, Default)]
pub struct State {
    text: TextReader,
}

impl State {
    /// Reads a PredictionResponse: a piece of bare text, whose characters may be cut by its end. Nothing
    /// tells counts or reasons. An empty message is an empty piece, as the last one of a handler often is.
    pub fn read(
        &mut self,
        data: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), DecodeError> {
        let mut known = data.is_empty();
        for field in Fields(data) {
            if let (1, Value::Bytes(piece)) = field.map_err(malformed)? {
                known = true;
                self.text.feed(piece, &mut |text| {
                    on_event(Event::Content {
                        text,
                        tokens: None,
                        answer: 0,
                    });
                })?;
            }
        }
        if known {
            return Ok(());
        }
        Err(malformed(Malformed))
    }

    /// Whether a character has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.text.is_within()
    }
}

fn malformed(_: Malformed) -> DecodeError {
    DecodeError::Protocol("a message is not what inference.proto says".to_owned())
}
