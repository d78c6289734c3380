//! Asks a Prometheus for the engines' metrics over exactly a stage's window.

mod answer;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bakeoff_crds::{
    plan::{CommonMetric, PlannedMetrics, SeriesKind},
    report::{EngineMetric, MetricValue},
    run::ExtraQuery,
};
use prometheus_http_query::{Client, response::Data};
use reqwest::{StatusCode, header::AUTHORIZATION};

use self::answer::data_of;
pub(super) use self::answer::value_of;
use super::{
    aggregate::selectors,
    google::{self, Metadata},
    is_averaged, metric_name,
    patience::Patience,
    select::Selector,
};
use crate::store::{
    backend::install_crypto_provider,
    fetch::{body_of, causes},
};

/// Longest wait for one answer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of one answer, which should hold one number.
const LONGEST_ANSWER: u64 = 4 << 20;
/// Scrapes that a window must hold for Prometheus to say something of it.
pub(super) const LEAST_SCRAPES: u32 = 4;
/// Reason of an absent value: the window holds too few scrapes.
pub const WINDOW_TOO_SHORT: &str = "WindowTooShort";

/// The pods whose series are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Namespace of the engine's pods; no condition where it is absent.
    pub namespace: Option<String>,
    /// Names of the engine's pods; no condition where there are none.
    pub pods: Vec<String>,
}

impl Target {
    /// The condition that a label has the name of one of the pods.
    pub(super) fn pods_as(&self, label: &str) -> Option<String> {
        match self.pods.as_slice() {
            [] => None,
            [one] => Some(format!("{label}=\"{}\"", escape(one))),
            _ => Some(format!("{label}=~\"{}\"", escape(&self.any_pod()))),
        }
    }

    /// A regular expression for the names of the pods; of one, its name.
    fn any_pod(&self) -> String {
        match self.pods.as_slice() {
            // An empty one would match series without the label.
            [] => ".*".into(),
            several => several.join("|"),
        }
    }
}

/// A window on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeWindow {
    /// Its end, in seconds since 1970.
    pub end: f64,
    /// Its length, in seconds.
    pub seconds: f64,
}

/// Google's samples can be asked for some seconds after they were taken.
const GOOGLE_DELAY: Duration = Duration::from_secs(10);

