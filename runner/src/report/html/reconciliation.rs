//! Client against engine, as the page shows it.

use bakeoff_crds::report::{EngineReport, ReconciledMeasure, ReconciliationCheck};
use serde::Serialize;

use crate::report::format;

/// One figure that both sides have, over the stages.
#[derive(Debug, Serialize)]
pub struct ReconciliationRow {
    name: &'static str,
    cells: Vec<String>,
}

const MEASURES: [(ReconciledMeasure, &str); 4] = [
    (ReconciledMeasure::CompletedRequests, "Answered prompts"),
    (ReconciledMeasure::InputTokens, "Input tokens"),
    (ReconciledMeasure::OutputTokens, "Output tokens"),
    (
        ReconciledMeasure::TimeToFirstToken,
        "Mean time to first token",
    ),
];

/// The figures that any stage has from both sides.
pub fn rows(engine: &EngineReport) -> Vec<ReconciliationRow> {
    MEASURES
        .into_iter()
        .filter_map(|(measure, name)| {
            let of_stages: Vec<_> = engine
                .stages
                .iter()
                .map(|stage| {
                    stage
                        .reconciliation
                        .iter()
                        .find(|check| check.measure == measure)
                })
                .collect();
            of_stages
                .iter()
                .any(Option::is_some)
                .then(|| ReconciliationRow {
                    name,
                    cells: of_stages.into_iter().map(cell).collect(),
                })
        })
        .collect()
}

fn cell(check: Option<&ReconciliationCheck>) -> String {
    let Some(check) = check else {
        return "–".into();
    };
    let show = match check.measure {
        ReconciledMeasure::TimeToFirstToken => format::seconds,
        _ => format::number,
    };
    let verdict = if check.passed { "agree" } else { "DISAGREE" };
    let (engine, client) = (show(check.engine), show(check.client));
    format!("{verdict}: engine {engine}, client {client}")
}
