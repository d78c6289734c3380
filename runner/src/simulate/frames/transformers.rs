//! `transformers serve`, as captured from 5.19.0: no `[DONE]`, usage unasked on the last frame, and
//! what is null left out.

use super::{Answer, Frame, other, token};

fn usage(answer: &Answer) -> String {
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    format!(
        r#""usage":{{"completion_tokens":{output},"prompt_tokens":{input},"total_tokens":{}}}"#,
        input + output
    )
}

fn head(answer: &Answer, choice: &str, object: &str) -> String {
    format!(
        r#""id":"{}","choices":[{choice}],"created":{},"model":{},"object":"{object}""#,
        answer.id, answer.created, answer.model
    )
}

pub fn chat(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let chunk = |delta: &str, finish: &str, usage: &str| {
        let choice = format!(r#"{{"delta":{delta},"index":0{finish}}}"#);
        let head = head(answer, &choice, "chat.completion.chunk");
        format!(r#"{{{head},"system_fingerprint":""{usage}}}"#)
    };
    let mut frames = Vec::with_capacity(2);
    if index == 0 {
        frames.push(other(&chunk(r#"{"role":"assistant"}"#, "", "")));
    }
    let (text, _) = answer.token(index);
    frames.push(token(&chunk(&format!(r#"{{"content":"{text}"}}"#), "", "")));
    if last {
        let finish = format!(r#","finish_reason":"{}""#, answer.finish_reason());
        let usage = format!(",{}", usage(answer));
        frames.push(other(&chunk("{}", &finish, &usage)));
    }
    frames
}

pub fn completions(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let chunk = |choice: &str, usage: &str| {
        format!("{{{}{usage}}}", head(answer, choice, "text_completion"))
    };
    let (text, _) = answer.token(index);
    let mut frames = vec![token(&chunk(
        &format!(r#"{{"index":0,"text":"{text}"}}"#),
        "",
    ))];
    if last {
        let reason = answer.finish_reason();
        let choice = format!(r#"{{"finish_reason":"{reason}","index":0,"text":""}}"#);
        frames.push(other(&chunk(&choice, &format!(",{}", usage(answer)))));
    }
    frames
}

pub fn chat_whole(answer: &Answer) -> String {
    let (text, reason, usage) = (answer.text(), answer.finish_reason(), usage(answer));
    let choice = format!(
        r#"{{"finish_reason":"{reason}","index":0,"message":{{"content":"{text}","role":"assistant"}}}}"#
    );
    format!("{{{},{usage}}}", head(answer, &choice, "chat.completion"))
}

pub fn completions_whole(answer: &Answer) -> String {
    let (text, reason, usage) = (answer.text(), answer.finish_reason(), usage(answer));
    let choice = format!(r#"{{"finish_reason":"{reason}","index":0,"text":"{text}"}}"#);
    format!("{{{},{usage}}}", head(answer, &choice, "text_completion"))
}

/// The stream ends with the error's words.
pub fn error() -> Vec<Frame> {
    vec![other(r#"{"error": "generation failed"}"#)]
}
