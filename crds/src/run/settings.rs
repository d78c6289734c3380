//! Runner, metrics, output, objectives, policy and clean-up.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{ConfigMapKeyRef, Duration, LocalRef};

/// The pods that make the load, check beforehand and write the report.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Runner {
    /// Pods that make the load together, as one client: they begin each stage at the same time, and
    /// share its arrivals or its concurrency among them. More than one where one pod's CPU does not
    /// suffice.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 256))]
    pub parallelism: u32,
    /// Whether the client measures what it adds itself, for a second or two before the warm-up of
    /// each engine.
    #[serde(default)]
    pub calibration: Calibration,
    /// Image in place of the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// CPU and memory. Left out: 2 CPUs and 1Gi, limits the same, so that the client is not
    /// throttled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that the runner's node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the runner's pods bear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Where runners go. Left out: away from the engine's node where another has room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Service account that may write to the bucket, by Workload Identity or IRSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// Secrets to pull the runner's image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalRef>,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            parallelism: one(),
            calibration: Calibration::default(),
            image: None,
            resources: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            service_account_name: None,
            image_pull_secrets: Vec::new(),
        }
    }
}

/// Whether the client is calibrated before a run.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Calibration {
    /// It is; where that fails, the run goes on without.
    #[default]
    Auto,
    /// It is not, and the report does not say what the client itself adds.
    Never,
}

/// Where results go.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.formats) || self.formats.exists(f, f == 'Requests') || \
     self.formats.all(f, f in ['Html', 'Chart', 'Csv'])")
    .message("Google, Vllm, LlmD, InferencePerf and Aiperf are made of the log of the requests; add Requests to formats"))]
pub struct Output {
    /// `gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX`, `pvc://CLAIM/PATH`, or, without a cluster,
    /// `file://PATH`. A folder per run is made under it; nothing is ever overwritten.
    #[schemars(
        length(min = 6, max = 1024),
        regex(
            pattern = r"^(gs|s3|pvc)://[a-z0-9][a-z0-9._-]{1,221}[a-z0-9](/[A-Za-z0-9._=/-]*)?$|^file://.+$"
        )
    )]
    pub uri: String,
    /// Root of an S3 or GCS server that is not Amazon's or Google's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024), regex(pattern = r"^https?://[^\s]+$"))]
    pub endpoint: Option<String>,
    /// Region of the S3 bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// PEM certificates of a private authority that signed the endpoint's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<ConfigMapKeyRef>,
    /// Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (s3://), or
    /// GOOGLE_SERVICE_ACCOUNT_KEY, a key file's JSON (gs://). Left out: the service account's own
    /// rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalRef>,
    /// Words of your own that go into the report.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub metadata: BTreeMap<String, String>,
    /// What is written beside report.json. Left out: Html, Chart, Csv and Requests. The formats of
    /// other tools are stored under `exports/`.
    #[serde(default = "all_formats")]
    #[schemars(length(max = 16))]
    pub formats: Vec<Format>,
}

/// Files written beside report.json and manifest.json.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Format {
    /// report.html: one page, readable without a network.
    Html,
    /// comparison.svg and comparison.png.
    Chart,
    /// summary.csv: one line per stage.
    Csv,
    /// requests.jsonl.zst: one line per request.
    Requests,
    /// The JSON of Google's inference-benchmark.
    Google,
    /// The JSON of `vllm bench serve`.
    Vllm,
    /// Benchmark Report v0.2.1 of llm-d-benchmark.
    LlmD,
    /// The lifecycle files of inference-perf.
    InferencePerf,
    /// AIPerf's profile export.
    Aiperf,
}

/// What an answer must keep to, to count as good.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// The latency that is judged.
    pub metric: ObjectiveMetric,
    /// Percentile of the stage that is judged in the report, such as 99. Goodput judges each request.
    #[serde(default = "p99")]
    #[schemars(range(min = 1.0, max = 100.0))]
    pub percentile: f64,
    /// The bound.
    pub less_than: Duration,
}

impl Objective {
    /// Answers from which the percentile is given: 10 / (1 - p), so that ten lie beyond it. The
    /// median and the greatest value need one.
    pub fn samples_needed(&self) -> u64 {
        if self.percentile <= 50.0 || self.percentile >= 100.0 {
            return 1;
        }
        // Half a sample of slack: 10 / (1 - 0.9) is 100.00000000000001 in binary.
        (10.0 / (1.0 - self.percentile / 100.0) - 0.5).ceil() as u64
    }
}

