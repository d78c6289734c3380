//! Messages of Triton's `ModelStreamInfer` and `ModelInfer`, JetStream's `Decode` and TorchServe's
//! predictions, by their `.proto` files.

use super::{Answer, Frame};
use crate::{
    protocol::grpc::{message, protobuf::Writer},
    simulate::{config::Engine, text},
};

/// The messages that come with a token.
pub fn frames(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (word, id) = answer.token(index);
    if answer.engine == Engine::JetStream {
        let sample = Writer::default()
            .bytes(1, word.as_bytes())
            .numbers(2, &[u64::from(id)]);
        let content = Writer::default().bytes(1, &sample.0);
        return vec![frame(&Writer::default().bytes(3, &content.0), true)];
    }
    if answer.engine == Engine::TorchServe {
        return vec![frame(&prediction(word), true)];
    }
    let text = match answer.engine {
        Engine::TritonTensorRtLlm => text::answer(answer.hash, index + 1),
        _ => word.to_owned(),
    };
    let response = response(answer, &text, 1, last);
    let mut frames = vec![frame(&Writer::default().bytes(2, &response.0), true)];
    if last {
        frames.push(closing(answer));
    }
    frames
}

/// The messages of an answer that does not stream.
pub fn whole(answer: &Answer) -> Vec<Frame> {
    let text = answer.text();
    if answer.engine == Engine::TorchServe {
        return vec![frame(&prediction(&text), false)];
    }
    let whole = response(answer, &text, answer.output_tokens, true);
    if answer.engine == Engine::KserveV2 {
        return vec![frame(&whole, false)];
    }
    let whole = Writer::default().bytes(2, &whole.0);
    vec![frame(&whole, false), closing(answer)]
}

/// An error amid the stream. Other calls than Triton's end with a status in place of one.
pub fn error(engine: Engine) -> Vec<Frame> {
    if engine.triton_model().is_none() {
        return Vec::new();
    }
    let error = Writer::default().bytes(1, b"Error generating request: CUDA error");
    vec![frame(&error, false)]
}

fn frame(payload: &Writer, token: bool) -> Frame {
    Frame {
        bytes: message(&payload.0).into(),
        token,
    }
}

/// A PredictionResponse.
fn prediction(text: &str) -> Writer {
    Writer::default().bytes(1, text.as_bytes())
}

fn head(answer: &Answer) -> Writer {
    let model = answer.model.trim_matches('"');
    Writer::default().bytes(1, model.as_bytes()).bytes(2, b"1")
}

/// A ModelInferResponse with the outputs that were asked for.
fn response(answer: &Answer, text: &str, tokens: u32, last: bool) -> Writer {
    let outputs = answer.outputs;
    let reason = if last { answer.finish_reason() } else { "None" };
    let number = |number: u32| number.to_le_bytes().to_vec();
    let tensors = [
        (true, "text_output", "BYTES", element(text)),
        (
            outputs.finish_reason,
            "finish_reason",
            "BYTES",
            element(reason),
        ),
        (
            outputs.num_input_tokens,
            "num_input_tokens",
            "UINT32",
            number(answer.input_tokens),
        ),
        (
            outputs.num_output_tokens,
            "num_output_tokens",
            "UINT32",
            number(tokens),
        ),
    ];
    let asked = || tensors.iter().filter(|(asked, ..)| *asked);
    let shape: &[u64] = match answer.engine {
        Engine::KserveV2 => &[1, 1],
        _ => &[1],
    };
    let mut response = head(answer);
    for (_, name, datatype, _) in asked() {
        let tensor = Writer::default()
            .bytes(1, name.as_bytes())
            .bytes(2, datatype.as_bytes())
            .numbers(3, shape);
        response = response.bytes(5, &tensor.0);
    }
    for (.., content) in asked() {
        response = response.bytes(6, content);
    }
    response
}

/// The last response, which is empty and says so.
fn closing(answer: &Answer) -> Frame {
    let yes = Writer::default().number(1, 1);
    let parameter = Writer::default()
        .bytes(1, b"triton_final_response")
        .bytes(2, &yes.0);
    let response = head(answer).bytes(4, &parameter.0);
    frame(&Writer::default().bytes(2, &response.0), false)
}

/// A text as an element of a tensor.
fn element(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), text.as_bytes()].concat()
}
