//! Which accelerators an engine had.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One accelerator, as its exporter tells of it.
#[derive(
    Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord,
)]
#[serde(rename_all = "camelCase")]
pub struct AcceleratorDevice {
    /// What tells it from every other, such as `GPU-5a5f3c4e-9a3d-0c1e-5d6c-1a2b3c4d5e6f`.
    pub uuid: String,
    /// Its product, such as `NVIDIA L4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Version of its driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}
