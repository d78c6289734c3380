//! The part of a stage in which the load was steady.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Interval, Throughput};

/// Figures of the part of a stage between its ramp and its tail. Latencies are of requests that
/// were sent within it and answered whole, whenever that was.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SteadyState {
    /// How it was found.
    pub rule: SteadyRule,
    /// Its beginning, in seconds after the beginning of the stage's window.
    pub start_seconds: f64,
    /// Its length.
    pub duration_seconds: f64,
    /// Requests that were sent within it and answered whole.
    pub requests: u64,
    /// Requests that were sent within it and failed.
    pub failed: u64,
    /// First content of the answer, from sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<Distribution>,
    /// First content of the answer, from the time at which the request was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token_scheduled: Option<Distribution>,
    /// Per request: (last content - first content) / (output tokens - 1), for two tokens or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_per_output_token: Option<Distribution>,
    /// Last content of the answer, from sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_latency: Option<Distribution>,
    /// Last content of the answer, from the time at which the request was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_latency_scheduled: Option<Distribution>,
    /// Rates over the window: of every request that was answered whole, the part that lies within
    /// it. Tokens after the first are taken as evenly spread between first and last content.
    pub throughput: Throughput,
    /// How sure the figures are by this one window alone, by their names in `comparison.best`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intervals: BTreeMap<String, Interval>,
}

/// How a steady-state window was found.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum SteadyRule {
    /// Closed loop: from when the number in flight first reached the concurrency, without the
    /// beginning that MSER-5 takes off the requests' times to first token, until the last request
    /// was sent.
    InFlightAtTarget,
    /// Open loop: without the beginning that MSER-5 takes off the number in flight, until the last
    /// request was due.
    InFlightSettled,
}

/// Why a stage has no steady-state window.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NoSteadyState {
    /// In one word.
    pub reason: NoSteadyReason,
    /// What was seen, with figures.
    pub message: String,
}

/// Why a stage has no steady-state window, in one word.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum NoSteadyReason {
    /// Too few requests or too little time are left of it.
    TooShort,
    /// A closed loop never had as many requests in flight as it should.
    TargetNotReached,
    /// Requests came faster than they were answered: the number in flight and the latencies grew
    /// for as long as the stage lasted, so that latencies say more of its length than of the engine.
    Saturated,
    /// Open loop: the arrivals themselves were not even, as of a burst or a ramp.
    UnsteadyLoad,
}
