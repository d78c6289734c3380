//! Calls of Triton's `ModelStreamInfer` and JetStream's `Decode`.

use serde_json::{Map, Value as Json};

use super::{Generation, triton};
use crate::{
    protocol::grpc::{
        Messages,
        protobuf::{Fields, Value},
    },
    simulate::{config::Engine, config::SimulatorConfig, refusal::Refusal},
};

/// Reads a call's one message as the engine would.
pub fn read(config: &SimulatorConfig, body: &[u8]) -> Result<Generation, Refusal> {
    let engine = config.engine;
    let malformed = || Refusal::invalid(engine, "the message cannot be parsed");
    let mut message = None;
    let mut messages = Messages::default();
    messages
        .feed(body, &mut |bytes| message = Some(bytes.to_vec()))
        .map_err(|_| malformed())?;
    let message = message.ok_or_else(malformed)?;
    if engine == Engine::JetStream {
        return decode_request(&message).ok_or_else(malformed);
    }
    let (model, inputs) = infer_request(&message).ok_or_else(malformed)?;
    if Some(model.as_str()) != engine.triton_model() {
        return Err(Refusal::unknown_model(engine, &model));
    }
    triton(engine, &inputs)
}

fn decode_request(message: &[u8]) -> Option<Generation> {
    let mut generation = Generation {
        stream: true,
        ..Generation::default()
    };
    for field in Fields(message) {
        match field.ok()? {
            (4, Value::Number(tokens)) => generation.max_tokens = u32::try_from(tokens).ok()?,
            (5, Value::Bytes(content)) => generation.prompt = text(content, 1)?,
            _ => {}
        }
    }
    Some(generation)
}

/// The model's name, and the inputs as a request over HTTP would hold them.
fn infer_request(message: &[u8]) -> Option<(String, Json)> {
    let mut model = String::new();
    let mut tensors = Vec::new();
    let mut contents = Vec::new();
    for field in Fields(message) {
        match field.ok()? {
            (1, Value::Bytes(name)) => model = String::from_utf8(name.to_vec()).ok()?,
            (5, Value::Bytes(tensor)) => tensors.push((text(tensor, 1)?, text(tensor, 2)?)),
            (7, Value::Bytes(content)) => contents.push(content),
            _ => {}
        }
    }
    let inputs = tensors.into_iter().zip(contents);
    let inputs = inputs.map(|((name, datatype), content)| {
        let value = match datatype.as_str() {
            "BYTES" => element(content)?.into(),
            "BOOL" => (*content.first()? != 0).into(),
            "INT32" => i32::from_le_bytes(*content.first_chunk()?).into(),
            "FP32" => f32::from_le_bytes(*content.first_chunk()?).into(),
            "UINT64" => u64::from_le_bytes(*content.first_chunk()?).into(),
            _ => return None,
        };
        Some((name, value))
    });
    Some((model, Json::Object(inputs.collect::<Option<Map<_, _>>>()?)))
}

fn element(content: &[u8]) -> Option<String> {
    let (length, rest) = content.split_first_chunk::<4>()?;
    let text = rest.get(..u32::from_le_bytes(*length) as usize)?;
    String::from_utf8(text.to_vec()).ok()
}

fn text(message: &[u8], number: u64) -> Option<String> {
    let mut fields = Fields(message).filter_map(Result::ok);
    let (_, value) = fields.find(|(field, _)| *field == number)?;
    match value {
        Value::Bytes(text) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}
