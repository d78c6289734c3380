//! `report.json`: the result of a run. Times in seconds, as numbers.
//!
//! Definitions of the latencies follow the field's use: see each field.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    plan::{Capabilities, Load, RunIdentity},
    run::{ObjectiveMetric, status::VerdictStatus},
};

/// Version of the report's schema.
pub const SCHEMA_VERSION: &str = "bakeoff.dev/report/v1alpha1";

/// The result of a run.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: String,
    /// What was run.
    pub run: ReportRun,
    /// Verdict on the whole: the worst of its parts, and what only shows on the whole.
    pub verdict: Verdict,
    /// Every engine of the run, those that failed among them, in the order of the spec.
    pub engines: Vec<EngineReport>,
    /// What the figures say of the engines against each other.
    pub comparison: Comparison,
}

/// What was run, and under which conditions that were the same for all engines.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReportRun {
    /// Name, namespace and UID.
    #[serde(flatten)]
    pub identity: RunIdentity,
    /// When the run began, RFC 3339.
    pub start_time: String,
    /// When the report was written, RFC 3339.
    pub end_time: String,
    /// Version of Bakeoff that wrote the report.
    pub bakeoff_version: String,
    /// Version of the operator, where one ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// `spec` of the run, defaults filled in.
    pub spec: serde_json::Value,
    /// Number of frozen prompts.
    pub prompts: u64,
    /// SHA-256 of the frozen prompts, uncompressed.
    pub prompts_sha256: String,
    /// SHA-256 of the data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_sha256: Option<String>,
    /// SHA-256 of the tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
    /// `output.metadata`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What the run could not do quite as asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Whether figures can be trusted, and why not.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The verdict.
    pub status: VerdictStatus,
    /// Why it is not Valid; empty where it is.
    #[serde(default)]
    pub reasons: Vec<VerdictReason>,
}

/// One reason of a verdict.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VerdictReason {
    /// One word, such as `ScheduleDelay` or `ErrorRateExceeded`.
    pub reason: String,
    /// What was seen, with figures.
    pub message: String,
    /// How bad this one is.
    pub status: VerdictStatus,
}

impl Verdict {
    /// The verdict that follows from its reasons: the worst of them, Valid where there is none.
    pub fn of(reasons: Vec<VerdictReason>) -> Self {
        let status = reasons
            .iter()
            .map(|reason| reason.status)
            .max()
            .unwrap_or_default();
        Self { status, reasons }
    }
}

/// One engine's part of the report.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EngineReport {
    /// Name in the spec.
    pub name: String,
    /// Profile, or `external`, or `simulated`.
    pub profile: String,
    /// Its name as its makers write it.
    #[serde(default)]
    pub display_name: String,
    /// What exactly ran.
    pub provenance: Provenance,
    /// How long it took to be ready, one entry per round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cold_start: Vec<ColdStart>,
    /// What the engine can do, by its profile.
    pub capabilities: Capabilities,
    /// In what it differs from the settings that hold for all.
    #[serde(default)]
    pub deviations: Vec<String>,
    /// Things that a reader should know of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cautions: Vec<String>,
    /// Why it failed, one entry per failed turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<EngineFailure>,
    /// Verdict on the engine's figures.
    pub verdict: Verdict,
    /// Every stage that was driven, attempts that were cut among them.
    pub stages: Vec<StageReport>,
    /// Price of a million output tokens, for a paid endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_million_tokens: Option<f64>,
}

/// What exactly ran.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// Image as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Image with digest, as it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// Command and arguments as they were rendered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command_line: Vec<String>,
    /// Version that the engine tells of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Model id and revision as the engine was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Wire protocol of the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Address of an engine that was not deployed by the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Nodes that it ran on, one per round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

/// Time line of a start, in seconds since the pod was made.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ColdStart {
    /// Round, from 1.
    pub round: u32,
    /// Until it had a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_seconds: Option<f64>,
    /// Until its container started: image pulled, volumes mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_started_seconds: Option<f64>,
    /// Until it was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_seconds: Option<f64>,
}

