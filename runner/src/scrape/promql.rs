//! Asks a Prometheus for the engines' metrics over exactly a stage's window.

use std::{collections::BTreeMap, time::Duration};

use bakeoff_crds::{
    common::shortened,
    plan::{CommonMetric, PlannedMetrics, SeriesKind},
    report::{EngineMetric, MetricValue},
    run::ExtraQuery,
};
use prometheus_http_query::{
    Client,
    response::{Data, PromqlResult},
};
use serde::Deserialize;

use super::{aggregate::selectors, is_share, metric_name, select::Selector};
use crate::store::{
    backend::install_crypto_provider,
    fetch::{body_of, causes},
};

/// Longest wait for one answer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of one answer, which should hold one number.
const LONGEST_ANSWER: u64 = 4 << 20;
/// Most characters of an answer that a reason shows.
const MOST_SHOWN: usize = 300;
/// Scrapes that a window must hold for Prometheus to say something of it.
const LEAST_SCRAPES: u32 = 4;
/// Reason of an absent value: the window holds too few scrapes.
pub const WINDOW_TOO_SHORT: &str = "WindowTooShort";

/// The pods whose series are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Namespace of the engine's pod; no condition where it is absent.
    pub namespace: Option<String>,
    /// Name of the engine's pod; no condition where it is absent.
    pub pod: Option<String>,
}

/// A window on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeWindow {
    /// Its end, in seconds since 1970.
    pub end: f64,
    /// Its length, in seconds.
    pub seconds: f64,
}

/// A Prometheus, and what is asked of it.
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    interval: Duration,
    extra: Vec<ExtraQuery>,
}

impl std::fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prometheus")
            .field("url", &self.client.base_url().as_str())
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl Prometheus {
    /// The Prometheus of `spec.metrics`; `interval` is that of its scrapes.
    ///
    /// # Errors
    /// Where the address is none, in words.
    pub fn new(url: &str, interval: Duration, extra: &[ExtraQuery]) -> Result<Self, String> {
        install_crypto_provider();
        let client = reqwest::Client::builder()
            .timeout(QUERY_TIMEOUT)
            .build()
            .map_err(|error| causes(&error))?;
        let client = Client::from(client, url)
            .map_err(|error| format!("spec.metrics.url {url:?} cannot be used: {error}"))?;
        Ok(Self {
            client,
            interval,
            extra: extra.to_vec(),
        })
    }

    /// Asks for every series of the plan and every extra query over a window that has just ended.
    /// Waits one scrape interval first, so that the last scrape within the window is in.
    ///
    /// Never fails: a value that is not to be had is absent, with the reason.
    pub async fn window(
        &self,
        metrics: Option<&PlannedMetrics>,
        target: &Target,
        window: TimeWindow,
    ) -> BTreeMap<String, EngineMetric> {
        let series = metrics.iter().flat_map(|metrics| &metrics.series);
        let too_short = window.seconds < self.interval.as_secs_f64() * f64::from(LEAST_SCRAPES);
        if too_short {
            let names = series.map(|(metric, _)| metric_name(*metric).to_owned());
            let extra = self.extra.iter().map(|query| query.name.clone());
            let absent = || metric_of(Err(WINDOW_TOO_SHORT.into()));
            return names.chain(extra).map(|name| (name, absent())).collect();
        }
        tokio::time::sleep(self.interval).await;
        let mut values = BTreeMap::new();
        for (metric, series) in series {
            let selectors = selectors(&series.names, series.kind);
            let value = self
                .series(*metric, series.kind, &selectors, target, window)
                .await;
            values.insert(metric_name(*metric).to_owned(), metric_of(value));
        }
        for query in &self.extra {
            let promql = fill_in(&query.query, target, window);
            let value = self.ask(&promql, window).await.and_then(|value| {
                value.ok_or_else(|| "NoData: the query gives nothing for this window".into())
            });
            let value = value.map(|value| MetricValue {
                mean: Some(value),
                ..MetricValue::default()
            });
            values.insert(query.name.clone(), metric_of(value));
        }
        values
    }

    /// The first of the names that Prometheus has something of.
    async fn series(
        &self,
        metric: CommonMetric,
        kind: SeriesKind,
        selectors: &[Selector],
        target: &Target,
        window: TimeWindow,
    ) -> Result<MetricValue, String> {
        for selector in selectors {
            let (first, second) = queries(metric, kind, selector, target, window);
            let Some(first) = self.ask(&first, window).await? else {
                continue;
            };
            let second = match second {
                Some(query) => self.ask(&query, window).await?,
                None => None,
            };
            return Ok(match kind {
                SeriesKind::Gauge => MetricValue {
                    mean: Some(first),
                    max: second,
                    increase: None,
                },
                SeriesKind::Counter => MetricValue {
                    increase: Some(first),
                    ..MetricValue::default()
                },
                SeriesKind::Histogram => MetricValue {
                    mean: second
                        .filter(|count| *count > 0.0)
                        .map(|count| first / count),
                    increase: second,
                    max: None,
                },
            });
        }
        Err("NotInPrometheus: none of the series was scraped in this window".into())
    }

    /// One query, evaluated at the window's end: its one value, or nothing.
    async fn ask(&self, promql: &str, window: TimeWindow) -> Result<Option<f64>, String> {
        // Not `at`, which takes whole seconds: windows end at any time.
        let unreachable = |cause: String| format!("PrometheusUnreachable: {cause}");
        let answer = self
            .client
            .query(promql)
            .query("time", format!("{:.3}", window.end))
            .get_raw()
            .await
            .map_err(|error| unreachable(causes(&error)))?;
        let status = answer.status();
        let body = body_of(answer, LONGEST_ANSWER).await.map_err(unreachable)?;
        value_of(&body).map_err(|reason| match status.is_success() {
            true => reason,
            false => format!("{reason} (HTTP {status})"),
        })
    }
}