/// Latencies that an objective can bound.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ObjectiveMetric {
    /// Time to the first token.
    TimeToFirstToken,
    /// Mean time per token after the first.
    TimePerOutputToken,
    /// Time of the whole answer.
    RequestLatency,
}

/// How a run deals with order, failure and time.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Passes over all engines, each with engines started anew; the order is turned round each
    /// time, so that no engine always comes first.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10))]
    pub rounds: u32,
    /// What follows when an engine fails.
    #[serde(default)]
    pub on_engine_failure: OnEngineFailure,
    /// Deadlines, each with a reason of its own when it passes.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What the run may take.
    #[serde(default, skip_serializing_if = "Budget::is_open")]
    pub budget: Budget,
    /// Share of failed requests, 0 to 1, over which a stage is Invalid.
    #[serde(default = "default_error_rate")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_error_rate: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rounds: one(),
            on_engine_failure: OnEngineFailure::default(),
            timeouts: Timeouts::default(),
            budget: Budget::default(),
            max_error_rate: default_error_rate(),
        }
    }
}

/// What a run may take. What was measured until then is reported.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Hours of accelerators: each turn's time, from when its pod got a node until its engine was
    /// freed, times `hardware.accelerator.count`. The turn in which they are used up is cut, and
    /// later ones are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub accelerator_hours: Option<f64>,
    /// What external endpoints may cost by their `pricePerMillionTokens`, in the same currency. A run
    /// that may come to more is refused before its first request: all its requests, each with as many
    /// tokens as `workload.limits` allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000_000.0))]
    pub endpoint_cost: Option<f64>,
}

impl Budget {
    fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

/// What follows when an engine fails.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum OnEngineFailure {
    /// The next engine; the report names the failure.
    #[default]
    Continue,
    /// No further engine; the report holds what was measured.
    Abort,
}

/// Deadlines of the steps of a run.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From making a pod until it has a node; long enough for a pool that grows from zero. For the
    /// pods of preflight, runner and reporter, a third of it, and 2 minutes at least, is the time of
    /// faults that may pass once they have one.
    #[serde(default = "half_an_hour")]
    pub scheduling: Duration,
    /// Fetching the model, by `model.prefetch`.
    #[serde(default = "four_hours")]
    pub prefetch: Duration,
    /// From having a node until an engine is ready: image, weights, engine build. A third of it, and
    /// 2 minutes at least, is the time of faults that may pass: a registry that is away, a volume
    /// that is still attached elsewhere.
    #[serde(default = "half_an_hour")]
    pub ready: Duration,
    /// One stage.
    #[serde(default = "four_hours")]
    pub stage: Duration,
    /// Writing to the bucket, with retries.
    #[serde(default = "ten_minutes")]
    pub upload: Duration,
    /// The whole run.
    #[serde(default = "a_day")]
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            scheduling: half_an_hour(),
            prefetch: four_hours(),
            ready: half_an_hour(),
            stage: four_hours(),
            upload: ten_minutes(),
            total: a_day(),
        }
    }
}

/// What is removed, and when.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// Whether an engine's pod goes once its turn is over. A pod that stays keeps its accelerator
    /// until the run is deleted, so `Never` is for a run with one engine.
    #[serde(default)]
    pub engines: CleanupEngines,
    /// Time after the end at which the run itself is deleted. Never before its report is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<Duration>,
}

/// Whether an engine's pod goes once its turn is over.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum CleanupEngines {
    /// Always.
    #[default]
    Always,
    /// Only where it did not fail.
    OnSuccess,
    /// Never.
    Never,
}

fn one() -> u32 {
    1
}

fn p99() -> f64 {
    99.0
}

fn default_error_rate() -> f64 {
    0.01
}

fn all_formats() -> Vec<Format> {
    vec![Format::Html, Format::Chart, Format::Csv, Format::Requests]
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn half_an_hour() -> Duration {
    Duration::from_secs(1800)
}

fn four_hours() -> Duration {
    Duration::from_secs(4 * 3600)
}

fn a_day() -> Duration {
    Duration::from_secs(24 * 3600)
}
