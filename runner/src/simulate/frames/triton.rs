//! Triton's generate extension: keys sorted, outputs as scalars, no `[DONE]`. The outputs of the
//! vLLM backend by `src/utils/request.py`, those of TensorRT-LLM's LLM API by
//! `triton_backend/all_models/llmapi`.

use super::{Answer, Frame, TritonOutputs, other, token};
use crate::simulate::text;

/// A response with the outputs that were asked for. `None` is how Python writes no reason.
fn response(answer: &Answer, text: &str, tokens: u32, last: bool) -> String {
    let TritonOutputs {
        finish_reason,
        num_input_tokens,
        num_output_tokens,
    } = answer.outputs;
    let mut json = String::from("{");
    if finish_reason {
        let reason = if last { answer.finish_reason() } else { "None" };
        json += &format!(r#""finish_reason":"{reason}","#);
    }
    json += &format!(r#""model_name":{},"model_version":"1","#, answer.model);
    if num_input_tokens {
        json += &format!(r#""num_input_tokens":{},"#, answer.input_tokens);
    }
    if num_output_tokens {
        json += &format!(r#""num_output_tokens":{tokens},"#);
    }
    json + &format!(r#""text_output":"{text}"}}"#)
}

/// Each response holds its own text and the number of its own tokens.
pub fn vllm(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let (text, _) = answer.token(index);
    vec![token(&response(answer, text, 1, last))]
}

pub fn vllm_whole(answer: &Answer) -> String {
    response(answer, &answer.text(), answer.output_tokens, true)
}

/// Each response holds the whole text so far, since the backend sends `output.text`.
pub fn tensorrt_llm(answer: &Answer, index: u32, last: bool) -> Vec<Frame> {
    let text = text::answer(answer.hash, index + 1);
    vec![token(&response(answer, &text, 1, last))]
}

pub fn tensorrt_llm_whole(answer: &Answer) -> String {
    response(answer, &answer.text(), answer.output_tokens, true)
}

/// The ensemble's outputs, asked for or not, as the README of NVIDIA's tensorrtllm_backend shows them.
fn of_ensemble(answer: &Answer, text: &str) -> String {
    format!(
        r#"{{"context_logits":0.0,"cum_log_probs":0.0,"generation_logits":0.0,"model_name":{},"model_version":"1","output_log_probs":0.0,"sequence_end":false,"sequence_id":0,"sequence_start":false,"text_output":"{text}"}}"#,
        answer.model
    )
}

/// Each response of the engine is made text by itself.
pub fn ensemble(answer: &Answer, index: u32) -> Vec<Frame> {
    let (text, _) = answer.token(index);
    vec![token(&of_ensemble(answer, text))]
}

pub fn ensemble_whole(answer: &Answer) -> String {
    of_ensemble(answer, &answer.text())
}

pub fn error() -> Vec<Frame> {
    vec![other(
        r#"{"error":"Error generating request: CUDA error: an illegal memory access was encountered"}"#,
    )]
}