/// An answer of `/api/v1/query`. Format:
/// <https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview>.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "camelCase")]
enum Answer {
    Success { data: PromqlResult },
    Error { error: String },
}

/// The one value of an answer, or nothing where it is none or not finite.
///
/// # Errors
/// Why it has no such value, as an absent metric says it.
pub(super) fn value_of(body: &[u8]) -> Result<Option<f64>, String> {
    let answer = serde_json::from_slice(body).map_err(|error| {
        let error = shortened(&error.to_string(), MOST_SHOWN);
        format!("PrometheusUnreachable: the answer is none of Prometheus: {error}; correct spec.metrics.url")
    })?;
    let data = match answer {
        Answer::Success { data } => data,
        Answer::Error { error } => {
            let error = shortened(&error, MOST_SHOWN);
            return Err(format!("QueryRefused: {error}; correct the query"));
        }
    };
    let value = match data.data() {
        Data::Scalar(sample) => Some(sample.value()),
        Data::Vector(samples) => match samples.as_slice() {
            [] => None,
            [one] => Some(one.sample().value()),
            many => {
                return Err(format!(
                    "ManySeries: the query gives {} series; add them up with sum() or avg()",
                    many.len()
                ));
            }
        },
        Data::Matrix(_) => {
            return Err("NotAnInstant: the query gives a range; take avg_over_time() of it".into());
        }
    };
    Ok(value.filter(|value| value.is_finite()))
}

fn metric_of(value: Result<MetricValue, String>) -> EngineMetric {
    match value {
        Ok(value) => EngineMetric {
            prometheus: Some(value),
            ..EngineMetric::default()
        },
        Err(reason) => EngineMetric {
            absent: Some(reason),
            ..EngineMetric::default()
        },
    }
}

/// The query of a series, and a second one where its kind needs it: a gauge's greatest value, a
/// histogram's number of samples.
fn queries(
    metric: CommonMetric,
    kind: SeriesKind,
    selector: &Selector,
    target: &Target,
    window: TimeWindow,
) -> (String, Option<String>) {
    let range = range(window);
    let series = |suffix| format!("{}[{range}]", vector(selector, suffix, target));
    match kind {
        SeriesKind::Gauge => {
            let over = if is_share(metric) { "avg" } else { "sum" };
            let plain = series("");
            (
                format!("{over}(avg_over_time({plain}))"),
                Some(format!("{over}(max_over_time({plain}))")),
            )
        }
        SeriesKind::Counter => (format!("sum(increase({}))", series("")), None),
        SeriesKind::Histogram => (
            format!("sum(increase({}))", series("_sum")),
            Some(format!("sum(increase({}))", series("_count"))),
        ),
    }
}

