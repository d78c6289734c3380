//! The Kubernetes objects of a plan, as pure functions: what the operator applies and what
//! `bakeoff plan` prints.

mod agent;
mod container;
mod engine;
mod engine_containers;
mod holder;
mod jobs;
mod model;
mod monitoring;
pub mod names;
mod object;
mod placement;
mod shards;
mod turns;

pub use agent::runner_requests;
pub use engine::{EngineObjects, Workload, engine_objects, engine_objects_on};
pub use holder::holder_pod;
pub use jobs::{
    LoadFacts, outcome_config_map, plan_config_map, preflight_job, reporter_job, runner_job,
};
pub use model::{model_claim, prefetch_job};
pub use monitoring::{MonitoringApi, pod_monitoring};
pub use shards::runner_service;
pub use turns::{Turn, gpu_hours_at_most, turns};

/// Labels of every object of a run.
pub mod labels {
    /// Who made it: always [`MANAGED_BY`].
    pub const MANAGED_BY_KEY: &str = "app.kubernetes.io/managed-by";
    /// Value of [`MANAGED_BY_KEY`].
    pub const MANAGED_BY: &str = "bakeoff";
    /// Name of the run.
    pub const RUN: &str = "bakeoff.dev/run";
    /// UID of the run.
    pub const RUN_UID: &str = "bakeoff.dev/run-uid";
    /// Name of the engine.
    pub const ENGINE: &str = "bakeoff.dev/engine";
    /// Round, from 1.
    pub const ROUND: &str = "bakeoff.dev/round";
    /// Which of an engine's pods it is, where the engine is no lone Pod: [`crate::plan::object::SERVING_POD`], or
    /// a name of the profile's `object.pods`.
    pub const POD: &str = "bakeoff.dev/pod";
    /// Name of the object whose controller made an engine's pod, where the engine is no lone Pod.
    pub const OBJECT: &str = "bakeoff.dev/object";
    /// One of the values below.
    pub const COMPONENT: &str = "bakeoff.dev/component";
    /// An engine's pod, service, files and monitoring.
    pub const COMPONENT_ENGINE: &str = "engine";
    /// The Job that loads an engine.
    pub const COMPONENT_RUNNER: &str = "runner";
    /// The Job that checks beforehand.
    pub const COMPONENT_PREFLIGHT: &str = "preflight";
    /// The Job that fetches the model.
    pub const COMPONENT_PREFETCH: &str = "prefetch";
    /// The claim of the model's volume.
    pub const COMPONENT_MODEL: &str = "model";
    /// Annotation of that claim: the model's id.
    pub const MODEL: &str = "bakeoff.dev/model";
    /// Annotation of that claim: the model's revision.
    pub const MODEL_REVISION: &str = "bakeoff.dev/model-revision";
    /// The queue of Kueue's that an object waits in.
    pub const QUEUE: &str = "kueue.x-k8s.io/queue-name";
    /// The Job that writes the report.
    pub const COMPONENT_REPORTER: &str = "reporter";
    /// The pod that holds the node.
    pub const COMPONENT_HOLDER: &str = "holder";
    /// Plan and outcome.
    pub const COMPONENT_PLAN: &str = "plan";
}

/// Port of a runner's progress and metrics.
pub const RUNNER_PORT: i32 = 9400;

/// Where the plan is mounted in our own pods.
pub const PLAN_PATH: &str = "/etc/bakeoff/plan.json";

/// Where the outcome is mounted in the reporter.
pub const OUTCOME_PATH: &str = "/etc/bakeoff-outcome/outcome.json";
