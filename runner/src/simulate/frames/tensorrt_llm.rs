//! `trtllm-serve`'s dialect of OpenAI's interfaces, by its source code
//! (`tensorrt_llm/serve/postprocess_handlers.py`): chat leaves out what is null, completions do not,
//! and the frame of the role has a space before its end.

use super::{Answer, Frame, other, quoted, token};

fn head(answer: &Answer, prefix: &str, object: &str) -> String {
    format!(
        r#""id":"{prefix}-{}","object":"{object}","created":{},"model":{}"#,
        answer.id, answer.created, answer.model
    )
}

fn usage(answer: &Answer) -> String {
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    format!(
        r#""usage":{{"prompt_tokens":{input},"total_tokens":{},"completion_tokens":{output},"prompt_tokens_details":{{"cached_tokens":0}}}}"#,
        input + output
    )
}

fn close(answer: &Answer, head: &str, frames: &mut Vec<Frame>) {
    if answer.include_usage {
        let usage = usage(answer);
        frames.push(other(&format!(r#"{{{head},"choices":[],{usage}}}"#)));
    }
    frames.push(other("[DONE]"));
}

pub fn chat(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let head = head(answer, "chatcmpl", "chat.completion.chunk");
    let mut frames = Vec::with_capacity(2);
    if index == 0 {
        frames.push(other(&format!(
            r#"{{{head},"choices":[{{"index":0,"delta":{{"role":"assistant"}}}}]}} "#
        )));
    }
    let (text, _) = answer.token(index);
    let finish = if last {
        format!(r#","finish_reason":"{}""#, answer.finish_reason())
    } else {
        String::new()
    };
    frames.push(token(&format!(
        r#"{{{head},"choices":[{{"index":0,"delta":{{"content":"{text}","reasoning_content":""}}{finish}}}]}}"#
    )));
    if last {
        close(answer, &head, &mut frames);
    }
    frames
}

pub fn completions(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let head = head(answer, "cmpl", "text_completion");
    let (text, _) = answer.token(index);
    let finish = quoted(last.then(|| answer.finish_reason()));
    let mut frames = vec![token(&format!(
        r#"{{{head},"choices":[{{"index":0,"text":"{text}","token_ids":null,"logprobs":null,"finish_reason":{finish},"stop_reason":null,"avg_decoded_tokens_per_iter":null}}],"usage":null}}"#
    ))];
    if last {
        close(answer, &head, &mut frames);
    }
    frames
}

pub fn chat_whole(answer: &Answer) -> String {
    let head = head(answer, "chatcmpl", "chat.completion");
    let (text, finish, usage) = (answer.text(), answer.finish_reason(), usage(answer));
    format!(
        r#"{{{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","reasoning_content":"","tool_calls":[]}},"logprobs":null,"finish_reason":"{finish}","stop_reason":null}}],{usage}}}"#
    )
}

pub fn completions_whole(answer: &Answer) -> String {
    let head = head(answer, "cmpl", "text_completion");
    let (text, finish, usage) = (answer.text(), answer.finish_reason(), usage(answer));
    format!(
        r#"{{{head},"choices":[{{"index":0,"text":"{text}","token_ids":null,"logprobs":null,"finish_reason":"{finish}","stop_reason":null}}],{usage}}}"#
    )
}

/// The stream ends with the error.
pub fn error() -> Vec<Frame> {
    vec![other(
        r#"{"error":{"message":"Internal server error","type":"InternalServerError","param":null,"code":500}}"#,
    )]
}
