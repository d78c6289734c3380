//! Leaves out of objects what nothing here looks at, before they are kept.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Node, NodeSpec, NodeStatus, Pod, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// Who wrote which field, which is much.
pub fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
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
