//! `model.builds`: where engines that are built from the model keep what they built.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A volume for what engines build from the model, such as TensorRT engines. A later start that asks
/// for the same finds it there: in the next round, and in the next run that names the claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Builds {
    /// A claim that is there, in the run's namespace, writable on the engines' nodes. Nothing in it is
    /// ever removed by Bakeoff.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub claim_name: String,
}
