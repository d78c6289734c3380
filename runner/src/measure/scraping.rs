//! The engine's own metrics, and its hardware's, over a stage.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::{EngineSource, Plan},
    report::{AcceleratorDevice, EngineMetric, StageReport, Verdict},
    run::{GpuExporter, Metrics, MetricsBackend},
};

use super::{Client, EngineRound};
use crate::{
    clock,
    drive::Driven,
    scrape::{
        self, Metadata, Prometheus, Scraper, TimeWindow, Wanted, accelerators, metrics_url,
        resources,
    },
    stats::{
        energy,
        reconcile::{Circumstances, reconcile},
    },
    store::Environment,
};

/// The engine's own metrics, as far as the spec wants them.
pub(super) struct Scraping {
    pub(super) direct: Option<Scraper>,
    pub(super) prometheus: Option<Prometheus>,
    pub(super) wanted: Wanted,
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
            wanted: Wanted::default(),
        }
    }

    pub(super) async fn start(client: &Client<'_>) -> Self {
        let settings = &client.plan.spec.metrics;
        let direct = client
            .engine
            .metrics
            .as_ref()
            .filter(|_| settings.backend != MetricsBackend::None)
            .and_then(|metrics| {
                let url = metrics_url(client.url, client.engine.endpoint.port, metrics);
                Scraper::start(metrics, &url)
                    .inspect_err(
                        |error| tracing::warn!(%error, "the engine's metrics are not read"),
                    )
                    .ok()
            });
        let prometheus = prometheus(settings)
            .await
            .inspect_err(|error| tracing::warn!(%error, "Prometheus is not asked"))
            .ok()
            .flatten();
        Self {
            direct,
            prometheus,
            wanted: wanted(client),
        }
    }
}

/// What was read of an engine over a stage, beside its answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Its own metrics, by common name.
    pub(crate) engine: BTreeMap<String, EngineMetric>,
    /// Its hardware.
    pub(crate) resources: BTreeMap<String, EngineMetric>,
    /// Its GPUs.
    pub(crate) accelerators: Vec<AcceleratorDevice>,
}

/// Puts what was read of the engine into a stage's report, and judges the stage by it.
pub(crate) fn attach(plan: &Plan, stage: &mut StageReport, figures: Figures) {
    stage.engine_metrics = figures.engine;
    stage.resources = figures.resources;
    stage.accelerators = figures.accelerators;
    stage.energy = energy::energy(stage);
    let circumstances = Circumstances {
        prompts_per_request: plan.spec.workload.prompts_per_request,
        prometheus_interval: plan.spec.metrics.interval.as_secs_f64(),
    };
    reconcile(stage, circumstances);
    let reasons = std::mem::take(&mut stage.verdict.reasons).into_iter();
    stage.verdict = Verdict::of(reasons.chain(energy::slowed(stage)).collect());
}

/// Those of a stage: read directly, and from Prometheus.
pub(super) async fn figures(
    round: &EngineRound<'_>,
    scraping: &Scraping,
    direct: BTreeMap<String, EngineMetric>,
    driven: &Driven,
) -> Figures {
    let Some(prometheus) = &scraping.prometheus else {
        return Figures {
            engine: direct,
            ..Figures::default()
        };
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
    if !prometheus.is_too_short(window) {
        prometheus.wait().await;
    }
    let found = prometheus.window(metrics, &round.pods, window).await;
    Figures {
        engine: scrape::merge(direct, found),
        resources: resources(prometheus, &scraping.wanted, &round.pods, window).await,
        accelerators: accelerators(prometheus, &scraping.wanted, &round.pods, window).await,
    }
}

/// What a Prometheus is asked of the engine's hardware.
fn wanted(client: &Client<'_>) -> Wanted {
    let spec = &client.plan.spec;
    let accelerator = &spec.hardware.accelerator;
    let deployed = matches!(client.engine.source, EngineSource::Deployed(_));
    let nvidia = accelerator.count > 0 && accelerator.resource.starts_with("nvidia.com/");
    Wanted {
        gpu: deployed && nvidia && spec.metrics.gpu.exporter == GpuExporter::Dcgm,
        gpu_labels: spec.metrics.gpu.labels.clone(),
    }
}

/// The Prometheus that the spec names.
async fn prometheus(settings: &Metrics) -> Result<Option<Prometheus>, String> {
    let (interval, extra) = (settings.interval.get(), &settings.extra_queries);
    match (settings.backend, settings.url.as_deref()) {
        (MetricsBackend::GoogleManagedPrometheus, url) => {
            let metadata = Metadata::new(&Environment::of_process())?;
            let google = Prometheus::google(url, metadata, interval, extra).await;
            google.map(Some)
        }
        (MetricsBackend::Auto | MetricsBackend::Prometheus, Some(url)) => {
            Prometheus::new(url, interval, extra).map(Some)
        }
        _ => Ok(None),
    }
}