/// One failed turn.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EngineFailure {
    /// Round, from 1.
    pub round: u32,
    /// One word.
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
    /// Exit code of the container, where it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

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
    /// Attempt, from 1; more than one after a runner was lost.
    pub attempt: u32,
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
    /// Gaps between frames with content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_chunk_latency: Option<Distribution>,
    /// Per request: (last content - first content) / (output tokens - 1), for two tokens or more.
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
    /// The client's own figures.
    pub client: ClientReport,
    /// The engine's own metrics over the window, by common name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engine_metrics: BTreeMap<String, EngineMetric>,
    /// Whether the figures can be trusted.
    pub verdict: Verdict,
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
    /// Arrivals that the schedule held.
    pub intended: u64,
    /// Requests that were sent: succeeded or failed.
    pub sent: u64,
    /// Answered whole.
    pub succeeded: u64,
    /// Failed, by any kind.
    pub failed: u64,
    /// Never sent.
    pub dropped: u64,
    /// Failed ones by kind: connect, timeout, http4xx, http5xx, streamError, truncated, empty,
    /// protocol, cancelled.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
}

/// A distribution of latencies, in seconds. A percentile is absent where fewer than
/// 10 / (1 - p) samples stand behind it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of the sample (n - 1).
    pub stddev: f64,
    /// Least.
    pub min: f64,
    /// Median; from 1 sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// 90th percentile; from 100 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    /// 95th percentile; from 200 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// 99th percentile; from 1,000 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// 99.9th percentile; from 10,000 samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999: Option<f64>,
    /// Greatest.
    pub max: f64,
}

/// A distribution of token counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenDistribution {
    /// The distribution, in tokens.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// All of them.
    pub sum: u64,
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

/// Requests that met every objective, over all arrivals, failed and dropped ones among them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Goodput {
    /// Good requests a second.
    pub requests_per_second: f64,
    /// Good requests.
    pub good: u64,
    /// Good requests over all arrivals, 0 to 1.
    pub attainment: f64,
    /// Each objective against the stage's own percentile.
    #[serde(default)]
    pub objectives: Vec<ObjectiveResult>,
}

/// One objective against one stage.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectiveResult {
    /// What was bounded.
    pub metric: ObjectiveMetric,
    /// At which percentile.
    pub percentile: f64,
    /// The bound, in seconds.
    pub less_than_seconds: f64,
    /// The stage's value, in seconds; absent where too few samples stand behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_seconds: Option<f64>,
    /// Whether it was met; absent where there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

/// The client's own figures in a stage.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClientReport {
    /// CPU time of the process.
    pub cpu_seconds: f64,
    /// CPU time per frame with content, in microseconds.
    pub cpu_micros_per_chunk: f64,
    /// Greatest resident set so far, in bytes.
    pub peak_rss_bytes: u64,
    /// Frames with content.
    pub chunks: u64,
    /// What the client itself adds to a time to first token, in microseconds, by calibration
    /// against the simulator on the same machine before the run; absent where none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overhead_micros: Option<f64>,
    /// Longest time for which the client's event loop did not come round, in seconds.
    pub longest_stall_seconds: f64,
    /// Time for which the cgroup was throttled during the stage; absent where the kernel does not
    /// tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_seconds: Option<f64>,
    /// Bound on open files.
    pub open_files_limit: u64,
    /// Requests that were written again on a fresh connection, because the server had closed the
    /// one that they met before it read anything. Their latencies hold the time that was lost.
    #[serde(default)]
    pub reconnects: u64,
}

/// One of the engine's own metrics over the window.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EngineMetric {
    /// What the runner's own scrape of the engine gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<MetricValue>,
    /// What Prometheus gave for the same window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<MetricValue>,
    /// Why a value is absent, such as `WindowTooShort`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// A gauge's mean and extremes, or a counter's or histogram's increase.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MetricValue {
    /// Mean of a gauge over the window; mean of a histogram's new samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Greatest value of a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Increase of a counter over the window; number of a histogram's new samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increase: Option<f64>,
}

/// What the figures say of the engines against each other.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// In one sentence, for people.
    pub sentence: String,
    /// Best engine by measure and load level. Invalid stages take no part.
    pub best: Vec<Best>,
}

/// The best engine by one measure at one load level.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Best {
    /// `outputTokensPerSecond`, `timeToFirstTokenP50`, `requestLatencyP50` and so on.
    pub measure: String,
    /// Name of the stage.
    pub stage: String,
    /// The engine.
    pub engine: String,
    /// Its value, in the measure's unit; the mean over rounds and repetitions.
    pub value: f64,
    /// The second best engine, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_up: Option<String>,
    /// By how much it is better than the second best: 0.12 is 12 %. Absent where repetitions and
    /// rounds overlap, or where single measurements differ by too little to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead: Option<f64>,
}
