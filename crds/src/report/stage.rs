//! One measured window.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AcceleratorDevice, CacheReport, ClientReport, Cost, Distribution, Energy, EngineMetric,
    Goodput, Interval, NoSteadyState, OutputSanity, Quality, ReconciliationCheck, RequestGroup,
    RetryAfter, ShardReport, SteadyState, TokenDistribution, Verdict,
};
use crate::plan::Load;

/// One measured window at one load level.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Name of the stage, such as `concurrency-8` or `rate-2`.
    pub name: String,
    /// Round, from 1.
    pub round: u32,
    /// Repetition within the round, from 1.
    pub repetition: u32,
    /// Attempt, from 1; more than one after a runner or the node was lost.
    pub attempt: u32,
    /// How often the round had begun anew on another node before; 0 the first time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restart: u32,
    /// The load.
    pub load: Load,
    /// When it was measured.
    pub window: Window,
    /// What became of the arrivals.
    pub requests: Requests,
    /// First content of the answer, from sending. Absent where answers do not stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<Distribution>,
    /// First content of the answer, from the time at which the request was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token_scheduled: Option<Distribution>,
    /// Per token after the first: the gap of a frame of k tokens counts as k gaps of a k-th each.
    /// Only where the tokens of each frame are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_token_latency: Option<Distribution>,
    /// Gaps between frames with content of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_chunk_latency: Option<Distribution>,
    /// Per request: (last content - first content) / (output tokens - 1), for two tokens or more.
    /// Absent where requests hold several prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_per_output_token: Option<Distribution>,
    /// Last content of the answer, from sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_latency: Option<Distribution>,
    /// Last content of the answer, from the time at which the request was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_latency_scheduled: Option<Distribution>,
    /// Sending after the time at which the request was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_delay: Option<Distribution>,
    /// Tokens of the prompts of succeeded requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<TokenDistribution>,
    /// Tokens of the answers of succeeded requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<TokenDistribution>,
    /// Who counted the output tokens.
    pub token_count_source: TokenCountSource,
    /// Requests for which the engine's count and the tokenizer's differ.
    #[serde(default)]
    pub token_count_mismatches: u64,
    /// Rates over the window.
    pub throughput: Throughput,
    /// Share and rate of requests that met every objective; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput: Option<Goodput>,
    /// The requests of each name that they asked for, in the order of `workload.models`; empty where
    /// that is one alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<RequestGroup>,
    /// The first turns of conversations and the later ones, where arrivals are conversations. Later
    /// turns repeat what was said before, so this is where an engine's prefix cache shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<RequestGroup>,
    /// How sure the percentiles are by this one measurement alone, by their names in
    /// `comparison.best`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intervals: BTreeMap<String, Interval>,
    /// The figures between ramp and tail, where the load was steady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_state: Option<SteadyState>,
    /// Why there is no steady state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_steady_state: Option<NoSteadyState>,
    /// Answers that are not what was asked for; absent where their texts were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_sanity: Option<OutputSanity>,
    /// How many answers were right; absent where the data set does not tell what is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// Digests of the answers to 64 prompts at most, four answers each, by the prompt's place in the
    /// frozen file: the first 16 hexadecimal digits of the SHA-256 of the text without white space
    /// round it. The same prompts for every engine; only where sampling is greedy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answer_digests: BTreeMap<String, Vec<String>>,
    /// The client's own figures.
    pub client: ClientReport,
    /// The runner pods that acted as one client; empty where there was one. `client` then holds
    /// their CPU time and chunks together, and of all else the worst.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardReport>,
    /// The engine's own metrics over the window, by common name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engine_metrics: BTreeMap<String, EngineMetric>,
    /// What Prometheus knows of the engine's hardware over the window: its GPUs by NVIDIA's DCGM exporter
    /// (`gpuUtilization` and the others), its container by cAdvisor (`containerCpus`,
    /// `containerMemoryBytes`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, EngineMetric>,
    /// The engine's GPUs, by NVIDIA's DCGM exporter through Prometheus; empty where nobody told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<AcceleratorDevice>,
    /// Energy that the engine's GPUs took; absent where nobody told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Energy>,
    /// Whether the client's figures and the engine's own are those of the same requests; empty where
    /// the engine has none to hold them against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reconciliation: Vec<ReconciliationCheck>,
    /// What it cost, where the run names a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The engine's prefix cache; absent where nothing was done to it and nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheReport>,
    /// Whether the figures can be trusted.
    pub verdict: Verdict,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A measured window.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Its beginning, RFC 3339 with fractions of a second.
    pub start: String,
    /// Its length: from the first sending to the last end of an answer.
    pub duration_seconds: f64,
}

/// What became of the arrivals: `intended = succeeded + failed + dropped`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Requests that the schedule held.
    pub intended: u64,
    /// Requests that were sent: succeeded or failed.
    pub sent: u64,
    /// Answered whole.
    pub succeeded: u64,
    /// Failed, by any kind.
    pub failed: u64,
    /// Never sent.
    pub dropped: u64,
    /// Failed ones by kind: connect, timeout, rateLimited (HTTP 429), http4xx, http5xx, streamError,
    /// truncated, empty, protocol, cancelled; and shardLost, those of a runner pod that left nothing behind, so that
    /// nobody knows what became of them.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
    /// Never sent ones by kind: `notSent`, where the stage was cut before, and
    /// `conversationEnded`, where a turn before it in its conversation failed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drops: BTreeMap<String, u64>,
    /// What the server asked for where it refused requests as too many; absent where it named no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
}

/// Who counted the output tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum TokenCountSource {
    /// The engine, in its usage figures.
    Server,
    /// The model's tokenizer, on the whole text.
    Tokenizer,
    /// Nobody; there are no token figures.
    #[default]
    None,
}

/// Rates over the window.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Throughput {
    /// Succeeded requests a second.
    pub requests_per_second: f64,
    /// Prompt tokens of succeeded requests a second.
    pub input_tokens_per_second: f64,
    /// Output tokens of succeeded requests a second.
    pub output_tokens_per_second: f64,
}
