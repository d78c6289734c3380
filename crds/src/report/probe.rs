//! What an engine answered before its first stage, by which engines are held against each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The parity probe of one engine in one round: a few of the run's own prompts, each sent twice, one
/// request at a time, at temperature 0.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Round, from 1.
    pub round: u32,
    /// How often the round had begun anew by then.
    #[serde(default)]
    pub restart: u32,
    /// Commit of the model's repository, by the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_revision: Option<String>,
    /// When the engine's very first answer of the turn began, RFC 3339, by the runner's clock; absent
    /// where it came whole or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_time: Option<String>,
    /// From the sending of that first request to its first token, in seconds: what an engine still
    /// compiles or captures when it is ready already shows here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_seconds: Option<f64>,
    /// What the engine makes of the token of the beginning where a prompt has it already; absent where
    /// it was not asked: of chats, whose template puts it there, and of tokenizers without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<ProbeBegin>,
    /// What was asked; empty where the engine's first answer failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<ProbeQuestion>,
}

/// The first question again, with the token of the beginning written in front of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProbeBegin {
    /// The token as it is written, such as `<s>`.
    pub token: String,
    /// Tokens of the prompt as the engine counts them then; absent where it does not say or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
}

/// One of the run's prompts as a question.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProbeQuestion {
    /// Place of the prompt in the frozen file, from 0.
    pub prompt: u64,
    /// Tokens of the prompt by the model's tokenizer, with the special tokens that it adds; absent
    /// where there is no tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// The same without the special tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare_tokens: Option<u32>,
    /// Most tokens that each answer may have.
    pub asked_tokens: u32,
    /// Whether the answer was to run to that length (`sampling.ignoreEos`).
    #[serde(default)]
    pub forced: bool,
    /// The answers, in the order in which they were asked for.
    #[serde(default)]
    pub answers: Vec<ProbeAnswer>,
}

/// One answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProbeAnswer {
    /// Tokens of the prompt as the engine counts them; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
    /// Tokens of the answer: by the engine, else by the tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
    /// Why it ended: `stop`, `length` or `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
    /// The first 64 bits of the SHA-256 of the text, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why there is no whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
