//! What the cluster showed of one run at one moment. Plain data: [`crate::observe`] fills it,
//! [`crate::decide`] reads it.

use std::{collections::BTreeMap, sync::Arc};

use bakeoff_crds::{
    manifests::{MonitoringApi, labels},
    plan::{Plan, object::SERVING_POD},
    profile::ProfileSet,
    run::status::{Neighbours, NodeFacts},
};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    jiff::Timestamp,
};
use kube::core::{ApiResource, DynamicObject};
use serde::Deserialize;

use crate::{pod, room::Listed};

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
    /// The objects that engines are, where they are no lone Pods, with the run's UID.
    pub objects: Vec<FoundObject>,
    /// Kinds of such objects that could not be listed.
    pub unusable_kinds: Vec<UnusableKind>,
    /// The pod-monitoring APIs that this cluster has.
    pub monitoring: Vec<MonitoringApi>,
    /// What the runner at work, or the Job that fetches the model, says of itself.
    pub progress: Option<Progress>,
    /// The nodes of the run's pods, by name; those that could not be read are left out.
    pub nodes: BTreeMap<String, NodeState>,
    /// What those nodes are.
    pub node_facts: BTreeMap<String, NodeFacts>,
    /// When the images of engines' pods were there, by the pods' UIDs.
    pub pulls: BTreeMap<String, ImagePull>,
    /// What is said against the volumes of pods that do not start, what the autoscaler says of those
    /// that wait for a node, and why a Job got no pod; by the UIDs of pods and Jobs.
    pub pod_troubles: BTreeMap<String, String>,
    /// The nodes that engines could go to, while no engine has begun; `None` where they were not, or
    /// could not be, listed.
    pub room: Option<Arc<Listed>>,
    /// Pods of others on the node of the engine that is under load; `None` where they were not, or
    /// could not be, listed.
    pub neighbours: Option<Neighbours>,
}

/// An object of a kind that only a profile knows.
#[derive(Clone, Debug)]
pub struct FoundObject {
    /// Its kind.
    pub api: ApiResource,
    /// The object.
    pub object: DynamicObject,
}

impl FoundObject {
    /// Its name.
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
    }
}

/// A kind that an engine of the plan needs, and that could not be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKind {
    /// The kind.
    pub api: ApiResource,
    /// Why not.
    pub why: Unusable,
}

/// Why a kind could not be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The API server has no such kind.
    NotInstalled,
    /// The operator has no right on it.
    Forbidden,
}

/// When a pod's image was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagePull {
    /// By the kubelet's event.
    pub at: Timestamp,
    /// Whether it was on the node before.
    pub was_present: bool,
}

/// What became of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Its kubelet answers.
    Ready,
    /// Its kubelet has not been heard of.
    NotReady,
    /// There is no such node any more.
    Missing,
}

/// The plan as it was when the run was accepted.
#[derive(Clone, Debug, Default)]
pub enum StoredPlan {
    /// There is no ConfigMap.
    #[default]
    Missing,
    /// There is one, and it holds no plan.
    Unreadable(String),
    /// The plan.
    Stored(Arc<Plan>),
}

/// Answer of `/progress` of a runner, or of the Job that fetches the model.
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
    /// Runner pods that shard 0 misses, where several act as one.
    pub shards_missing: Vec<u32>,
    /// Of the Job that fetches the model: bytes in the volume.
    pub bytes_done: u64,
    /// Bytes of the files that it has listed; 0 before that.
    pub bytes_planned: u64,
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

    /// The object of this name that an engine is.
    pub fn object(&self, name: &str) -> Option<&FoundObject> {
        self.objects.iter().find(|found| found.name() == name)
    }

    /// The pods that an object's controller made, by the object's name; the one that serves first.
    pub fn pods_of_object(&self, object: &str) -> Vec<&Pod> {
        let mut pods: Vec<&Pod> = self
            .pods
            .iter()
            .filter(|found| pod::label(found, labels::OBJECT) == Some(object))
            .collect();
        pods.sort_by_key(|found| {
            let serves = pod::label(found, labels::POD) == Some(SERVING_POD);
            // One that goes is not the one that counts, where its like is there.
            (
                !serves,
                pod::is_deleting(found),
                pod::name(found).to_owned(),
            )
        });
        pods
    }

    /// Why a kind cannot be used, where it could not be listed.
    pub fn unusable(&self, api: &ApiResource) -> Option<Unusable> {
        let mut kinds = self.unusable_kinds.iter();
        kinds.find(|kind| kind.api == *api).map(|kind| kind.why)
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

    /// What is said against the volumes of this pod, or of the node that it waits for.
    pub fn pod_trouble(&self, found: &Pod) -> Option<&str> {
        self.trouble(pod::uid(found))
    }

    /// What is said against the pod or the Job of this UID.
    pub fn trouble(&self, uid: &str) -> Option<&str> {
        self.pod_troubles.get(uid).map(String::as_str)
    }

    /// Whether a pod is as good as gone: it is to go, and nobody is left on its node who could tell
    /// that it went. What it held belongs to a node that nothing new is placed on.
    pub fn is_lost(&self, found: &Pod) -> bool {
        let node = pod::node(found).and_then(|node| self.nodes.get(node));
        pod::is_deleting(found) && matches!(node, Some(NodeState::NotReady | NodeState::Missing))
    }

    /// The pod that makes load in this turn, while it runs; of several the first, which leads.
    pub fn running_runner<'a>(&'a self, job: &'a str) -> Option<&'a Pod> {
        self.pods_of_job(job)
            .find(|found| leads(found) && !pod::has_ended(found) && !pod::is_deleting(found))
    }
}

/// Whether a pod of a Job is the only one or the first of several.
pub fn leads(pod: &Pod) -> bool {
    pod::index(pod).is_none_or(|index| index == 0)
}
