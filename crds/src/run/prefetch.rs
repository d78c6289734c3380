//! `model.prefetch`: the model fetched once into a volume that every engine mounts.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the model is kept, and how it comes there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.claimName) != has(self.size)")
    .message("set one of size, of a volume to be made, and claimName, of a claim that is there"))]
#[x_kube(validation = Rule::new("!has(self.claimName) || !has(self.storageClassName)")
    .message("storageClassName is for a volume to be made; remove it beside claimName"))]
#[x_kube(validation = Rule::new("!has(self.uri) || !has(self.files)")
    .message("files chooses among those of a repository, and a bucket's folder is fetched whole; remove files beside uri"))]
pub struct Prefetch {
    /// Size of the volume to be made, such as `50Gi`: of all files that are fetched, adapters' too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// Storage class of the volume to be made. Left out: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub storage_class_name: Option<String>,
    /// How the volume may be mounted. By ReadWriteMany the model is fetched on the runner's nodes,
    /// else on those of the engines: such a volume may belong to a zone, or to a node.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// What becomes of a volume that was made, once the run is deleted.
    #[serde(default)]
    pub retention: Retention,
    /// A claim that is there, in the run's namespace, to be filled in place of a new one. It is never
    /// removed, and may keep several models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub claim_name: Option<String>,
    /// A folder of a bucket, `gs://BUCKET/FOLDER` or `s3://BUCKET/FOLDER`, in place of the hub's
    /// repository. Endpoint, region and rights are those of `output`, where it is of the same kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 6, max = 1024),
        regex(pattern = r"^(gs|s3)://[a-z0-9][a-z0-9._-]{1,221}[a-z0-9](/[A-Za-z0-9._=/-]*)?$")
    )]
    pub uri: Option<String>,
    /// Files of the model's repository that are fetched; `*` stands for anything, slashes too. Left
    /// out: all but other formats' copies of weights that are there as safetensors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 256)))]
    pub files: Vec<String>,
}

/// How a volume may be mounted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, Hash)]
pub enum AccessMode {
    /// On one node at a time.
    #[default]
    ReadWriteOnce,
    /// On several nodes.
    ReadWriteMany,
}

impl AccessMode {
    /// As Kubernetes writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteMany => "ReadWriteMany",
        }
    }
}

/// What becomes of a volume once the run is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Retention {
    /// It is deleted too.
    #[default]
    Delete,
    /// It stays, and a later run of the same model, revision, source, size and storage class finds
    /// it filled.
    Retain,
}
