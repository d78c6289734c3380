//! Text Generation Inference, by `router/src/lib.rs` and `router/src/server.rs` of 3.3: no space
//! after `data:`, one event per token, the last with `generated_text` and `details`.

use super::{Answer, Frame};

const FINGERPRINT: &str = "3.3.6-native";

fn event(json: &str, token: bool) -> Frame {
    Frame {
        bytes: format!("data:{json}\n\n").into(),
        token,
    }
}

/// TGI's own word for the end.
fn finish_reason(answer: &Answer) -> &'static str {
    if answer.at_limit {
        "length"
    } else {
        "eos_token"
    }
}

pub fn generate_stream(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (text, id) = answer.token(index);
    let end = if last {
        format!(
            r#""generated_text":"{}","details":{{"finish_reason":"{}","generated_tokens":{},"seed":null,"input_length":{}}}"#,
            answer.text(),
            finish_reason(answer),
            answer.output_tokens,
            answer.input_tokens
        )
    } else {
        r#""generated_text":null,"details":null"#.to_owned()
    };
    let number = index + 1;
    vec![event(
        &format!(
            r#"{{"index":{number},"token":{{"id":{id},"text":"{text}","logprob":-0.5654297,"special":false}},"top_tokens":[],{end}}}"#
        ),
        true,
    )]
}

pub fn generate(answer: &Answer) -> String {
    let tokens: Vec<String> = (0..answer.output_tokens)
        .map(|index| {
            let (text, id) = answer.token(index);
            format!(r#"{{"id":{id},"text":"{text}","logprob":-0.5654297,"special":false}}"#)
        })
        .collect();
    format!(
        r#"{{"generated_text":"{}","details":{{"finish_reason":"{}","generated_tokens":{},"seed":null,"prefill":[],"tokens":[{}]}}}}"#,
        answer.text(),
        finish_reason(answer),
        answer.output_tokens,
        tokens.join(",")
    )
}

fn usage(answer: &Answer) -> String {
    format!(
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}}"#,
        answer.input_tokens,
        answer.output_tokens,
        answer.input_tokens + answer.output_tokens
    )
}

fn chat_head(answer: &Answer, object: &str) -> String {
    format!(
        r#""object":"{object}","id":"","created":{},"model":{},"system_fingerprint":"{FINGERPRINT}""#,
        answer.created, answer.model
    )
}

/// Every chunk holds the role.
pub fn chat(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let head = chat_head(answer, "chat.completion.chunk");
    let (text, _) = answer.token(index);
    let finish = super::quoted(last.then(|| answer.finish_reason()));
    let mut frames = vec![event(
        &format!(
            r#"{{{head},"choices":[{{"index":0,"delta":{{"role":"assistant","content":"{text}"}},"logprobs":null,"finish_reason":{finish}}}],"usage":null}}"#
        ),
        true,
    )];
    if last {
        if answer.include_usage {
            let usage = usage(answer);
            frames.push(event(
                &format!(r#"{{{head},"choices":[],"usage":{usage}}}"#),
                false,
            ));
        }
        frames.push(event(" [DONE]", false));
    }
    frames
}

pub fn chat_whole(answer: &Answer) -> String {
    format!(
        r#"{{{},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{}"}},"logprobs":null,"finish_reason":"{}"}}],"usage":{}}}"#,
        chat_head(answer, "chat.completion"),
        answer.text(),
        answer.finish_reason(),
        usage(answer)
    )
}

/// Before the last chunk `finish_reason` is empty; the last one holds the usage, asked or not.
pub fn completions(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (text, _) = answer.token(index);
    let (finish, usage) = if last {
        (
            answer.finish_reason(),
            format!(r#","usage":{}"#, usage(answer)),
        )
    } else {
        ("", String::new())
    };
    let mut frames = vec![event(
        &format!(
            r#"{{"object":"text_completion","id":"","created":{},"choices":[{{"index":0,"text":"{text}","logprobs":null,"finish_reason":"{finish}"}}],"model":{},"system_fingerprint":"{FINGERPRINT}"{usage}}}"#,
            answer.created, answer.model
        ),
        true,
    )];
    if last {
        frames.push(event(" [DONE]", false));
    }
    frames
}

pub fn completions_whole(answer: &Answer) -> String {
    format!(
        r#"{{"object":"text_completion","id":"","created":{},"model":{},"system_fingerprint":"{FINGERPRINT}","choices":[{{"index":0,"text":"{}","logprobs":null,"finish_reason":"{}"}}],"usage":{}}}"#,
        answer.created,
        answer.model,
        answer.text(),
        answer.finish_reason(),
        usage(answer)
    )
}

pub fn error() -> Vec<Frame> {
    vec![event(
        r#"{"error":"Request failed during generation: Server error: CUDA error: an illegal memory access was encountered","error_type":"generation"}"#,
        false,
    )]
}