/// A Prometheus, and what is asked of it.
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    /// Where a token comes from, for one that asks for it.
    google: Option<Arc<Metadata>>,
    interval: Duration,
    /// From the end of a window until its last sample can be asked for.
    delay: Duration,
    extra: Vec<ExtraQuery>,
    patience: Patience,
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
        let client = crate::outside::client()
            .timeout(QUERY_TIMEOUT)
            // A token is for the server that it was meant for.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| causes(&error))?;
        let client = Client::from(client, url)
            .map_err(|error| format!("spec.metrics.url {url:?} cannot be used: {error}"))?;
        Ok(Self {
            client,
            google: None,
            interval,
            delay: interval,
            extra: extra.to_vec(),
            patience: Patience::default(),
        })
    }

    /// Google Managed Prometheus: at `url`, or where the project of this machine has it.
    ///
    /// # Errors
    /// Where there is no address, in words.
    pub async fn google(
        url: Option<&str>,
        metadata: Metadata,
        interval: Duration,
        extra: &[ExtraQuery],
    ) -> Result<Self, String> {
        let url = match url {
            Some(url) => url.to_owned(),
            None => google::api(&metadata.project().await?),
        };
        Ok(Self {
            google: Some(Arc::new(metadata)),
            delay: interval + GOOGLE_DELAY,
            ..Self::new(&url, interval, extra)?
        })
    }

    /// Asks so long after a window's end, in place of what fits the server.
    #[must_use]
    pub fn asked_after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Gives each window so much time for all of its questions, in place of a minute.
    #[cfg(test)]
    #[must_use]
    pub(super) fn with_patience(self, most: Duration) -> Self {
        let patience = Patience::of(most);
        Self { patience, ..self }
    }

    /// Whether a window holds too few scrapes of the engine to say something of it.
    pub fn is_too_short(&self, window: TimeWindow) -> bool {
        window.seconds < self.interval.as_secs_f64() * f64::from(LEAST_SCRAPES)
    }

    /// Waits until a window's last sample can be asked for.
    pub async fn wait(&self) {
        tokio::time::sleep(self.delay).await;
    }

    /// Asks for every series of the plan and every extra query over a window; [`wait`](Self::wait)
    /// first.
    ///
    /// Never fails: a value that is not to be had is absent, with the reason.
    pub async fn window(
        &self,
        metrics: Option<&PlannedMetrics>,
        target: &Target,
        window: TimeWindow,
    ) -> BTreeMap<String, EngineMetric> {
        let series = metrics.iter().flat_map(|metrics| &metrics.series);
        if self.is_too_short(window) {
            let names = series.map(|(metric, _)| metric_name(*metric).to_owned());
            let extra = self.extra.iter().map(|query| query.name.clone());
            let absent = || metric_of(Err(WINDOW_TOO_SHORT.into()));
            return names.chain(extra).map(|name| (name, absent())).collect();
        }
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
    pub(super) async fn ask(
        &self,
        promql: &str,
        window: TimeWindow,
    ) -> Result<Option<f64>, String> {
        let (status, body) = self.answer(promql, window).await?;
        value_of(&body).map_err(|reason| match status.is_success() {
            true => reason,
            false => format!("{reason} (HTTP {status})"),
        })
    }

    /// The labels of all series that a query gives at the window's end.
    pub(super) async fn label_sets(
        &self,
        promql: &str,
        window: TimeWindow,
    ) -> Result<Vec<HashMap<String, String>>, String> {
        let (_, body) = self.answer(promql, window).await?;
        match data_of(&body)?.into_inner().0 {
            Data::Vector(samples) => Ok(samples
                .into_iter()
                .map(|sample| sample.into_inner().0)
                .collect()),
            Data::Scalar(_) | Data::Matrix(_) => Err("NotAVector: it has no labels".into()),
        }
    }

    async fn answer(
        &self,
        promql: &str,
        window: TimeWindow,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let unreachable = |cause: String| format!("PrometheusUnreachable: {cause}");
        let left = self.patience.left(window).map_err(unreachable)?;
        let asked = tokio::time::timeout(left, self.exchange(promql, window)).await;
        let asked = asked.unwrap_or_else(|_| Err(self.patience.is_over()));
        let (status, body) = match asked {
            Ok(answer) => {
                self.patience.answered(window);
                answer
            }
            Err(cause) => {
                self.patience.unanswered(window, &cause);
                return Err(unreachable(cause));
            }
        };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(format!(
                "QueryForbidden: HTTP {status}; give the runner's service account the right to read, \
                 on Google Cloud roles/monitoring.viewer"
            ));
        }
        Ok((status, body))
    }

    /// One question and its whole answer, whatever its status. The second time with a token that is
    /// new, where the first one was refused.
    async fn exchange(
        &self,
        promql: &str,
        window: TimeWindow,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let mut answer = self.send(promql, window).await?;
        if let (StatusCode::UNAUTHORIZED, Some(google)) = (answer.status(), &self.google) {
            google.forget().await;
            answer = self.send(promql, window).await?;
        }
        let status = answer.status();
        Ok((status, body_of(answer, LONGEST_ANSWER).await?))
    }

    async fn send(&self, promql: &str, window: TimeWindow) -> Result<reqwest::Response, String> {
        // Not `at`, which takes whole seconds: windows end at any time.
        let time = format!("{:.3}", window.end);
        let mut query = self.client.query(promql).query("time", time);
        if let Some(google) = &self.google {
            query = query.header(AUTHORIZATION, google.bearer().await?);
        }
        query.get_raw().await.map_err(|error| causes(&error))
    }
}

pub(super) fn metric_of(value: Result<MetricValue, String>) -> EngineMetric {
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
            let over = if is_averaged(metric) { "avg" } else { "sum" };
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
    let labels = std::iter::once(name)
        .chain(selector.labels.iter().cloned())
        .chain(namespace)
        .map(|(key, value)| format!("{key}=\"{}\"", escape(&value)))
        .chain(target.pods_as("pod"));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

pub(super) fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The window's length as PromQL writes it, in milliseconds.
pub(super) fn range(window: TimeWindow) -> String {
    format!("{:.0}ms", (window.seconds * 1000.0).max(1.0))
}

pub(super) fn fill_in(query: &str, target: &Target, window: TimeWindow) -> String {
    // An empty `$namespace` would match series without the label; `.*` is what `=~` takes for any.
    let namespace = target.namespace.as_deref().unwrap_or(".*");
    query
        .replace("$window", &range(window))
        .replace("$namespace", namespace)
        .replace("$pod", &target.any_pod())
}

#[cfg(test)]
mod away;
#[cfg(test)]
mod tests;
