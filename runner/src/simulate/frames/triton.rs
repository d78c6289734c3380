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

pub fn error() -> Vec<Frame> {
    vec![other(
        r#"{"error":"Error generating request: CUDA error: an illegal memory access was encountered"}"#,
    )]
}
