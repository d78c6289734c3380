//! The chart's Grafana dashboards: every query of theirs is asked of a real Prometheus that scrapes the
//! operator's own page, the pages of simulated engines under the profiles' names, a runner's, and an
//! exporter's and a kubelet's as they write them.
//!
//! It needs no cluster, but Prometheus' binary: `cargo e2e test` builds it and sets
//! `BAKEOFF_PROMETHEUS`. Without it, only what can be said without one is checked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod board;
#[path = "../../../runner/tests/prometheus/exporter.rs"]
mod exporter;
mod pages;
#[path = "../../../runner/tests/prometheus/server.rs"]
mod server;

use std::{collections::BTreeSet, time::Duration};

use bakeoff_crds::{plan::CommonMetric, profile::ProfileSet};
use board::{Board, Query};
use serde_json::Value;
use server::Server;

/// How often the Prometheus of the test scrapes.
const INTERVAL: Duration = Duration::from_millis(200);

/// Panels of the runs' dashboard that show what profiles map, by the metric.
const PANELS: [(CommonMetric, &str); 14] = [
    (CommonMetric::Running, "Requests that the engine works on"),
    (CommonMetric::Waiting, "Requests that wait in the engine"),
    (CommonMetric::KvCacheUsage, "KV cache in use"),
    (CommonMetric::BatchSize, "Sequences or tokens in a batch"),
    (
        CommonMetric::PrefixCacheHits,
        "Prompt tokens found in the prefix cache",
    ),
    (
        CommonMetric::PrefixCacheQueries,
        "Prompt tokens found in the prefix cache",
    ),
    (CommonMetric::Preemptions, "Sequences put back a second"),
    (CommonMetric::QueueTime, "Time in the engine's queue"),
    (
        CommonMetric::TimeToFirstToken,
        "Time to first token, by the engine",
    ),
    (
        CommonMetric::InterTokenLatency,
        "Inter-token latency, by the engine",
    ),
    (CommonMetric::PromptTokens, "Prompt tokens a second"),
    (CommonMetric::GenerationTokens, "Output tokens a second"),
    (
        CommonMetric::RequestsSucceeded,
        "Requests answered a second",
    ),
    (CommonMetric::WeightLoading, "Loading of the weights"),
];

fn panel(metric: CommonMetric) -> &'static str {
    PANELS.iter().find(|(found, _)| *found == metric).unwrap().1
}

/// What a profile maps: the metric and the names of its series.
type Mapped = Vec<(CommonMetric, Vec<String>)>;

/// Profiles with series.
fn mapped() -> Vec<(String, Mapped)> {
    let profiles = ProfileSet::builtin();
    let names: Vec<String> = profiles.names().map(str::to_owned).collect();
    let series = |name: &str| -> Mapped {
        let metrics = profiles.get(name).unwrap().metrics.as_ref();
        let series = metrics.iter().flat_map(|metrics| &metrics.series);
        series
            .map(|(metric, series)| (*metric, series.names.clone()))
            .collect()
    };
    let mapped = names.iter().map(|name| (name.clone(), series(name)));
    mapped.filter(|(_, series)| !series.is_empty()).collect()
}

#[test]
fn every_series_of_every_profile_is_in_its_panel() {
    let runs = Board::read("runs");
    for (profile, metrics) in mapped() {
        assert!(
            pages::has_page(&profile),
            "{profile} has series, and no simulated engine in e2e/tests/dashboards/pages.rs"
        );
        for (metric, names) in metrics {
            let panel = panel(metric);
            let exprs: String = runs.of(panel).map(|query| query.expr.clone()).collect();
            for name in names {
                let (name, label) = name.split_once('{').unwrap_or((&name, ""));
                let name = name.strip_suffix("_total").unwrap_or(name);
                let label = label.trim_end_matches('}');
                assert!(
                    exprs.contains(name) && exprs.contains(label),
                    "{profile} maps {metric:?} to {name}, which the panel {panel:?} of \
                     charts/bakeoff/dashboards/runs.json does not ask for"
                );
            }
        }
    }
}

#[test]
fn dashboards_are_whole() {
    for name in ["operator", "runs"] {
        let board = Board::read(name);
        let titles: Vec<&str> = board.queries.iter().map(|it| it.panel.as_str()).collect();
        assert!(titles.len() > 10, "{titles:?}");
        let ids: BTreeSet<u64> = board.ids.iter().copied().collect();
        assert_eq!(ids.len(), board.ids.len(), "{name}: an id comes twice");
        for query in &board.queries {
            let left = query.filled();
            assert!(!left.contains('$') || left.contains("\"$1\""), "{left}");
        }
    }
}

/// A number as Prometheus writes it, that is one.
fn is_finite(value: &Value) -> bool {
    let number = value.as_str().and_then(|text| text.parse::<f64>().ok());
    number.is_some_and(f64::is_finite)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_finds_something_in_a_real_prometheus() {
    let mut jobs = exporter::start().await.jobs();
    // The engines' pages are simulated ones' here.
    jobs.retain(|job| job["job_name"] != "engine");
    jobs.extend(pages::start().await);
    let targets = jobs.len();
    let Some(server) = Server::start(INTERVAL, &jobs).await else {
        return;
    };
    let scraped = format!("count(count_over_time(up[4s]) >= 18) == {targets} and min(up) == 1");
    server.time_when(&scraped).await;
    let mut silent = Vec::new();
    for name in ["operator", "runs"] {
        let board = Board::read(name);
        for Query { panel, expr } in &board.queries {
            let query = board::filled(expr);
            let answer = server.ask(&query).await;
            let found = answer["data"]["result"].as_array().cloned();
            let found = found.unwrap_or_else(|| panic!("{panel}: {answer} of {query}"));
            if !found.iter().any(|series| is_finite(&series["value"][1])) {
                silent.push(format!("{name}, {panel}: {query}: {answer}"));
            }
        }
        for (variable, query, label) in &board.variables {
            let answer = server.ask(&board::filled(query)).await;
            let found = answer["data"]["result"].as_array().unwrap();
            let values = found.iter().filter_map(|it| it["metric"][label].as_str());
            let values: BTreeSet<&str> = values.collect();
            let expected = board::value_of(variable);
            assert!(
                values
                    .iter()
                    .any(|value| expected.split('|').any(|it| it == *value)),
                "{name}: ${variable} is none of {values:?}"
            );
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));

    // Each engine is in the panel of each metric that its profile maps.
    let runs = Board::read("runs");
    for (profile, metrics) in mapped() {
        for (metric, names) in metrics {
            let mut pods = BTreeSet::new();
            for query in runs.of(panel(metric)) {
                let answer = server.ask(&query.filled()).await;
                let found = answer["data"]["result"].as_array().unwrap();
                let found = found.iter().filter(|it| is_finite(&it["value"][1]));
                pods.extend(found.filter_map(|it| Some(it["metric"]["pod"].as_str()?.to_owned())));
            }
            let pod = pages::pod(&profile);
            assert!(
                pods.contains(&pod),
                "{metric:?} of {pod} by {names:?}: {pods:?}"
            );
        }
    }
}
