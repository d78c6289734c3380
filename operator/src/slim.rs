//! Leaves out of objects what nothing here looks at, before they are kept.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{
            Container, Node, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus, PodTemplateSpec,
        },
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// Who wrote which field, which is much.
pub fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
}

/// A run's own pod, as it is kept between looks: where it is and how it fares, not what it is made of.
pub fn own_pod(found: &mut Pod) {
    let Some(spec) = found.spec.take() else {
        return;
    };
    let named = |container: Container| Container {
        name: container.name,
        ..Container::default()
    };
    found.spec = Some(PodSpec {
        containers: spec.containers.into_iter().map(named).collect(),
        node_name: spec.node_name,
        scheduling_gates: spec.scheduling_gates,
        ..PodSpec::default()
    });
}

/// A run's own Job, the same way.
pub fn own_job(found: &mut Job) {
    if let Some(spec) = &mut found.spec {
        spec.template = PodTemplateSpec::default();
    }
}

/// Another's pod: whose it is, and what it requests.
pub fn tenant(found: Pod) -> Pod {
    let spec = found.spec.map(|spec| PodSpec {
        containers: spec
            .containers
            .into_iter()
            .map(|container| Container {
                resources: container.resources,
                ..Container::default()
            })
            .collect(),
        priority_class_name: spec.priority_class_name,
        ..PodSpec::default()
    });
    let phase = found.status.and_then(|status| status.phase);
    Pod {
        metadata: ObjectMeta {
            managed_fields: None,
            ..found.metadata
        },
        spec,
        status: Some(PodStatus {
            phase,
            ..PodStatus::default()
        }),
    }
}

/// A node: what places pods on it.
pub fn node(found: Node) -> Node {
    let metadata = found.metadata;
    let spec = found.spec.map(|spec| NodeSpec {
        taints: spec.taints,
        unschedulable: spec.unschedulable,
        ..NodeSpec::default()
    });
    let allocatable: Option<BTreeMap<_, _>> = found.status.and_then(|status| status.allocatable);
    Node {
        metadata: ObjectMeta {
            name: metadata.name,
            labels: metadata.labels,
            ..ObjectMeta::default()
        },
        spec,
        status: Some(NodeStatus {
            allocatable,
            ..NodeStatus::default()
        }),
    }
}
