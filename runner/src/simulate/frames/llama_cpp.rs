//! llama.cpp's server, as captured from commit 7e4c0a9: a closing frame without a token follows the
//! last one.

use super::{Answer, Frame, other, token};

const FINGERPRINT: &str = "b1-7e4c0a9";

fn usage(answer: &Answer) -> String {
    format!(
        r#""usage":{{"completion_tokens":{},"prompt_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0}}}}"#,
        answer.output_tokens,
        answer.input_tokens,
        answer.input_tokens + answer.output_tokens
    )
}

/// The simulator does not know how long its steps really took; these are the lengths alone, at one
/// millisecond each.
fn timings(answer: &Answer) -> String {
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    format!(
        r#""timings":{{"cache_n":0,"prompt_n":{input},"prompt_ms":{input}.0,"prompt_per_token_ms":1.0,"prompt_per_second":1000.0,"predicted_n":{output},"predicted_ms":{output}.0,"predicted_per_token_ms":1.0,"predicted_per_second":1000.0}}"#
    )
}

fn chat_tail(answer: &Answer, object: &str) -> String {
    format!(
        r#""created":{},"id":"chatcmpl-{}","model":{},"system_fingerprint":"{FINGERPRINT}","object":"{object}""#,
        answer.created, answer.id, answer.model
    )
}

pub fn chat(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let tail = chat_tail(answer, "chat.completion.chunk");
    let chunk = |delta: &str, finish: &str| {
        format!(r#"{{"choices":[{{"finish_reason":{finish},"index":0,"delta":{delta}}}],{tail}}}"#)
    };
    let mut frames = Vec::with_capacity(2);
    if index == 0 {
        frames.push(other(&chunk(
            r#"{"role":"assistant","content":null}"#,
            "null",
        )));
    }
    let (text, _) = answer.token(index);
    frames.push(token(&chunk(&format!(r#"{{"content":"{text}"}}"#), "null")));
    if last {
        let finish = format!("\"{}\"", answer.finish_reason());
        frames.push(other(&chunk("{}", &finish)));
        if answer.include_usage {
            let (usage, timings) = (usage(answer), timings(answer));
            frames.push(other(&format!(
                r#"{{"choices":[],{tail},{usage},{timings}}}"#
            )));
        }
        frames.push(other("[DONE]"));
    }
    frames
}

pub fn chat_whole(answer: &Answer) -> String {
    format!(
        r#"{{"choices":[{{"finish_reason":"{}","index":0,"message":{{"role":"assistant","content":"{}"}}}}],{},{},{}}}"#,
        answer.finish_reason(),
        answer.text(),
        chat_tail(answer, "chat.completion"),
        usage(answer),
        timings(answer)
    )
}

fn completions_tail(answer: &Answer) -> String {
    format!(
        r#""created":{},"model":{},"system_fingerprint":"{FINGERPRINT}","object":"text_completion""#,
        answer.created, answer.model
    )
}

/// The closing frame holds the usage, asked or not, and its choices are not empty.
pub fn completions(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (tail, id) = (completions_tail(answer), &answer.id);
    let (text, _) = answer.token(index);
    let mut frames = vec![token(&format!(
        r#"{{"choices":[{{"text":"{text}","index":0,"logprobs":null,"finish_reason":null}}],{tail},"id":"chatcmpl-{id}"}}"#
    ))];
    if last {
        let (usage, timings, finish) = (usage(answer), timings(answer), answer.finish_reason());
        frames.push(other(&format!(
            r#"{{"choices":[{{"text":"","index":0,"logprobs":null,"finish_reason":"{finish}"}}],{tail},{usage},"id":"chatcmpl-{id}",{timings}}}"#
        )));
        frames.push(other("[DONE]"));
    }
    frames
}

pub fn completions_whole(answer: &Answer) -> String {
    format!(
        r#"{{"choices":[{{"text":"{}","index":0,"logprobs":null,"finish_reason":"{}"}}],{},{},"id":"chatcmpl-{}",{}}}"#,
        answer.text(),
        answer.finish_reason(),
        completions_tail(answer),
        usage(answer),
        answer.id,
        timings(answer)
    )
}

/// The settings as the server writes them for a greedy request; only the length is the request's.
fn generation_settings(tokens: u32) -> String {
    format!(
        r#"{{"seed":4294967295,"temperature":0.0,"dynatemp_range":0.0,"dynatemp_exponent":1.0,"top_k":40,"top_p":0.949999988079071,"min_p":0.05000000074505806,"top_n_sigma":-1.0,"xtc_probability":0.0,"xtc_threshold":0.10000000149011612,"typical_p":1.0,"repeat_last_n":64,"repeat_penalty":1.0,"presence_penalty":0.0,"frequency_penalty":0.0,"dry_multiplier":0.0,"dry_base":1.75,"dry_allowed_length":2,"dry_penalty_last_n":64,"dry_sequence_breakers":["\n",":","\"","*"],"mirostat":0,"mirostat_tau":5.0,"mirostat_eta":0.10000000149011612,"adaptive_target":-1.0,"adaptive_decay":0.8999999761581421,"stop":[],"max_tokens":{tokens},"n_predict":{tokens},"n_keep":0,"n_discard":0,"ignore_eos":false,"stream":true,"logit_bias":[],"n_probs":0,"min_keep":0,"grammar":"","grammar_lazy":false,"grammar_triggers":[],"preserved_tokens":[],"chat_format":"Content-only","reasoning_format":"deepseek","reasoning_in_content":false,"generation_prompt":"","samplers":["penalties","dry","top_n_sigma","top_k","typ_p","top_p","min_p","xtc","temperature"],"speculative.types":"none","timings_per_token":false,"post_sampling_probs":false,"backend_sampling":false,"lora":[]}}"#
    )
}

fn stop_frame(answer: &Answer, content: &str) -> String {
    let stop_type = if answer.at_limit { "limit" } else { "eos" };
    let (input, output) = (answer.input_tokens, answer.output_tokens);
    format!(
        r#"{{"index":0,"content":"{content}","tokens":[],"id_slot":0,"stop":true,"model":{},"tokens_predicted":{output},"tokens_evaluated":{input},"generation_settings":{},"prompt":"","has_new_line":false,"truncated":false,"stop_type":"{stop_type}","stopping_word":"","tokens_cached":{},{}}}"#,
        answer.model,
        generation_settings(output),
        input + output - 1,
        timings(answer)
    )
}

pub fn completion(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (text, id) = answer.token(index);
    let mut frames = vec![token(&format!(
        r#"{{"index":0,"content":"{text}","tokens":[{id}],"stop":false,"id_slot":-1,"tokens_predicted":{},"tokens_evaluated":{}}}"#,
        index + 1,
        answer.input_tokens
    ))];
    if last {
        frames.push(other(&stop_frame(answer, "")));
    }
    frames
}

pub fn completion_whole(answer: &Answer) -> String {
    stop_frame(answer, &answer.text())
}

pub fn error() -> Vec<Frame> {
    vec![other(
        r#"{"error":{"code":500,"message":"failed to decode the batch","type":"server_error"}}"#,
    )]
}
