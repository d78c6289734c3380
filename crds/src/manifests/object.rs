//! The object of an engine that is no lone Pod, with its pods' templates filled in.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{Turn, labels, names};
use crate::plan::{Plan, PlannedEngine, PlannedObject, object};

/// The object of one engine's turn. `pods` are the specs by name.
pub(super) fn engine_object(
    plan: &Plan,
    owner: &OwnerReference,
    turn: Turn,
    planned: &PlannedObject,
    pods: &BTreeMap<&str, PodSpec>,
) -> DynamicObject {
    let name = names::engine(plan, turn);
    let mut made = DynamicObject::new(&name, &planned.api());
    let metadata = names::metadata(plan, owner, name, labels::COMPONENT_ENGINE, Some(turn));
    made.metadata = names::queued(plan, metadata);
    made.data = filled(&planned.manifest, &|pod| {
        let spec = pods.get(pod)?;
        Some(json!(PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(pod_labels(plan, turn, pod)),
                annotations: Some(stays()),
                ..ObjectMeta::default()
            }),
            spec: Some(spec.clone()),
        }))
    });
    made
}

/// Labels of the pod that serves an engine, by which its Service and a Prometheus find it: those of
/// the turn where it is alone.
pub(super) fn serving_labels(
    plan: &Plan,
    turn: Turn,
    engine: &PlannedEngine,
) -> BTreeMap<String, String> {
    match engine.object() {
        Some(_) => pod_labels(plan, turn, object::SERVING_POD),
        None => names::labels(plan, labels::COMPONENT_ENGINE, Some(turn)),
    }
}

fn pod_labels(plan: &Plan, turn: Turn, pod: &str) -> BTreeMap<String, String> {
    let mut labels = names::labels(plan, labels::COMPONENT_ENGINE, Some(turn));
    labels.insert(labels::POD.to_owned(), pod.to_owned());
    labels.insert(labels::OBJECT.to_owned(), names::engine(plan, turn));
    labels
}

/// Moving an engine's pod would cost the measurement.
pub(super) fn stays() -> BTreeMap<String, String> {
    BTreeMap::from([(
        "cluster-autoscaler.kubernetes.io/safe-to-evict".into(),
        "false".into(),
    )])
}

/// The value with every stand-in for a pod template replaced.
fn filled(value: &Value, template: &impl Fn(&str) -> Option<Value>) -> Value {
    if let Some(pod) = object::pod_of(value).and_then(template) {
        return pod;
    }
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), filled(value, template)))
            .collect(),
        Value::Array(items) => items.iter().map(|value| filled(value, template)).collect(),
        plain => plain.clone(),
    }
}
