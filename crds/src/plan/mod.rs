//! `plan.json`: the fully resolved run, made once when a run is accepted and never changed after.
//!
//! Operator and runner meet here: the operator builds every object from it, and the pods read it
//! from a ConfigMap. Nothing in it is secret.

mod abilities;
mod builds;
mod container;
pub mod endpoint;
mod engine;
pub mod http;
pub mod object;
pub mod prefetch;
mod read;
pub mod resolve;
pub mod search;
pub mod stages;
pub mod traffic;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::validate::{Place, Problem, Problems};
pub use container::PlannedContainer;
pub use object::PlannedObject;
pub use prefetch::{PlannedPrefetch, PlannedRepository};
pub use read::UnreadablePlan;
pub use resolve::{PlanSettings, resolve};
pub use search::PlannedSearch;

pub use crate::profile::{
    Capabilities, CommonMetric, HttpCall, HttpMethod, PodSecurity, Series, SeriesKind,
};
use crate::{
    common::{Duration, SecretKeyRef},
    run::{Arrival, BenchmarkRunSpec, EngineEnv, HttpFormat, Price, Protocol, SimulatedEngine},
};

/// Version of the plan's schema.
pub const SCHEMA_VERSION: &str = "bakeoff.dev/plan/v1alpha1";

/// The fully resolved run.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`SCHEMA_VERSION`].
    pub schema_version: String,
    /// Whose plan it is.
    pub run: RunIdentity,
    /// The spec, defaults filled in.
    pub spec: BenchmarkRunSpec,
    /// Image of runner, preflight, reporter and simulated engines.
    pub runner_image: String,
    /// The engines, in the order of the spec.
    pub engines: Vec<PlannedEngine>,
    /// The stages of one repetition, in order. Where they are searched for, the first alone.
    pub stages: Vec<Stage>,
    /// How the stages after the first are found, where each engine takes others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<PlannedSearch>,
    /// What is fetched before the engines start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<PlannedPrefetch>,
    /// What the run cannot do quite as asked; goes into the report.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Plan {
    /// Most stages that one repetition can have: their number, where it is known before.
    pub fn stages_at_most(&self) -> u32 {
        match &self.search {
            Some(search) => search.stages_at_most(),
            None => u32::try_from(self.stages.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Name, namespace and UID of a run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RunIdentity {
    /// Name.
    pub name: String,
    /// Namespace; `local` without a cluster.
    pub namespace: String,
    /// UID; made up without a cluster.
    pub uid: String,
}

impl RunIdentity {
    /// Folder of the run under `output.uri`: `<namespace>/<run>-<uid8>`.
    pub fn folder(&self) -> String {
        format!("{}/{}-{}", self.namespace, self.name, self.uid8())
    }

    /// The first eight characters of the UID.
    pub fn uid8(&self) -> &str {
        self.uid.get(..8).unwrap_or(&self.uid)
    }
}

/// One engine, resolved.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedEngine {
    /// Name in the spec.
    pub name: String,
    /// Name of the profile, or `external`, or `simulated`.
    pub profile: String,
    /// Its name as its makers write it.
    pub display_name: String,
    /// How it comes to be.
    pub source: EngineSource,
    /// How requests are made.
    pub endpoint: Endpoint,
    /// What requests ask for, in the order of `workload.models`; empty where that is `model.id`
    /// alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<RequestedModel>,
    /// How it tells which model it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_check: Option<PlannedModelCheck>,
    /// How it tells its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<crate::profile::JsonField>,
    /// How it tells the commit of the model that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_revision: Option<crate::profile::JsonField>,
    /// The call that empties its prefix cache before each stage, where the run asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_reset: Option<HttpCall>,
    /// Its own metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<PlannedMetrics>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Things that a user should know of it.
    #[serde(default)]
    pub cautions: Vec<String>,
    /// In what it differs from the settings that hold for all.
    #[serde(default)]
    pub deviations: Vec<String>,
}

impl PlannedEngine {
    /// The object that it is, where it is no lone Pod.
    pub fn object(&self) -> Option<&PlannedObject> {
        match &self.source {
            EngineSource::Deployed(deployment) => deployment.object.as_ref(),
            EngineSource::External(_) | EngineSource::Simulated(_) => None,
        }
    }

    /// What its container calls a port: by our own name, unless its object's controller looks for the
    /// same port under another. A port has one name, or server-side apply refuses the container.
    pub fn port_name<'a>(&'a self, port: i32, own: &'a str) -> &'a str {
        let mut ports = self.object().into_iter().flat_map(|object| &object.ports);
        ports
            .find(|(_, number)| i32::from(**number) == port)
            .map_or(own, |(name, _)| name)
    }
}

/// How an engine comes to be.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::large_enum_variant)] // a plan holds sixteen at most
pub enum EngineSource {
    /// The run deploys it as a Pod.
    Deployed(Deployment),
    /// It is already there.
    External(ExternalEndpoint),
    /// It is Bakeoff's own simulator: a Pod of the runner's image in a cluster, else in the
    /// process.
    Simulated(SimulatedEngine),
}

fn yes() -> bool {
    true
}

/// The rendered containers of a deployed engine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Image.
    pub image: String,
    /// Command in place of the image's entrypoint; empty leaves it.
    pub command: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Environment of the profile.
    pub env: BTreeMap<String, String>,
    /// Whether it gets the accelerators, and not one of `containers`.
    #[serde(default = "yes")]
    pub accelerator: bool,
    /// Containers beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<PlannedContainer>,
    /// Containers that run to their end before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<PlannedContainer>,
    /// The object that it is, where it is no lone Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<PlannedObject>,
    /// Environment of the run's spec, after the profile's.
    pub extra_env: Vec<EngineEnv>,
    /// Files by path.
    pub files: BTreeMap<String, String>,
    /// Folder for the download of weights.
    pub cache_path: String,
    /// Folder in which its init containers keep what they build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_path: Option<String>,
    /// Least size of /dev/shm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory: Option<String>,
    /// Path of the readiness check, on the endpoint's port.
    pub readiness_path: String,
    /// Pod security level that it needs.
    pub pod_security: PodSecurity,
}

/// An endpoint that is already there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalEndpoint {
    /// Root of the server.
    pub url: String,
    /// API key, sent as a bearer token; reaches the runner as an environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// Price of a million tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_million_tokens: Option<Price>,
}

