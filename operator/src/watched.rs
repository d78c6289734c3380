//! A run as its watch shows it: what tells whether to look, and how it is counted. The rest is read
//! when the run is looked at, so a thousand runs are held in well under a megabyte.

use std::borrow::Cow;

use bakeoff_crds::run::{BenchmarkRun, status::RunPhase};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, core::DeserializeGuard};
use serde::{Deserialize, Deserializer};

use crate::{idle::Version, metrics::RunKey};

/// A run as its watch shows it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Namespace, name, UID and resourceVersion; nothing else.
    metadata: ObjectMeta,
    /// Its phase, or why it cannot be read: one such run must not stop the others.
    pub phase: Result<RunPhase, String>,
}

impl Watched {
    /// Namespace and name.
    pub fn key(&self) -> RunKey {
        let metadata = &self.metadata;
        (
            metadata.namespace.clone().unwrap_or_default(),
            metadata.name.clone().unwrap_or_default(),
        )
    }

    /// UID and resourceVersion.
    pub fn version(&self) -> Version {
        Version::of(&self.metadata)
    }
}

impl From<DeserializeGuard<BenchmarkRun>> for Watched {
    fn from(guarded: DeserializeGuard<BenchmarkRun>) -> Self {
        let (metadata, phase) = match guarded.0 {
            Ok(run) => {
                let phase = run.status.as_ref().map(|status| status.phase);
                (run.metadata, Ok(phase.unwrap_or_default()))
            }
            Err(invalid) => (invalid.metadata, Err(invalid.error)),
        };
        Self {
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                ..ObjectMeta::default()
            },
            phase,
        }
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DeserializeGuard::<BenchmarkRun>::deserialize(deserializer).map(Self::from)
    }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        BenchmarkRun::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        BenchmarkRun::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        BenchmarkRun::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        BenchmarkRun::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_needed_is_let_go_and_what_cannot_be_read_is_told() {
        let spec = json!({
            "model": { "id": "demo/model" },
            "engines": [{ "name": "vllm", "profile": "vllm" }],
            "workload": { "prompts": { "inline": ["one"] }, "sweep": { "concurrency": [1] } },
            "output": { "uri": "s3://results" },
        });
        for (spec, phase) in [
            (spec, Some(RunPhase::Running)),
            (json!({ "model": 3 }), None),
        ] {
            let run: Watched = serde_json::from_value(json!({
                "apiVersion": "bakeoff.dev/v1alpha1", "kind": "BenchmarkRun",
                "metadata": { "name": "r", "namespace": "n", "uid": "u", "resourceVersion": "7",
                    "labels": { "a": "b" }, "annotations": { "c": "d" },
                    "managedFields": [{ "manager": "m" }] },
                "spec": spec, "status": { "phase": "Running" },
            }))
            .unwrap();
            assert_eq!(run.phase.ok(), phase);
            let kept = serde_json::to_value(&run.metadata).unwrap();
            let expected =
                json!({ "name": "r", "namespace": "n", "uid": "u", "resourceVersion": "7" });
            assert_eq!(kept, expected);
        }
    }
}
