//! Calls of Triton's `ModelStreamInfer` and `ModelInfer`, JetStream's `Decode` and TorchServe's
//! predictions.

use hyper::StatusCode;
use serde_json::{Map, Value as Json};

use super::{Generation, plain, triton};
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
    if engine == Engine::TorchServe {
        return predictions_request(config, &message);
    }
    let (model, inputs) = infer_request(engine, &message).ok_or_else(malformed)?;
    if model != engine.triton_model().unwrap_or(config.shown_model()) {
        return Err(Refusal::unknown_model(engine, &model));
    }
    triton(engine, &inputs)
}

/// The handler reads its input `data` as the body of a request over HTTP.
fn predictions_request(config: &SimulatorConfig, message: &[u8]) -> Result<Generation, Refusal> {
    let (mut model, mut data) = (String::new(), None);
    for field in Fields(message) {
        match field {
            Ok((1, Value::Bytes(name))) => model = String::from_utf8_lossy(name).into_owned(),
            Ok((3, Value::Bytes(entry))) if text(entry, 1).as_deref() == Some("data") => {
                data = text(entry, 2);
            }
            Ok(_) => {}
            Err(_) => return Err(internal("the message cannot be parsed")),
        }
    }
    if model != config.shown_model() {
        return Err(internal(&format!("Model not found: {model}")));
    }
    let body = data.and_then(|data| serde_json::from_str(&data).ok());
    let body: Json = body.ok_or_else(|| internal("the handler found no JSON in its input data"))?;
    plain::read(config.engine, &body)
}

/// What TorchServe says of most errors.
fn internal(words: &str) -> Refusal {
    Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        body: words.to_owned(),
    }
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

/// The model's name, and the inputs as a request over HTTP would hold them. A model of texts has a batch
/// of one, as its configuration says.
fn infer_request(engine: Engine, message: &[u8]) -> Option<(String, Json)> {
    let mut model = String::new();
    let mut tensors = Vec::new();
    let mut contents = Vec::new();
    for field in Fields(message) {
        match field.ok()? {
            (1, Value::Bytes(name)) => model = String::from_utf8(name.to_vec()).ok()?,
            (5, Value::Bytes(tensor)) => {
                if engine == Engine::KserveV2 && bytes(tensor, 3)? != [1, 1] {
                    return None;
                }
                tensors.push((text(tensor, 1)?, text(tensor, 2)?));
            }
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
    String::from_utf8(bytes(message, number)?.to_vec()).ok()
}

fn bytes(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut fields = Fields(message).filter_map(Result::ok);
    let (_, value) = fields.find(|(field, _)| *field == number)?;
    match value {
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}
