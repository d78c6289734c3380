//! SGLang's dialect of OpenAI's interfaces, by its source code (0.5.23, `entrypoints/openai`): the
//! reason to end stands in a frame of its own in chat, and beside the last text in completions.

use super::{Answer, Frame, other, quoted, token};

fn head(answer: &Answer, object: &str) -> String {
    format!(
        r#""id":"{}","object":"{object}","created":{},"model":{}"#,
        answer.id, answer.created, answer.model
    )
}

fn usage(answer: &Answer, nulls: bool) -> String {
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    let nulls = if nulls {
        r#","prompt_tokens_details":null,"reasoning_tokens":0,"completion_tokens_details":null"#
    } else {
        r#","reasoning_tokens":0"#
    };
    format!(
        r#""usage":{{"prompt_tokens":{input},"total_tokens":{},"completion_tokens":{output}{nulls}}}"#,
        input + output
    )
}

/// What stopped the text; the end of a text by its length has none.
fn matched_stop(answer: &Answer) -> &'static str {
    if answer.at_limit { "null" } else { "2" }
}

pub fn chat(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let head = head(answer, "chat.completion.chunk");
    let chunk = |delta: &str, finish: &str, stop: &str| {
        format!(
            r#"{{{head},"choices":[{{"index":0,"delta":{{"reasoning_content":null{delta}}},"logprobs":null,"finish_reason":{finish},"matched_stop":{stop}}}]}}"#
        )
    };
    let mut frames = Vec::with_capacity(2);
    if index == 0 {
        let role = r#","role":"assistant","content":"""#;
        frames.push(other(&chunk(role, "null", "null")));
    }
    let (text, _) = answer.token(index);
    let text = format!(r#","content":"{text}""#);
    frames.push(token(&chunk(&text, "null", "null")));
    if last {
        let finish = quoted(Some(answer.finish_reason()));
        frames.push(other(&chunk("", &finish, matched_stop(answer))));
        if answer.include_usage {
            let usage = usage(answer, true);
            frames.push(other(&format!(r#"{{{head},"choices":[],{usage}}}"#)));
        }
        frames.push(other("[DONE]"));
    }
    frames
}

pub fn completions(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let head = head(answer, "text_completion");
    let (text, _) = answer.token(index);
    let finish = quoted(last.then(|| answer.finish_reason()));
    let stop = if last { matched_stop(answer) } else { "null" };
    let mut frames = vec![token(&format!(
        r#"{{{head},"choices":[{{"index":0,"text":"{text}","logprobs":null,"finish_reason":{finish},"matched_stop":{stop}}}],"usage":null}}"#
    ))];
    if last {
        if answer.include_usage {
            let usage = usage(answer, false);
            frames.push(other(&format!(r#"{{{head},"choices":[],{usage}}}"#)));
        }
        frames.push(other("[DONE]"));
    }
    frames
}

pub fn chat_whole(answer: &Answer) -> String {
    let (head, usage) = (head(answer, "chat.completion"), usage(answer, true));
    let (text, finish) = (answer.text(), answer.finish_reason());
    let stop = matched_stop(answer);
    format!(
        r#"{{{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","reasoning_content":null}},"logprobs":null,"finish_reason":"{finish}","matched_stop":{stop}}}],{usage},"metadata":null}}"#
    )
}

pub fn completions_whole(answer: &Answer) -> String {
    let (head, usage) = (head(answer, "text_completion"), usage(answer, true));
    let (text, finish) = (answer.text(), answer.finish_reason());
    let stop = matched_stop(answer);
    format!(
        r#"{{{head},"choices":[{{"index":0,"text":"{text}","logprobs":null,"finish_reason":"{finish}","matched_stop":{stop}}}],{usage},"metadata":null}}"#
    )
}

/// SGLang closes with `[DONE]` after an error too.
pub fn error() -> Vec<Frame> {
    vec![
        other(
            r#"{"error":{"object":"error","message":"Internal server error","type":"InternalServerError","param":null,"code":500}}"#,
        ),
        other("[DONE]"),
    ]
}
