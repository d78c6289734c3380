//! What an engine's pod did before the engine itself started.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// An init container that ended well, such as the build of an engine.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StartStep {
    /// The container's name.
    pub name: String,
    /// When it started.
    pub start_time: Time,
    /// When it ended.
    pub end_time: Time,
    /// What it said at its end (its termination message), shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
