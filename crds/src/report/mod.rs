//! `report.json`: the result of a run. Times in seconds, as numbers.
//!
//! Definitions of the latencies follow the field's use: see each field.

mod accelerator;
mod answers;
mod cache;
mod client;
mod comparison;
mod cost;
mod distribution;
mod energy;
mod engine;
mod fairness;
mod goodput;
mod group;
mod interval;
mod metrics;
mod probe;
mod reconciliation;
mod retry_after;
mod search;
mod shard;
mod stage;
mod steady;
mod verdict;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    accelerator::AcceleratorDevice,
    answers::{Agreement, OutputSanity, Quality, QualityDifference},
    cache::{CacheReport, CacheReset},
    client::{ClientReport, NetworkReport, ReceiveBacklog},
    comparison::{Basis, Best, Comparison, Difference},
    cost::{Cost, CostBasis},
    distribution::{Distribution, TokenDistribution},
    energy::{Energy, EnergySource},
    engine::{
        ColdStart, ColdStartStep, EngineFailure, EngineReport, ModelFiles, NodeNeighbours,
        Provenance, RevisionSource,
    },
    fairness::{Fairness, FairnessCheck, FairnessCheckKind, FairnessFinding, FairnessStatus},
    goodput::{Goodput, ObjectiveResult},
    group::RequestGroup,
    interval::{Interval, IntervalMethod},
    metrics::{EngineMetric, MetricValue},
    probe::{Probe, ProbeAnswer, ProbeBegin, ProbeQuestion},
    reconciliation::{MetricSource, ReconciledMeasure, ReconciliationCheck},
    retry_after::RetryAfter,
    search::{SearchEnd, SearchGoal, SearchReport},
    shard::ShardReport,
    stage::{Requests, StageReport, Throughput, TokenCountSource, Window},
    steady::{NoSteadyReason, NoSteadyState, SteadyRule, SteadyState},
    verdict::{Verdict, VerdictReason},
};
use crate::{
    plan::RunIdentity,
    run::status::{ModelVolume, RoundRestart},
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
    /// Whether all engines were measured under the same conditions.
    #[serde(default)]
    pub fairness: Fairness,
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
    /// The volume that the model was fetched into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_volume: Option<ModelVolume>,
    /// Rounds that began anew on another node; what was measured of them before counts for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<RoundRestart>,
}
