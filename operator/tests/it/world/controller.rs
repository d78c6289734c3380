//! The part of a controller that makes an engine's pods and says in its object when it is ready: of a
//! RayService by a condition, of a LeaderWorkerSet by the number of its ready groups.

use bakeoff_crds::manifests::labels;
use bakeoff_operator::pod;
use k8s_openapi::{
    api::core::v1::{Pod, PodStatus, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use serde_json::{Value, json};

use super::World;

/// What the controller of engines' objects does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Its part.
    Works,
    /// Makes the pods, and never says that the engine is ready.
    NeverSaysReady,
    /// Nothing.
    IsAway,
}

/// Templates of pods in an object, in their order.
fn templates(value: &Value, found: &mut Vec<PodTemplateSpec>) {
    match value {
        Value::Object(fields) if value.pointer("/spec/containers").is_some() => {
            found.push(serde_json::from_value(Value::Object(fields.clone())).unwrap());
        }
        Value::Object(fields) => fields.values().for_each(|value| templates(value, found)),
        Value::Array(items) => items.iter().for_each(|value| templates(value, found)),
        _ => {}
    }
}

impl World {
    /// Makes the pods of new objects; says that the engine is ready once all its pods are.
    pub(super) fn controller_acts(&mut self) {
        if self.controller == Controller::IsAway {
            return;
        }
        let now = Time(self.now);
        let mut made = Vec::new();
        for found in &mut self.observed.objects {
            let name = found.name().to_owned();
            if found.is_deleting() {
                continue;
            }
            let of_object = |pod: &&Pod| pod::label(pod, labels::OBJECT) == Some(name.as_str());
            let pods: Vec<_> = self.observed.pods.iter().filter(of_object).collect();
            if pods.is_empty() && found.object.data.get("status").is_none() {
                found.object.data["status"] = json!({ "readyReplicas": 0 });
                let mut specs = Vec::new();
                templates(&found.object.data, &mut specs);
                for (index, template) in specs.into_iter().enumerate() {
                    self.made += 1;
                    made.push(Pod {
                        metadata: ObjectMeta {
                            name: Some(format!("{name}-{index}")),
                            uid: Some(format!("uid-of-{name}-{index}-{}", self.made)),
                            creation_timestamp: Some(now.clone()),
                            labels: template.metadata.unwrap().labels,
                            ..ObjectMeta::default()
                        },
                        spec: template.spec,
                        status: Some(PodStatus::default()),
                    });
                }
            } else if !pods.is_empty()
                && pods.iter().all(|pod| pod::ready_at(pod).is_some())
                && self.controller == Controller::Works
            {
                found.object.data["status"] = json!({
                    "readyReplicas": 1,
                    "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": now }],
                });
            }
        }
        self.observed.pods.extend(made);
    }

    /// The node of one of several pods of an engine: each has its own.
    pub(super) fn node_of_part(&self, name: &str) -> Option<String> {
        let found = self.observed.pod(name)?;
        let object = pod::label(found, labels::OBJECT)?;
        let index = name.strip_prefix(object)?.trim_start_matches('-');
        let round = self.status().restarts.len();
        Some(format!(
            "gpu-{}",
            1 + 10 * round + index.parse::<usize>().ok()?
        ))
    }
}
