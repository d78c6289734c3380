//! FastChat, as captured from 0.2.36: no usage in a stream, and frames that leave out what later ones
//! hold.

use super::{Answer, Frame, other, token};

fn usage(answer: &Answer) -> String {
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    format!(
        r#""usage": {{"prompt_tokens": {input}, "total_tokens": {}, "completion_tokens": {output}}}"#,
        input + output
    )
}

pub fn chat(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (id, model) = (&answer.id, &answer.model);
    let chunk = |delta: &str| {
        format!(
            r#"{{"id": "chatcmpl-{id}", "model": {model}, "choices": [{{"index": 0, "delta": {delta}, "finish_reason": null}}]}}"#
        )
    };
    let mut frames = Vec::with_capacity(2);
    if index == 0 {
        frames.push(other(&chunk(r#"{"role": "assistant"}"#)));
    }
    let (text, _) = answer.token(index);
    frames.push(token(&chunk(&format!(r#"{{"content": "{text}"}}"#))));
    if last {
        let (created, reason) = (answer.created, answer.finish_reason());
        frames.push(other(&format!(
            r#"{{"id": "chatcmpl-{id}", "object": "chat.completion.chunk", "created": {created}, "model": {model}, "choices": [{{"index": 0, "delta": {{}}, "finish_reason": "{reason}"}}]}}"#
        )));
        frames.push(other("[DONE]"));
    }
    frames
}

pub fn completions(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (id, model) = (&answer.id, &answer.model);
    let chunk = |text: &str, finish: &str| {
        format!(
            r#"{{"id": "cmpl-{id}", "object": "text_completion", "model": {model}, "choices": [{{"index": 0, "text": "{text}", "logprobs": null, "finish_reason": {finish}}}]}}"#
        )
    };
    let (text, _) = answer.token(index);
    let mut frames = vec![token(&chunk(text, "null"))];
    if last {
        let reason = format!(r#""{}""#, answer.finish_reason());
        frames.push(other(&chunk("", &reason)));
        frames.push(other("[DONE]"));
    }
    frames
}

pub fn chat_whole(answer: &Answer) -> String {
    let (id, created, model) = (&answer.id, answer.created, &answer.model);
    let (text, reason, usage) = (answer.text(), answer.finish_reason(), usage(answer));
    format!(
        r#"{{"id": "chatcmpl-{id}", "object": "chat.completion", "created": {created}, "model": {model}, "choices": [{{"index": 0, "message": {{"role": "assistant", "content": "{text}"}}, "finish_reason": "{reason}"}}], {usage}}}"#
    )
}

pub fn completions_whole(answer: &Answer) -> String {
    let (id, created, model) = (&answer.id, answer.created, &answer.model);
    let (text, reason, usage) = (answer.text(), answer.finish_reason(), usage(answer));
    format!(
        r#"{{"id": "cmpl-{id}", "object": "text_completion", "created": {created}, "model": {model}, "choices": [{{"index": 0, "text": "{text}", "logprobs": null, "finish_reason": "{reason}"}}], {usage}}}"#
    )
}

/// The worker's words pass through.
pub fn error() -> Vec<Frame> {
    vec![
        other(r#"{"text": "**NETWORK ERROR DUE TO HIGH TRAFFIC.**", "error_code": 50002}"#),
        other("[DONE]"),
    ]
}
