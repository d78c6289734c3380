//! The engines' own metrics as the page shows them.

use std::collections::BTreeMap;

use bakeoff_crds::report::{EngineMetric, EngineReport, MetricValue, StageReport};
use serde::Serialize;

use crate::report::format;

const GIBIBYTE: f64 = 1_073_741_824.0;

/// One of the engine's own metrics over the stages.
#[derive(Debug, Serialize)]
pub struct MetricRow {
    name: String,
    cells: Vec<String>,
}

/// The metrics of a stage that a table is of.
pub type Kind = fn(&StageReport) -> &BTreeMap<String, EngineMetric>;

/// The engine's own.
pub const OWN: Kind = |stage| &stage.engine_metrics;
/// Its hardware's.
pub const HARDWARE: Kind = |stage| &stage.resources;

fn metric_names(engine: &EngineReport, kind: Kind) -> Vec<&String> {
    let mut names: Vec<_> = engine
        .stages
        .iter()
        .flat_map(|stage| kind(stage).keys())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Metrics of which any stage has a value.
pub fn metrics(engine: &EngineReport, kind: Kind) -> Vec<MetricRow> {
    let has_value = |metric: &&EngineMetric| metric.direct.is_some() || metric.prometheus.is_some();
    metric_names(engine, kind)
        .into_iter()
        .filter_map(|name| {
            let found = |stage: &StageReport| kind(stage).get(name).filter(has_value).cloned();
            let cells: Vec<_> = engine.stages.iter().map(found).collect();
            cells.iter().any(Option::is_some).then(|| MetricRow {
                name: name.clone(),
                cells: cells
                    .iter()
                    .map(|cell| metric(name, cell.as_ref()))
                    .collect(),
            })
        })
        .collect()
}

fn metric(name: &str, metric: Option<&EngineMetric>) -> String {
    let Some(metric) = metric else {
        return "–".into();
    };
    let prometheus = metric
        .prometheus
        .as_ref()
        .map(|value| format!("Prometheus {}", value_of(name, value)));
    let direct = metric.direct.as_ref().map(|value| value_of(name, value));
    direct
        .into_iter()
        .chain(prometheus)
        .collect::<Vec<_>>()
        .join("; ")
}

fn value_of(name: &str, value: &MetricValue) -> String {
    let show = |number: f64| match name {
        "kvCacheUsage" | "gpuUtilization" => format::percent(number),
        name if name.ends_with("Share") => format::percent(number),
        name if name.ends_with("Bytes") => format!("{} GiB", format::number(number / GIBIBYTE)),
        name if name.ends_with("Hertz") => format!("{} MHz", format::number(number / 1e6)),
        "queueTime" | "timeToFirstToken" | "interTokenLatency" => format::seconds(number),
        _ => format::number(number),
    };
    match (value.mean, value.max, value.increase) {
        (Some(mean), Some(max), _) => format!("{}, at most {}", show(mean), show(max)),
        (Some(mean), None, Some(samples)) => {
            format!("{} over {}", show(mean), format::number(samples))
        }
        (Some(mean), None, None) => show(mean),
        (None, _, Some(increase)) => format!("+{}", format::number(increase)),
        (None, Some(max), None) => format!("at most {}", show(max)),
        (None, None, None) => "–".into(),
    }
}

/// Metrics that are absent, each with its reason.
pub fn absent(engine: &EngineReport, kind: Kind) -> Vec<(String, String)> {
    metric_names(engine, kind)
        .into_iter()
        .filter_map(|name| {
            let metrics = engine
                .stages
                .iter()
                .filter_map(|stage| kind(stage).get(name));
            let reason = metrics.filter_map(|metric| metric.absent.clone()).next()?;
            Some((name.clone(), reason))
        })
        .collect()
}

/// Energy per output token over the stages, as a row; empty where none is known.
pub fn energy(engine: &EngineReport) -> Option<MetricRow> {
    let of = |stage: &StageReport| stage.energy?.joules_per_output_token;
    let cells: Vec<_> = engine.stages.iter().map(of).collect();
    cells.iter().any(Option::is_some).then(|| MetricRow {
        name: "energy per output token".to_owned(),
        cells: cells
            .into_iter()
            .map(|cell| {
                cell.map_or_else(
                    || "–".into(),
                    |joules| format!("{} J", format::price(joules)),
                )
            })
            .collect(),
    })
}
