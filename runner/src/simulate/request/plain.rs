//! Requests of servers with one simple interface each.

use serde_json::Value;

use super::{Generation, text_of};
use crate::simulate::{config::Engine, refusal::Refusal};

/// Reads a request as the engine would.
pub fn read(engine: Engine, body: &Value) -> Result<Generation, Refusal> {
    let (prompt, max_tokens) = match engine {
        Engine::TransformersInstances => ("/instances/0/prompt", "/instances/0/max_length"),
        Engine::KserveV2 => ("/inputs/0/data/0", "/inputs/1/data/0"),
        Engine::TorchServe => ("/prompt", "/max_new_tokens"),
        _ => ("/prompt", "/max_tokens"),
    };
    let flag = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or(false);
    let Some(prompt) = body.pointer(prompt).filter(|it| it.is_string()) else {
        return Err(Refusal::invalid(engine, &format!("no text at {prompt}")));
    };
    let number = |place: &str| {
        let number = body.pointer(place).and_then(Value::as_u64);
        number.and_then(|number| u32::try_from(number).ok())
    };
    let streams = matches!(
        engine,
        Engine::Wrapper | Engine::TorchServe | Engine::JetStream
    );
    Ok(Generation {
        prompt: text_of(prompt),
        max_tokens: number(max_tokens).unwrap_or(16),
        ignore_eos: flag("ignore_eos"),
        stream: streams && flag("stream"),
        ..Generation::default()
    })
}
