//! A prompt as it is frozen before the run: one line of `prompts.jsonl`.

use serde::{Deserialize, Serialize};

use crate::answer::Expected;

/// One frozen prompt; every engine gets these, byte for byte.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    /// Place in the frozen file, from 0.
    pub index: u64,
    /// The conversation so far; one user message for most prompts. Where the engine's own answers are
    /// to stand between the turns, what this turn adds.
    pub messages: Vec<Message>,
    /// The plain prompt for interfaces that take no messages: the chat template applied where the
    /// model has one, else the text itself.
    pub text: String,
    /// Length of `text` by the model's tokenizer, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u32>,
    /// Most tokens asked for.
    pub max_tokens: u32,
    /// What is known of the right answer; it is never sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// When the request came, from the beginning of the trace's part that is replayed, in
    /// nanoseconds of the trace's own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_nanos: Option<u64>,
    /// Which conversation it is a turn of, from 0; the turns of one follow one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<u64>,
    /// Seconds between the end of the answer before and this turn; none in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_seconds: Option<f64>,
}

/// One message of a conversation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}