/// How requests are made.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Wire protocol.
    pub protocol: Protocol,
    /// Port of a deployed or simulated engine; 0 for an external one, whose URL holds it.
    pub port: u16,
    /// Path of the request.
    pub path: String,
    /// Name of the model in requests.
    pub model: String,
    /// Requests and answers of protocol `Http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpFormat>,
    /// Port of the requests of a deployed engine, where it is not `port`, on which everything else is
    /// asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_port: Option<u16>,
}

impl Endpoint {
    /// The format of a protocol that is data, or of the one over HTTP that a protocol by gRPC is the
    /// twin of: its own, or the one that comes with Bakeoff.
    pub fn format(&self) -> Option<HttpFormat> {
        self.http.clone().or_else(|| http::builtin(self.protocol))
    }

    /// Whether the server can stream its answers.
    pub fn can_stream(&self) -> bool {
        self.format().is_none_or(|format| format.answer.streams)
    }
}

/// A GET of JSON, with a place in it that must hold a value.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedModelCheck {
    /// Path.
    pub path: String,
    /// JSON pointer; `*` stands for every item of a list.
    pub pointer: String,
    /// Value that one of the places must hold.
    pub expect: String,
    /// Names of adapters that other places must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<String>,
}

/// A name that requests ask for, and its share of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RequestedModel {
    /// Name in the report: `model.id` or an adapter's.
    pub name: String,
    /// Requests for it, in proportion to the other weights.
    pub weight: u32,
    /// Name of the adapter in requests to this engine; none for the model itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
}

/// Where an engine's own metrics are, and their names.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedMetrics {
    /// Path.
    pub path: String,
    /// Port.
    pub port: u16,
    /// Interval of the runner's own scrape.
    #[serde(default)]
    pub interval: Duration,
    /// The engine's series by common name.
    pub series: BTreeMap<CommonMetric, Series>,
}

/// One stage of the sweep.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Unique name: `concurrency-8`, `rate-2`, `rate-0.5`, `burst`, `replay-1`, or as `sweep.stages` gives it.
    pub name: String,
    /// The load.
    pub load: Load,
    /// When it ends.
    pub end: StageEnd,
}

/// Load of a stage.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Closed or open loop.
    pub mode: LoadMode,
    /// Requests kept in flight, in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Requests a second, in an open loop; of a ramp, at its beginning; absent for a burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Requests a second at the end of a ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_rate: Option<f64>,
    /// How they are spread over time, in an open loop; absent for a burst.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Shape of Gamma arrivals; their gaps' coefficient of variation is 1 / √burstiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burstiness: Option<f64>,
    /// Speed of a replay, in times the trace's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_speed: Option<f64>,
}

impl Load {
    /// Whether all requests are due at once.
    pub fn is_burst(&self) -> bool {
        self.mode == LoadMode::Open && self.rate.is_none() && self.replay_speed.is_none()
    }

    /// How high the load is, among loads of one kind: the concurrency, the rate, or the speed of a
    /// replay. A burst has no height.
    pub fn level(&self) -> Option<f64> {
        let concurrency = self.concurrency.map(f64::from);
        concurrency.or(self.mean_rate()).or(self.replay_speed)
    }

    /// Requests a second on average over the stage: of a ramp, the middle.
    pub fn mean_rate(&self) -> Option<f64> {
        let rate = self.rate?;
        Some((rate + self.to_rate.unwrap_or(rate)) / 2.0)
    }
}

/// Closed or open loop.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum LoadMode {
    /// A new request when one ends.
    #[default]
    Closed,
    /// Requests at their time, whatever became of those before.
    Open,
}

/// When a stage ends.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum StageEnd {
    /// After so many requests.
    Requests(u64),
    /// No request is begun after so many seconds; those begun are waited for.
    Seconds(f64),
    /// After the last request of the trace.
    Trace,
}
