//! Parts of a stage's requests as the page shows them: by model and by turn.

use bakeoff_crds::report::{Distribution, RequestGroup, StageReport};
use serde::Serialize;

use crate::report::format;

/// One part of one stage's requests.
#[derive(Debug, Serialize)]
pub struct GroupRow {
    label: String,
    name: String,
    cells: Vec<String>,
}

/// A row for each part of each stage.
pub fn rows(stages: &[(String, &StageReport)]) -> Vec<GroupRow> {
    let parts = |(label, stage): &(String, &StageReport)| {
        let models = stage.models.iter();
        let models = models.map(|group| row(label, group.name.clone(), group));
        let turns = stage.turns.iter();
        let turns = turns.map(|group| row(label, format!("{} turns", group.name), group));
        models.chain(turns).collect::<Vec<_>>()
    };
    stages.iter().flat_map(parts).collect()
}

fn row(label: &str, name: String, group: &RequestGroup) -> GroupRow {
    let of = |found: &Option<Distribution>, value: fn(&Distribution) -> Option<f64>| {
        let value = found.as_ref().and_then(value);
        value.map_or_else(|| "–".to_owned(), format::seconds)
    };
    let (first, latency) = (&group.time_to_first_token, &group.request_latency);
    GroupRow {
        label: label.to_owned(),
        name,
        cells: vec![
            format::count(group.sent),
            format::count(group.failed),
            of(first, |found| Some(found.mean)),
            of(first, |found| found.p50),
            of(first, |found| found.p99),
            of(latency, |found| Some(found.mean)),
            of(latency, |found| found.p50),
        ],
    }
}
