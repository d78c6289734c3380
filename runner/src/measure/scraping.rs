//! The engine's own metrics over a stage.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::Plan,
    report::{EngineMetric, StageReport},
};

use super::{Client, EngineRound};
use crate::{
    clock,
    drive::Driven,
    scrape::{self, Prometheus, Scraper, TimeWindow, metrics_url},
    stats::reconcile::{Circumstances, reconcile},
};

/// The engine's own metrics, as far as the spec wants them.
pub(super) struct Scraping {
    pub(super) direct: Option<Scraper>,
    pub(super) prometheus: Option<Prometheus>,
}

impl Scraping {
    pub(super) async fn begin_window(&self) {
        if let Some(direct) = &self.direct {
            direct.begin_window().await;
        }
    }

    pub(super) async fn end_window(&self) -> BTreeMap<String, EngineMetric> {
        match &self.direct {
            Some(direct) => direct.end_window().await,
            None => BTreeMap::new(),
        }
    }

    /// Nothing is read.
    pub(super) fn none() -> Self {
        Self {
            direct: None,
            prometheus: None,
        }
    }

    pub(super) fn start(client: &Client<'_>) -> Self {
        use bakeoff_crds::run::MetricsBackend::{Auto, Direct, None as Off, Prometheus as Server};
        let settings = &client.plan.spec.metrics;
        let interval = settings.interval.get();
        let direct = client
            .engine
            .metrics
            .as_ref()
            .filter(|_| settings.backend != Off)
            .and_then(|metrics| {
                let url = metrics_url(client.url, client.engine.endpoint.port, metrics);
                Scraper::start(metrics, &url)
                    .inspect_err(
                        |error| tracing::warn!(%error, "the engine's metrics are not read"),
                    )
                    .ok()
            });
        let asks = match settings.backend {
            Auto | Server => settings.url.as_deref(),
            Direct | Off => None,
        };
        let prometheus = asks.and_then(|url| {
            Prometheus::new(url, interval, &settings.extra_queries)
                .inspect_err(|error| tracing::warn!(%error, "Prometheus is not asked"))
                .ok()
        });
        Self { direct, prometheus }
    }
}

/// Puts the engine's own metrics into a stage's report, and holds the client's figures against them.
pub(crate) fn attach(
    plan: &Plan,
    stage: &mut StageReport,
    metrics: BTreeMap<String, EngineMetric>,
) {
    stage.engine_metrics = metrics;
    let circumstances = Circumstances {
        prompts_per_request: plan.spec.workload.prompts_per_request,
        prometheus_interval: plan.spec.metrics.interval.as_secs_f64(),
    };
    reconcile(stage, circumstances);
}

/// Those of a stage: read directly, and from Prometheus.
pub(super) async fn engine_metrics(
    round: &EngineRound<'_>,
    scraping: &Scraping,
    direct: BTreeMap<String, EngineMetric>,
    driven: &Driven,
) -> BTreeMap<String, EngineMetric> {
    let Some(prometheus) = &scraping.prometheus else {
        return direct;
    };
    let end = driven
        .records
        .iter()
        .map(|record| record.end)
        .max()
        .unwrap_or(driven.start.at);
    let window = TimeWindow {
        end: clock::wall(end).as_nanosecond() as f64 / 1e9,
        seconds: clock::seconds(end.saturating_sub(driven.start.at)),
    };
    let metrics = round.client.engine.metrics.as_ref();
    let found = prometheus.window(metrics, &round.pod, window).await;
    scrape::merge(direct, found)
}
