//! The simulator's frames held against the captures: the same framing, the same keys with values of
//! the same kind, the kinds of frames in the same order.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::*;

/// Captures that the simulator plays, and what it plays them as.
const PLAYED: [(&str, Engine, Interface); 18] = [
    ("vllm-chat", Engine::Vllm, Interface::Chat),
    ("vllm-chat-continuous-usage", Engine::Vllm, Interface::Chat),
    ("vllm-completions", Engine::Vllm, Interface::Completions),
    ("vllm-chat-whole", Engine::Vllm, Interface::Chat),
    ("llama-cpp-chat", Engine::LlamaCpp, Interface::Chat),
    (
        "llama-cpp-completions",
        Engine::LlamaCpp,
        Interface::Completions,
    ),
    ("llama-cpp-chat-whole", Engine::LlamaCpp, Interface::Chat),
    (
        "llama-cpp-completions-whole",
        Engine::LlamaCpp,
        Interface::Completions,
    ),
    ("llama-cpp-completion", Engine::LlamaCpp, Interface::Native),
    (
        "llama-cpp-completion-whole",
        Engine::LlamaCpp,
        Interface::Native,
    ),
    ("tgi-generate-stream", Engine::Tgi, Interface::Native),
    ("tgi-generate-whole", Engine::Tgi, Interface::Native),
    (
        "triton-vllm-generate-stream",
        Engine::TritonVllm,
        Interface::Native,
    ),
    (
        "triton-tensorrt-llm-generate-stream",
        Engine::TritonTensorRtLlm,
        Interface::Native,
    ),
    ("transformers-chat", Engine::Transformers, Interface::Chat),
    (
        "transformers-completions",
        Engine::Transformers,
        Interface::Completions,
    ),
    ("fastchat-chat", Engine::FastChat, Interface::Chat),
    (
        "fastchat-completions",
        Engine::FastChat,
        Interface::Completions,
    ),
];

/// Written by the source code of the server, as the simulator is.
const WRITTEN: [(&str, Engine, Interface); 6] = [
    ("tgi-chat", Engine::Tgi, Interface::Chat),
    ("tgi-completions", Engine::Tgi, Interface::Completions),
    ("sglang-chat", Engine::SgLang, Interface::Chat),
    ("sglang-completions", Engine::SgLang, Interface::Completions),
    ("tensorrt-llm-chat", Engine::TensorRtLlm, Interface::Chat),
    (
        "tensorrt-llm-completions",
        Engine::TensorRtLlm,
        Interface::Completions,
    ),
];

fn answer(name: &str, engine: Engine, interface: Interface) -> Answer {
    Answer {
        engine,
        interface,
        id: "0123".to_owned(),
        created: 1_795_301_260,
        model: "\"tiny\"".to_owned(),
        prompt: String::new(),
        hash: 7,
        input_tokens: 11,
        output_tokens: 4,
        at_limit: true,
        include_usage: true,
        continuous_usage: name.contains("continuous"),
        outputs: TritonOutputs {
            finish_reason: true,
            num_input_tokens: engine == Engine::TritonVllm,
            num_output_tokens: engine == Engine::TritonVllm,
        },
        choice: 0,
        of_request: (11, 4),
    }
}

fn stream(answer: &Answer) -> String {
    (0..answer.output_tokens)
        .flat_map(|index| answer.frames(index, index + 1 == answer.output_tokens))
        .map(|frame| String::from_utf8(frame.bytes.to_vec()).unwrap())
        .collect()
}

/// Kinds of events in order: the framing and the JSON's shape, one for several alike in a row.
fn kinds(body: &str) -> Vec<String> {
    let mut kinds: Vec<String> = body
        .split("\n\n")
        .map(|event| match event.find('{') {
            Some(at) => {
                let (framing, json) = event.split_at(at);
                format!("{framing}{}", shape(&serde_json::from_str(json).unwrap()))
            }
            None => event.to_owned(),
        })
        .collect();
    kinds.dedup();
    kinds
}

fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(number) if number.is_f64() => "fraction".to_owned(),
        Value::Number(_) => "integer".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(items) => {
            let mut shapes: Vec<String> = items.iter().map(shape).collect();
            shapes.dedup();
            format!("[{}]", shapes.join(","))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", shape(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

#[test]
fn frames_have_the_shapes_of_the_captures() {
    for (name, engine, interface) in PLAYED.into_iter().chain(WRITTEN) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/wire")
            .join(format!("{name}.txt"));
        let captured = fs::read_to_string(path).unwrap();
        let answer = answer(name, engine, interface);
        let played = if name.ends_with("whole") {
            answer.whole()
        } else {
            stream(&answer)
        };
        assert_eq!(kinds(&played), kinds(&captured), "{name}");
    }
}

#[test]
fn as_many_frames_hold_tokens_as_there_are_tokens() {
    for (name, engine, interface) in PLAYED.into_iter().chain(WRITTEN) {
        let answer = answer(name, engine, interface);
        let frames = (0..4).flat_map(|index| answer.frames(index, index == 3));
        assert_eq!(frames.filter(|frame| frame.token).count(), 4, "{name}");
    }
}

#[test]
fn without_include_usage_there_is_no_usage_frame() {
    let mut answer = answer("vllm-chat", Engine::Vllm, Interface::Chat);
    answer.include_usage = false;
    assert!(!stream(&answer).contains("usage"));
}
