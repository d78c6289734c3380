//! Latencies of one request, in seconds, as `bakeoff_crds::report::StageReport` defines them. None
//! where a moment that it needs never came.

use super::requests::whole;
use crate::{
    clock::{self, Nanos},
    record::Record,
};

/// Those of all requests that succeeded.
pub(super) fn of_all(records: &[Record], latency: fn(&Record) -> Option<f64>) -> Vec<f64> {
    whole(records).filter_map(latency).collect()
}

/// Seconds from one moment to a later one.
pub(super) fn since(from: Nanos, to: Nanos) -> Option<f64> {
    to.checked_sub(from).map(clock::seconds)
}

/// First content, from sending.
pub(super) fn time_to_first_token(record: &Record) -> Option<f64> {
    since(record.sent?, record.first_content?)
}

/// First content, from when the request was due.
pub(super) fn time_to_first_token_scheduled(record: &Record) -> Option<f64> {
    since(record.due?, record.first_content?)
}

/// Last content, from when the request was due.
pub(super) fn request_latency_scheduled(record: &Record) -> Option<f64> {
    since(record.due?, record.last_content?)
}

/// Last content, from sending.
pub(super) fn request_latency(record: &Record) -> Option<f64> {
    since(record.sent?, record.last_content?)
}

/// (last content - first content) / (tokens - 1), for two tokens or more that did not come in one
/// piece. None for a request of several prompts: its answers overlap, and their tokens are counted
/// together.
pub(super) fn time_per_output_token(record: &Record) -> Option<f64> {
    let tokens = record.answer_tokens()?;
    if tokens < 2 || record.chunks < 2 || record.answers > 1 {
        return None;
    }
    Some(since(record.first_content?, record.last_content?)? / f64::from(tokens - 1))
}
