//! The engines' own metrics as the page shows them.

use bakeoff_crds::report::{EngineMetric, EngineReport, MetricValue, StageReport};
use serde::Serialize;

use crate::report::format;

/// One of the engine's own metrics over the stages.
#[derive(Debug, Serialize)]
pub struct MetricRow {
    name: String,
    cells: Vec<String>,
}

fn metric_names(engine: &EngineReport) -> Vec<&String> {
    let mut names: Vec<_> = engine
        .stages
        .iter()
        .flat_map(|stage| stage.engine_metrics.keys())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Metrics of which any stage has a value.
pub fn metrics(engine: &EngineReport) -> Vec<MetricRow> {
    let has_value = |metric: &&EngineMetric| metric.direct.is_some() || metric.prometheus.is_some();
    metric_names(engine)
        .into_iter()
        .filter_map(|name| {
            let found =
                |stage: &StageReport| stage.engine_metrics.get(name).filter(has_value).cloned();
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
        "kvCacheUsage" => format::percent(number),
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
pub fn absent(engine: &EngineReport) -> Vec<(String, String)> {
    metric_names(engine)
        .into_iter()
        .filter_map(|name| {
            let metrics = engine
                .stages
                .iter()
                .filter_map(|stage| stage.engine_metrics.get(name));
            let reason = metrics.filter_map(|metric| metric.absent.clone()).next()?;
            Some((name.clone(), reason))
        })
        .collect()
}
