//! What the cluster showed of one run at one moment. Plain data: [`crate::observe`] fills it,
//! [`crate::decide`] reads it.

use bakeoff_crds::{
    manifests::{MonitoringApi, Turn, labels},
    plan::Plan,
    profile::ProfileSet,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use serde::Deserialize;

use crate::pod;

/// What the cluster showed of one run.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The stored plan, where there is one.
    pub plan: StoredPlan,
    /// Profiles to accept the run by; read only while it is not accepted.
    pub profiles: Option<ProfileSet>,
    /// EngineProfile objects that could not be read: name and error.
    pub unreadable_profiles: Vec<(String, String)>,
    /// Pods that carry the run's UID.
    pub pods: Vec<Pod>,
    /// Jobs that carry the run's UID.
    pub jobs: Vec<Job>,
    /// The pod-monitoring APIs that this cluster has.
    pub monitoring: Vec<MonitoringApi>,
    /// What the runner at work says of itself.
    pub progress: Option<Progress>,
}

/// The plan as it was when the run was accepted.
#[derive(Clone, Debug, Default)]
#[allow(clippy::large_enum_variant)] // one per reconcile
pub enum StoredPlan {
    /// There is no ConfigMap.
    #[default]
    Missing,
    /// There is one, and it holds no plan.
    Unreadable(String),
    /// The plan.
    Stored(Plan),
}

/// Answer of a runner's `/progress`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Repetition under way, from 1.
    pub repetition: u32,
    /// Name of the stage under way.
    pub stage: String,
    /// Stages done, repetitions counted one by one.
    pub stages_done: u32,
    /// Stages of the whole turn.
    pub stages_planned: u32,
}

impl Observed {
    /// Pods of one component.
    pub fn pods_of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods
            .iter()
            .filter(move |found| pod::label(found, labels::COMPONENT) == Some(component))
    }

    /// The pod of this name.
    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|found| pod::name(found) == name)
    }

    /// The Job of this name.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.jobs
            .iter()
            .find(|job| job.metadata.name.as_deref() == Some(name))
    }

    /// The pods of a Job, by its name.
    pub fn pods_of_job<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods
            .iter()
            .filter(move |found| pod::label(found, "batch.kubernetes.io/job-name") == Some(job))
    }

    /// The pod that makes load in this turn, while it runs.
    pub fn running_runner<'a>(&'a self, job: &'a str) -> Option<&'a Pod> {
        self.pods_of_job(job)
            .find(|found| !pod::has_ended(found) && !pod::is_deleting(found))
    }
}

/// Engine and round of a child, from its labels.
pub fn turn_of(pod: &Pod, plan: &Plan) -> Option<Turn> {
    let name = pod::label(pod, labels::ENGINE)?;
    let engine = plan.engines.iter().position(|engine| engine.name == name)?;
    let round = pod::label(pod, labels::ROUND)?.parse().ok()?;
    Some(Turn { engine, round })
}
