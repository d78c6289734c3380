//! One engine's part of the report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AcceleratorDevice, Probe, SearchReport, StageReport, Verdict};
use crate::{
    plan::Capabilities,
    run::{
        Price,
        status::{Neighbours, NodeFacts},
    },
};

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
    /// What it answered before its first stage, one entry per round in which it was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
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
    /// What `sweep.search` or `sweep.knee` found, one entry per round and repetition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searches: Vec<SearchReport>,
    /// Price of an hour of what it ran on, where the run names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// Price of a million tokens, for a paid endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_million_tokens: Option<Price>,
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
    /// Commit of the model's repository: as the engine tells, else as the hub resolved the revision
    /// in the preflight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_revision: Option<String>,
    /// Who told the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_revision_from: Option<RevisionSource>,
    /// Wire protocol of the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Address of an engine that was not deployed by the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Nodes that it ran on, one per round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// What those nodes are, as far as the operator may read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware: Vec<NodeFacts>,
    /// The accelerators that it had, over all rounds; empty where nobody told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<AcceleratorDevice>,
    /// Pods of others on those nodes while it was loaded, one entry per round in which they could
    /// be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<NodeNeighbours>,
}

/// Who told the commit of a model.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum RevisionSource {
    /// The engine, of what it serves.
    Engine,
    /// The hub, of what the revision stood for at the preflight.
    Hub,
    /// The volume that the model was fetched into, of what was fetched.
    Volume,
}

/// Pods of others on an engine's node in one round.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeNeighbours {
    /// Round, from 1.
    pub round: u32,
    /// Who they were.
    #[serde(flatten)]
    pub neighbours: Neighbours,
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
    /// Until its image was there: after volumes and network were set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pulled_seconds: Option<f64>,
    /// Whether the image was on the node before, so that nothing was pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_was_present: Option<bool>,
    /// What the run had done with the model's files on this node before; absent where the engine does
    /// not take them from a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_files: Option<ModelFiles>,
    /// What ran to its end in the pod before the engine started, such as the build of a TensorRT engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<ColdStartStep>,
    /// Until its container started: image pulled, volumes mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_started_seconds: Option<f64>,
    /// How long the loading of the weights took, as the engine tells of itself: it lies between the
    /// container's start and readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_loading_seconds: Option<f64>,
    /// Until it was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_seconds: Option<f64>,
    /// Until its first token came, by the runner's clock; the start of the runner's pod is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_seconds: Option<f64>,
    /// From the sending of the very first request to its first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_request_seconds: Option<f64>,
}

/// What ran to its end before an engine started.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ColdStartStep {
    /// Name of the init container.
    pub name: String,
    /// Until it started.
    pub started_seconds: f64,
    /// How long it ran, by whole seconds.
    pub seconds: f64,
    /// What it said at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a run had done with the model's files on a node before an engine read them. What earlier runs
/// left in the node's page cache it does not know.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum ModelFiles {
    /// Nothing.
    Cold,
    /// The Job that fetched the model wrote them there.
    JustFetched,
    /// An engine read them there.
    Warm,
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
