//! The steady parts of an engine's stages as the page shows them.

use bakeoff_crds::report::{Distribution, StageReport, SteadyRule};
use serde::Serialize;

use crate::report::format;

/// The steady part of one stage, or why there is none.
#[derive(Debug, Serialize)]
pub struct SteadyRow {
    label: String,
    /// Empty where there is no steady part.
    cells: Vec<String>,
    /// Why there is none; empty where there is one.
    reason: String,
}

/// A row for each stage that tells.
pub fn rows(stages: &[(String, &StageReport)]) -> Vec<SteadyRow> {
    stages
        .iter()
        .filter_map(|(label, stage)| row(label, stage))
        .collect()
}

fn row(label: &str, stage: &StageReport) -> Option<SteadyRow> {
    if let Some(none) = &stage.no_steady_state {
        return Some(SteadyRow {
            label: label.to_owned(),
            cells: Vec::new(),
            reason: format!("{:?}: {}", none.reason, none.message),
        });
    }
    let steady = stage.steady_state.as_ref()?;
    let percentile = |found: &Option<Distribution>, of: fn(&Distribution) -> Option<f64>| {
        let value = found.as_ref().and_then(of);
        value.map_or_else(|| "–".to_owned(), format::seconds)
    };
    let (first, latency) = (&steady.time_to_first_token, &steady.request_latency);
    let cells = vec![
        format::seconds(steady.start_seconds),
        format::seconds(steady.duration_seconds),
        match steady.rule {
            SteadyRule::InFlightAtTarget => "in flight at target",
            SteadyRule::InFlightSettled => "in flight settled",
        }
        .to_owned(),
        format::count(steady.requests),
        format::number(steady.throughput.requests_per_second),
        format::number(steady.throughput.output_tokens_per_second),
        percentile(first, |one| one.p50),
        percentile(first, |one| one.p99),
        percentile(latency, |one| one.p50),
        percentile(latency, |one| one.p99),
    ];
    Some(SteadyRow {
        label: label.to_owned(),
        cells,
        reason: String::new(),
    })
}
