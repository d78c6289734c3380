//! An engine that is another object than a Pod: its controller makes the pods.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FurtherContainer;

/// The object that stands for an engine, and where it says that it is ready. Everything else of the
/// profile describes its pods as it would describe a lone Pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.pods) || self.pods.all(p, p.name != 'engine')")
    .message("engine is the name of the pod that the profile's own containers make; call further pods otherwise"))]
#[x_kube(validation = Rule::new(
    "!has(self.ports) || self.ports.all(n, n.matches('^[a-z]([-a-z0-9]{0,13}[a-z0-9])?$') && self.ports.exists_one(m, self.ports[m] == self.ports[n]))")
    .message("ports are names of at most 15 small letters, digits and dashes, each of a port of its own"))]
pub struct EngineObject {
    /// Group and version, such as `ray.io/v1`.
    #[schemars(
        length(min = 4, max = 253),
        regex(pattern = r"^[a-z0-9][-a-z0-9.]*/v[0-9]+((alpha|beta)[0-9]+)?$")
    )]
    pub api_version: String,
    /// Kind, such as `RayService`. Its objects are namespaced.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// The kind as paths and rights name it, such as `rayservices`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z][a-z0-9]*$"))]
    pub resource: String,
    /// All of the object but `apiVersion`, `kind`, `metadata` and `status`: YAML, and a template as that of a
    /// `.yaml` file. `{$podTemplate: engine}` in it becomes the pod template with the profile's own
    /// containers, `{$podTemplate: NAME}` that of one of `pods`.
    #[schemars(length(min = 1, max = 32_768))]
    pub manifest: String,
    /// Where the object says that the engine can be loaded.
    pub readiness: ObjectReadiness,
    /// Whether the kubelet asks the engine's container by the profile's `readiness` too. False where
    /// the controller waits for ready pods before it starts what would answer.
    #[serde(default = "super::yes")]
    pub probe: bool,
    /// Ports of the engine's container by name, where the controller looks for them; one that the
    /// profile has elsewhere goes by this name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub ports: BTreeMap<String, PortNumber>,
    /// Pods of other kinds beside the one that serves, such as workers on further nodes, each of one
    /// container. They have the engine's volumes, token and security.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub pods: Vec<FurtherContainer>,
}

/// A port's number.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(transparent)]
pub struct PortNumber(#[schemars(range(min = 1, max = 65_535))] pub u16);

/// Where an object says that it is ready: a condition that is True, or a value at a place.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.condition) != has(self.pointer)")
    .message("give either condition, a type in status.conditions that must be True, or pointer and value"))]
#[x_kube(validation = Rule::new("has(self.pointer) == has(self.value)")
    .message("pointer says where, value says what must be there; give both"))]
pub struct ObjectReadiness {
    /// Type of a condition in `status.conditions` that must be `True`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 316))]
    pub condition: Option<String>,
    /// JSON pointer to a value, such as `/status/readyReplicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^/.*$"))]
    pub pointer: Option<String>,
    /// The value that must be there, numbers and booleans as they are written in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub value: Option<String>,
}
