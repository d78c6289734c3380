//! Servers with one simple interface each: a FastAPI wrapper, TorchServe's bare text, handlers of
//! instances and predictions, SAX, JetStream and KServe's infer call.
//!
//! TorchServe's text was captured; the others are written by what the clients of Google's
//! inference-benchmark and the servers' own pages read and say. The wrapper is Bakeoff's own.

use serde_json::json;

use super::{Answer, Frame};
use crate::simulate::config::Engine;

/// The frames that come with a token. Nothing for a server that does not stream.
pub fn frames(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (text, _) = answer.token(index);
    let token = |bytes: String| Frame {
        bytes: bytes.into(),
        token: true,
    };
    match answer.engine {
        Engine::Wrapper => {
            let mut frames = vec![token(format!("{}\n", json!({"token": text})))];
            if last {
                frames.push(Frame {
                    bytes: format!("{}\n", counts(answer)).into(),
                    token: false,
                });
            }
            frames
        }
        Engine::TorchServe => vec![token(text.to_owned())],
        // Indented over lines, and nothing between two of them.
        Engine::JetStream => vec![token(format!(
            "{{\n    \"id\": \"{}\",\n    \"time_created\": {}.0,\n    \"text\": {}\n}}",
            answer.id,
            answer.created,
            json!(text)
        ))],
        _ => Vec::new(),
    }
}

/// What the wrapper says at the end.
fn counts(answer: &Answer) -> serde_json::Value {
    json!({
        "finish_reason": answer.finish_reason(),
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
    })
}

/// The body of an answer that does not stream.
pub fn whole(answer: &Answer) -> String {
    let text = answer.text();
    match answer.engine {
        Engine::TorchServe => text,
        Engine::TransformersInstances => {
            let text = format!("{}{text}", answer.prompt);
            json!({"predictions": [[{"generated_text": text}]]}).to_string()
        }
        Engine::Sax => json!({"choices": [{"text": text}]}).to_string(),
        Engine::JetStream => json!({"response": text}).to_string(),
        Engine::KserveV2 => {
            let output = json!({"name": "text_output", "datatype": "BYTES", "shape": [1, 1], "data": [text]});
            format!(
                r#"{{"model_name":{},"model_version":"1","outputs":[{output}]}}"#,
                answer.model
            )
        }
        _ => {
            let mut body = counts(answer);
            if let Some(fields) = body.as_object_mut() {
                fields.insert("text".to_owned(), text.into());
            }
            body.to_string()
        }
    }
}

/// An error amid the stream. TorchServe's bare text has no place for one.
pub fn error(engine: Engine) -> Vec<Frame> {
    if engine == Engine::TorchServe {
        return Vec::new();
    }
    vec![Frame {
        bytes: format!("{}\n", json!({"error": "the model failed"})).into(),
        token: false,
    }]
}
