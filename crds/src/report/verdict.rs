//! Whether figures can be trusted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::status::VerdictStatus;

/// Whether figures can be trusted, and why not.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The verdict.
    pub status: VerdictStatus,
    /// Why it is not Valid; empty where it is.
    #[serde(default)]
    pub reasons: Vec<VerdictReason>,
}

/// One reason of a verdict.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VerdictReason {
    /// One word, such as `ScheduleDelay` or `ErrorRateExceeded`.
    pub reason: String,
    /// What was seen, with figures.
    pub message: String,
    /// How bad this one is.
    pub status: VerdictStatus,
}

impl Verdict {
    /// The verdict that follows from its reasons: the worst of them, Valid where there is none.
    pub fn of(reasons: Vec<VerdictReason>) -> Self {
        let status = reasons
            .iter()
            .map(|reason| reason.status)
            .max()
            .unwrap_or_default();
        Self { status, reasons }
    }
}
