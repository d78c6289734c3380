//! The pod that holds the node between two engines, so that no autoscaler takes it away.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::OwnerReference},
};

use super::{
    container::{pull_secrets, restricted_container, restricted_pod},
    labels, names,
    placement::placed_pod,
};
use crate::plan::Plan;

/// A pod on `node` that takes next to nothing and may not be evicted.
pub fn holder_pod(plan: &Plan, owner: &OwnerReference, node: &str) -> Pod {
    let little = BTreeMap::from([
        ("cpu".to_owned(), Quantity("1m".into())),
        ("memory".to_owned(), Quantity("16Mi".into())),
    ]);
    let container = Container {
        name: "holder".into(),
        image: Some(plan.runner_image.clone()),
        args: Some(vec!["agent".into(), "hold".into()]),
        resources: Some(ResourceRequirements {
            requests: Some(little),
            ..ResourceRequirements::default()
        }),
        security_context: Some(restricted_container()),
        ..Container::default()
    };
    let name = names::holder(&plan.run);
    let metadata = names::metadata(plan, owner, name, labels::COMPONENT_HOLDER, None);
    let mut metadata = names::queued(plan, metadata);
    metadata.annotations = Some(BTreeMap::from([(
        "cluster-autoscaler.kubernetes.io/safe-to-evict".into(),
        "false".into(),
    )]));
    Pod {
        metadata,
        spec: Some(PodSpec {
            containers: vec![container],
            security_context: Some(restricted_pod()),
            image_pull_secrets: pull_secrets(&plan.spec.runner.image_pull_secrets),
            ..placed_pod(&plan.spec.hardware, &[node])
        }),
        status: None,
    }
}
