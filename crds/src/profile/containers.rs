//! Containers of an engine's pod beside its own.
//!
//! All have the engine's volumes, the model's token, the run's environment and the same security as
//! its own container. What happens to one of them happens to the engine: none is started anew.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A container beside the engine's own, for as long as it lives.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FurtherContainer {
    /// Its name in the pod and in evidence of failure.
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Image with tag or digest. Left out: the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Command in place of the image's entrypoint, each item a template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub command: Vec<String>,
    /// Arguments, each item a template, as those of the engine's own container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 2048)))]
    pub args: Vec<String>,
    /// Environment, each value a template. One that renders to nothing is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub env: BTreeMap<String, String>,
    /// Whether it runs the model: it gets the accelerators, `hardware.resources` and the further
    /// arguments of a run. One container of the pod does; set it to false in the engine's own.
    #[serde(default)]
    pub accelerator: bool,
    /// TCP port that opens once it can work; the pod is not ready before. Left out: it is ready as
    /// it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub ready_port: Option<u16>,
}

/// A container that runs to its end before the engine starts, such as a build or a conversion.
/// What it leaves in the cache's folder the engine finds there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct InitContainer {
    /// Its name in the pod and in evidence of failure.
    #[schemars(
        length(min = 1, max = 20),
        regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Image with tag or digest. Left out: the engine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Command in place of the image's entrypoint, each item a template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 1024)))]
    pub command: Vec<String>,
    /// Arguments, each item a template, as those of the engine's own container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 2048)))]
    pub args: Vec<String>,
    /// Environment, each value a template. One that renders to nothing is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub env: BTreeMap<String, String>,
    /// Whether it needs the accelerators, as the build of an engine does. It gives them back at its
    /// end, so the pod asks for no more of them.
    #[serde(default)]
    pub accelerator: bool,
}

impl InitContainer {
    /// The same as a container that never has to be ready.
    pub(crate) fn as_further(&self) -> FurtherContainer {
        FurtherContainer {
            name: self.name.clone(),
            image: self.image.clone(),
            command: self.command.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            accelerator: self.accelerator,
            ready_port: None,
        }
    }
}
