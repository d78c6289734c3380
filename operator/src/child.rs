//! The objects of a run in the cluster, whatever their kind.

use bakeoff_crds::manifests::MonitoringApi;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
};
use kube::core::{ApiResource, DynamicObject};

/// An object that is to be there.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // a handful per reconcile
pub enum Child {
    /// Plan, outcome or an engine's files.
    ConfigMap(ConfigMap),
    /// An engine's address.
    Service(Service),
    /// What has a Prometheus scrape an engine.
    Monitoring(MonitoringApi, DynamicObject),
    /// The volume of the model.
    PersistentVolumeClaim(PersistentVolumeClaim),
    /// Preflight, prefetch, runner or reporter.
    Job(Job),
    /// An engine, or the node's holder.
    Pod(Pod),
    /// An engine that is no lone Pod.
    Object(ApiResource, DynamicObject),
}

impl Child {
    /// Name of the object.
    pub fn name(&self) -> &str {
        let metadata = match self {
            Self::ConfigMap(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::Monitoring(_, object) => &object.metadata,
            Self::PersistentVolumeClaim(object) => &object.metadata,
            Self::Job(object) => &object.metadata,
            Self::Pod(object) => &object.metadata,
            Self::Object(_, object) => &object.metadata,
        };
        metadata.name.as_deref().unwrap_or_default()
    }

    /// Kind and name, for logs and messages.
    pub fn describe(&self) -> String {
        let kind = match self {
            Self::ConfigMap(_) => ChildKind::ConfigMap,
            Self::Service(_) => ChildKind::Service,
            Self::Monitoring(api, _) => ChildKind::Monitoring(*api),
            // Never deleted by the operator: its owner takes it along, or it stays.
            Self::PersistentVolumeClaim(_) => {
                return format!("PersistentVolumeClaim {}", self.name());
            }
            Self::Job(_) => ChildKind::Job,
            Self::Pod(_) => ChildKind::Pod,
            Self::Object(api, _) => ChildKind::Object(api.clone()),
        };
        format!("{} {}", kind.name(), self.name())
    }
}

/// Kinds that are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// An engine's files.
    ConfigMap,
    /// An engine's address.
    Service,
    /// What has a Prometheus scrape an engine.
    Monitoring(MonitoringApi),
    /// Preflight, runner or reporter.
    Job,
    /// An engine, or the node's holder.
    Pod,
    /// An engine that is no lone Pod.
    Object(ApiResource),
    /// The run itself, when its time to live is over.
    Run,
}

impl ChildKind {
    /// The kind, as Kubernetes writes it.
    pub fn name(&self) -> &str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Service => "Service",
            Self::Monitoring(MonitoringApi::GoogleManaged) => "PodMonitoring",
            Self::Monitoring(MonitoringApi::PrometheusOperator) => "PodMonitor",
            Self::Job => "Job",
            Self::Pod => "Pod",
            Self::Object(api) => &api.kind,
            Self::Run => "BenchmarkRun",
        }
    }
}

/// An object that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildRef {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name, in the run's namespace.
    pub name: String,
    /// Its UID, where it was seen: another object of the same name is left alone.
    pub uid: Option<String>,
}
