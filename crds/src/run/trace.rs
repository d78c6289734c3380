//! A trace of requests that once came, as a source of prompts and of arrival times.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Duration, FileSource};

/// A trace: each line is one request, with its time and its lengths or its prompt. Where it holds
/// lengths, prompts are made up that have them to the token.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// What the file looks like.
    pub format: TraceFormat,
    /// The file.
    pub file: FileSource,
    /// Where in the trace to begin, from its first request on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Duration>,
    /// How much of the trace to take, in its own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
    /// Most requests to take.
    #[serde(default = "default_requests")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: u32,
}

/// What a trace's file looks like.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum TraceFormat {
    /// CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens, as the LLM inference traces
    /// of AzurePublicDataset (2023 and 2024).
    Azure,
    /// A JSON object a line: timestamp in milliseconds, input_length, output_length, and hash_ids of
    /// blocks of 512 tokens: requests that share an id share the text of that block.
    Mooncake,
    /// A JSON object a line: timestamp in seconds or RFC 3339, one of prompt, messages and
    /// inputTokens, and outputTokens.
    Jsonl,
}

fn default_requests() -> u32 {
    1000
}