/// A selector in PromQL, with the pod's labels. The name is written as a label, since that form
/// holds any name.
fn vector(selector: &Selector, suffix: &str, target: &Target) -> String {
    let name = ("__name__".to_owned(), format!("{}{suffix}", selector.name));
    let namespace = target
        .namespace
        .clone()
        .map(|value| ("namespace".to_owned(), value));
    let pod = target.pod.clone().map(|value| ("pod".to_owned(), value));
    let labels = std::iter::once(name)
        .chain(selector.labels.iter().cloned())
        .chain(namespace)
        .chain(pod)
        .map(|(key, value)| format!("{key}=\"{}\"", escape(&value)));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The window's length as PromQL writes it, in milliseconds.
fn range(window: TimeWindow) -> String {
    format!("{:.0}ms", (window.seconds * 1000.0).max(1.0))
}

fn fill_in(query: &str, target: &Target, window: TimeWindow) -> String {
    // An empty `$pod` would match series without the label; `.*` is what `=~` takes for any.
    let or_any = |value: &Option<String>| value.clone().unwrap_or_else(|| ".*".into());
    query
        .replace("$window", &range(window))
        .replace("$namespace", &or_any(&target.namespace))
        .replace("$pod", &or_any(&target.pod))
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, extract::Query, routing::get};
    use bakeoff_crds::plan::Series;
    use serde_json::json;

    use super::*;

    const WINDOW: TimeWindow = TimeWindow {
        end: 1_700_000_000.25,
        seconds: 20.5,
    };

    fn target() -> Target {
        Target {
            namespace: Some("ns".into()),
            pod: Some("run-vllm-1".into()),
        }
    }

    #[test]
    fn queries_cover_the_window_and_the_pod() {
        let selector = Selector::parse("vllm:x{engine=\"a\\\"b\"}").unwrap();
        let labels = |suffix: &str| {
            format!(
                r#"{{__name__="vllm:x{suffix}",engine="a\"b",namespace="ns",pod="run-vllm-1"}}[20500ms]"#
            )
        };
        let plain = labels("");
        for (metric, kind, first, second) in [
            (
                CommonMetric::Running,
                SeriesKind::Gauge,
                format!("sum(avg_over_time({plain}))"),
                Some(format!("sum(max_over_time({plain}))")),
            ),
            (
                CommonMetric::KvCacheUsage,
                SeriesKind::Gauge,
                format!("avg(avg_over_time({plain}))"),
                Some(format!("avg(max_over_time({plain}))")),
            ),
            (
                CommonMetric::PromptTokens,
                SeriesKind::Counter,
                format!("sum(increase({plain}))"),
                None,
            ),
            (
                CommonMetric::TimeToFirstToken,
                SeriesKind::Histogram,
                format!("sum(increase({}))", labels("_sum")),
                Some(format!("sum(increase({}))", labels("_count"))),
            ),
        ] {
            let queries = queries(metric, kind, &selector, &target(), WINDOW);
            assert_eq!(queries, (first, second), "{metric:?}");
        }
    }

    #[test]
    fn extra_queries_are_filled_in() {
        let query = r#"avg_over_time(x{namespace="$namespace",pod=~"$pod"}[$window])"#;
        assert_eq!(
            fill_in(query, &target(), WINDOW),
            r#"avg_over_time(x{namespace="ns",pod=~"run-vllm-1"}[20500ms])"#
        );
    }

    /// A stand-in for Prometheus: knows `old` series only, and one query with two results.
    async fn stand_in() -> std::net::SocketAddr {
        let answer = |Query(query): Query<BTreeMap<String, String>>| async move {
            assert_eq!(query["time"], "1700000000.250");
            let promql = &query["query"];
            let value = |value: &str| json!({"metric": {}, "value": [1_700_000_000.25, value]});
            let result = if promql.contains("\"old") && promql.contains("_count") {
                vec![value("4")]
            } else if promql.contains("\"old") {
                vec![value("10")]
            } else if promql.starts_with("two") {
                vec![value("1"), value("2")]
            } else {
                vec![]
            };
            Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
        };
        let app = Router::new().route("/api/v1/query", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    fn metrics() -> PlannedMetrics {
        let series = |names: &[&str], kind| Series {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            kind,
        };
        PlannedMetrics {
            series: BTreeMap::from([
                (
                    CommonMetric::Running,
                    series(&["new", "old"], SeriesKind::Gauge),
                ),
                (
                    CommonMetric::TimeToFirstToken,
                    series(&["old"], SeriesKind::Histogram),
                ),
                (CommonMetric::Waiting, series(&["none"], SeriesKind::Gauge)),
            ]),
            ..PlannedMetrics::default()
        }
    }

    #[tokio::test]
    async fn takes_the_first_series_that_is_there() {
        let address = stand_in().await;
        let extra = [ExtraQuery {
            name: "gpu".into(),
            query: "two".into(),
        }];
        let prometheus = Prometheus::new(
            &format!("http://{address}"),
            Duration::from_millis(5),
            &extra,
        )
        .unwrap();
        let values = prometheus.window(Some(&metrics()), &target(), WINDOW).await;
        let running = values["running"].prometheus.clone().unwrap();
        assert_eq!((running.mean, running.max), (Some(10.0), Some(10.0)));
        let first_token = values["timeToFirstToken"].prometheus.clone().unwrap();
        assert_eq!(
            (first_token.mean, first_token.increase),
            (Some(2.5), Some(4.0))
        );
        let absent = |name: &str| values[name].absent.clone().unwrap();
        assert!(absent("waiting").starts_with("NotInPrometheus"));
        assert!(absent("gpu").starts_with("ManySeries: the query gives 2"));
    }

    #[tokio::test]
    async fn a_short_window_or_no_prometheus_is_a_reason() {
        let prometheus = |interval| Prometheus::new("http://127.0.0.1:9", interval, &[]).unwrap();
        let short = prometheus(Duration::from_secs(6));
        let values = short.window(Some(&metrics()), &target(), WINDOW).await;
        assert_eq!(values["running"].absent.as_deref(), Some(WINDOW_TOO_SHORT));
        assert_eq!(values.len(), 3);
        let away = prometheus(Duration::from_millis(1));
        let values = away.window(Some(&metrics()), &target(), WINDOW).await;
        let reason = values["running"].absent.clone().unwrap();
        assert!(reason.starts_with("PrometheusUnreachable"), "{reason}");
    }
}
