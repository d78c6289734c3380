//! vLLM's dialect of OpenAI's interfaces, as captured from 0.32.0.

use super::{Answer, Frame, other, quoted, token};

const FINGERPRINT: &str = "vllm-0.32.0-032242ce";

fn head(answer: &Answer, prefix: &str, object: &str) -> String {
    format!(
        r#""id":"{prefix}-{}","object":"{object}","created":{},"model":{}"#,
        answer.id, answer.created, answer.model
    )
}

/// The usage of the whole request.
fn whole_usage(answer: &Answer) -> String {
    let (input, output) = answer.of_request;
    format!(
        r#""prompt_tokens":{input},"total_tokens":{},"completion_tokens":{output}"#,
        input + output
    )
}

fn usage(answer: &Answer, made: u32) -> String {
    format!(
        r#""prompt_tokens":{},"total_tokens":{},"completion_tokens":{made}"#,
        answer.input_tokens,
        answer.input_tokens + made
    )
}

/// `usage` on a frame with choices, under `continuous_usage_stats`.
fn running_usage(answer: &Answer, made: u32) -> String {
    if answer.continuous_usage {
        let usage = usage(answer, made);
        format!(r#","usage":{{{usage},"completion_tokens_details":null}}"#)
    } else {
        String::new()
    }
}

/// The usage frame and the end.
fn close(answer: &Answer, head: &str, frames: &mut Vec<Frame>) {
    if answer.include_usage {
        let usage = whole_usage(answer);
        frames.push(other(&format!(
            r#"{{{head},"choices":[],"usage":{{{usage}}},"system_fingerprint":"{FINGERPRINT}"}}"#
        )));
    }
    frames.push(other("[DONE]"));
}

pub fn vllm_chat(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let head = head(answer, "chatcmpl", "chat.completion.chunk");
    let mut frames = Vec::with_capacity(2);
    if index == 0 {
        let usage = running_usage(answer, 0);
        frames.push(other(&format!(
            r#"{{{head},"choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]{usage},"prompt_token_ids":null,"prompt_text":null}}"#
        )));
    }
    let (text, _) = answer.token(index);
    let usage = running_usage(answer, index + 1);
    let finish = if last {
        format!(
            r#""finish_reason":"{}","stop_reason":null"#,
            answer.finish_reason()
        )
    } else {
        r#""finish_reason":null"#.to_owned()
    };
    frames.push(token(&format!(
        r#"{{{head},"choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":null,{finish},"token_ids":null}}]{usage}}}"#
    )));
    if last {
        close(answer, &head, &mut frames);
    }
    frames
}

pub fn vllm_completions(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    vllm_choice(answer, index, last, last)
}

/// A token of an answer to one of several prompts, `last` of its own and perhaps `of_all`.
pub fn vllm_choice(answer: &Answer, index: u32, last: bool, of_all: bool) -> Vec<Frame> {
    let choice = answer.choice;
    let head = head(answer, "cmpl", "text_completion");
    let (text, _) = answer.token(index);
    let usage = running_usage(answer, index + 1);
    let finish = quoted(last.then(|| answer.finish_reason()));
    let mut frames = vec![token(&format!(
        r#"{{{head},"choices":[{{"index":{choice},"text":"{text}","logprobs":null,"finish_reason":{finish},"stop_reason":null,"prompt_token_ids":null,"token_ids":null}}]{usage}}}"#
    ))];
    if of_all {
        close(answer, &head, &mut frames);
    }
    frames
}

pub fn vllm_chat_whole(answer: &Answer) -> String {
    let head = head(answer, "chatcmpl", "chat.completion");
    let (text, finish) = (answer.text(), answer.finish_reason());
    let usage = usage(answer, answer.output_tokens);
    format!(
        r#"{{{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning":null}},"logprobs":null,"finish_reason":"{finish}","stop_reason":null,"token_ids":null}}],"service_tier":null,"system_fingerprint":"{FINGERPRINT}","usage":{{{usage},"prompt_tokens_details":null}},"prompt_logprobs":null,"prompt_token_ids":null,"kv_transfer_params":null}}"#
    )
}

pub fn vllm_completions_whole(answer: &Answer) -> String {
    vllm_choices_whole(std::slice::from_ref(answer))
}

/// The answers to several prompts.
pub fn vllm_choices_whole(answers: &[Answer]) -> String {
    let Some(answer) = answers.first() else {
        return String::new();
    };
    let head = head(answer, "cmpl", "text_completion");
    let choices: Vec<String> = answers
        .iter()
        .map(|answer| {
            let (choice, text, finish) = (answer.choice, answer.text(), answer.finish_reason());
            format!(
                r#"{{"index":{choice},"text":"{text}","logprobs":null,"finish_reason":"{finish}","stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null}}"#
            )
        })
        .collect();
    let choices = choices.join(",");
    let usage = whole_usage(answer);
    format!(
        r#"{{{head},"choices":[{choices}],"service_tier":null,"system_fingerprint":"{FINGERPRINT}","usage":{{{usage},"prompt_tokens_details":null}},"kv_transfer_params":null}}"#
    )
}

/// vLLM closes with `[DONE]` after an error too.
pub fn vllm_error() -> Vec<Frame> {
    vec![
        other(
            r#"{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"InternalServerError","param":null,"code":500}}"#,
        ),
        other("[DONE]"),
    ]
}
