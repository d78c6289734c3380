//! The rendered object of an engine that is no lone Pod.

use std::collections::BTreeMap;

use kube::core::{ApiResource, GroupVersionKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PlannedContainer;
use crate::profile::ObjectReadiness;

/// The key that stands for a pod template in an object's manifest.
pub const POD_TEMPLATE: &str = "$podTemplate";

/// Name of the pod that the profile's own containers make.
pub const SERVING_POD: &str = "engine";

/// The object, but for what depends on the turn: its name, its labels and its pods' templates.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// The kind in paths.
    pub resource: String,
    /// Its fields, with [`POD_TEMPLATE`] where pods are described.
    pub manifest: Value,
    /// Where it says that the engine can be loaded.
    pub readiness: ObjectReadiness,
    /// Whether the kubelet asks the engine's container too.
    pub probe: bool,
    /// Further ports of the engine's container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// Pods beside the one that serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PlannedContainer>,
}

impl PlannedObject {
    /// Group, version, kind and path.
    pub fn api(&self) -> ApiResource {
        let (group, version) = self
            .api_version
            .split_once('/')
            .unwrap_or(("", &self.api_version));
        let kind = GroupVersionKind::gvk(group, version, &self.kind);
        ApiResource::from_gvk_with_plural(&kind, &self.resource)
    }

    /// What keeps the manifest from being an object of this engine.
    pub(crate) fn fault(&self) -> Option<String> {
        let Value::Object(fields) = &self.manifest else {
            return Some("is no mapping; write spec and what is in it".into());
        };
        let ours = ["apiVersion", "kind", "metadata", "status"];
        if let Some(field) = ours.iter().find(|field| fields.contains_key(**field)) {
            return Some(format!("has {field}, which Bakeoff writes; remove it"));
        }
        let mut named = Vec::new();
        pods_in(&self.manifest, &mut named);
        let is_known =
            |name: &str| name == SERVING_POD || self.pods.iter().any(|pod| pod.name == name);
        if let Some(unknown) = named.iter().find(|name| !is_known(name)) {
            return Some(format!(
                "has {{{POD_TEMPLATE}: {unknown}}}, and no such pod is described; name {SERVING_POD} or one of object.pods"
            ));
        }
        match named.iter().filter(|name| *name == SERVING_POD).count() {
            1 => None,
            count => Some(format!(
                "has {{{POD_TEMPLATE}: {SERVING_POD}}} {count} times; write it once, where the pod that serves is described"
            )),
        }
    }
}

/// The pod that a value stands for, where it does for one.
pub(crate) fn pod_of(value: &Value) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(POD_TEMPLATE)?.as_str()
}

fn pods_in(value: &Value, named: &mut Vec<String>) {
    match value {
        _ if pod_of(value).is_some() => named.extend(pod_of(value).map(str::to_owned)),
        Value::Object(fields) => fields.values().for_each(|value| pods_in(value, named)),
        Value::Array(items) => items.iter().for_each(|value| pods_in(value, named)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(manifest: Value) -> String {
        let object = PlannedObject {
            manifest,
            pods: vec![PlannedContainer {
                name: "worker".into(),
                ..PlannedContainer::default()
            }],
            ..PlannedObject::default()
        };
        object.fault().unwrap_or_default()
    }

    #[test]
    fn a_manifest_describes_the_serving_pod_once_and_no_unknown_one() {
        let serving = json!({ POD_TEMPLATE: "engine" });
        assert_eq!(fault(json!({"spec": {"template": serving}})), "");
        assert_eq!(
            fault(json!({"spec": [serving, {"a": [{ POD_TEMPLATE: "worker" }]}]})),
            ""
        );
        for (manifest, says) in [
            (json!([]), "is no mapping"),
            (json!({"metadata": {}, "spec": serving}), "has metadata"),
            (json!({"spec": {}}), "engine} 0 times"),
            (json!({"spec": [serving, serving]}), "engine} 2 times"),
            (
                json!({"spec": [serving, { POD_TEMPLATE: "other" }]}),
                "no such pod",
            ),
        ] {
            let told = fault(manifest);
            assert!(told.contains(says), "{told}");
        }
    }

    #[test]
    fn the_kind_has_the_path_that_the_profile_gives() {
        let object = PlannedObject {
            api_version: "leaderworkerset.x-k8s.io/v1".into(),
            kind: "LeaderWorkerSet".into(),
            resource: "leaderworkersets".into(),
            ..PlannedObject::default()
        };
        let api = object.api();
        assert_eq!(
            (
                api.group.as_str(),
                api.version.as_str(),
                api.plural.as_str()
            ),
            ("leaderworkerset.x-k8s.io", "v1", "leaderworkersets")
        );
    }
}
