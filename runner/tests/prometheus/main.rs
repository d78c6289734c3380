//! What the runner asks a Prometheus, asked of a real one: GPUs by series as dcgm-exporter writes them,
//! containers by the kubelet's, engines by a simulated one's own page; and Google's way to a
//! Prometheus, with a token that a metadata server gives.
//!
//! It needs Prometheus' binary. `cargo e2e test` builds it and says where it is; by hand:
//!
//! ```sh
//! BAKEOFF_PROMETHEUS=~/.cache/bakeoff-e2e/prometheus-…/prometheus cargo test -p bakeoff-runner --test prometheus
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod exporter;
mod google;
mod server;

use std::{collections::BTreeMap, time::Duration};

use bakeoff_crds::{
    plan::{CommonMetric, PlannedMetrics, Series, SeriesKind},
    report::{AcceleratorDevice, EngineMetric, MetricValue},
};
use bakeoff_runner::scrape::{Prometheus, Target, TimeWindow, Wanted, accelerators, resources};
use server::Server;

/// How often the Prometheus of the tests scrapes.
const INTERVAL: Duration = Duration::from_millis(200);

fn pod(name: &str) -> Target {
    Target {
        namespace: Some("bench".into()),
        pods: vec![name.into()],
    }
}

fn all() -> Wanted {
    Wanted {
        gpu: true,
        gpu_labels: BTreeMap::new(),
    }
}

/// The last three seconds, once Prometheus has scraped all of them.
async fn window(server: &Server) -> TimeWindow {
    let seconds = 3.0;
    let scraped = "min(count_over_time(up[4s])) >= 18";
    let end = server.time_when(scraped).await;
    TimeWindow { end, seconds }
}

fn value(metrics: &BTreeMap<String, EngineMetric>, name: &str) -> MetricValue {
    let metric = &metrics[name];
    assert_eq!(metric.absent, None, "{name}");
    metric.prometheus.clone().unwrap()
}

fn is_near(found: Option<f64>, expected: f64, share: f64) {
    let found = found.unwrap();
    assert!(
        (found - expected).abs() <= share * expected,
        "{found} is not {expected}"
    );
}

/// What every way to the same GPU gives.
fn is_the_gpu(found: &BTreeMap<String, EngineMetric>) {
    let of = |name: &str| value(found, name);
    is_near(of("gpuUtilization").mean, exporter::UTILIZATION, 1e-9);
    is_near(
        of("gpuMemoryUsedBytes").max,
        exporter::MEMORY_MEBIBYTES * 1_048_576.0,
        1e-9,
    );
    is_near(of("gpuPowerWatts").mean, exporter::WATTS, 1e-9);
    is_near(of("gpuEnergyJoules").increase, exporter::WATTS * 3.0, 0.1);
    is_near(of("gpuSmClockHertz").mean, 2.04e9, 1e-9);
    is_near(of("gpuMemoryClockHertz").mean, 6.251e9, 1e-9);
    is_near(of("gpuTemperatureCelsius").mean, 61.0, 1e-9);
    is_near(of("gpuPowerCappedShare").mean, 1.0, 1e-9);
    is_near(of("gpuThermalSlowdownShare").mean, 1.0, 1e-9);
    assert_eq!(of("gpuHardwareSlowdownShare").mean, Some(0.0));
}

fn is_the_device(found: &[AcceleratorDevice]) {
    let [device] = found else { panic!("{found:?}") };
    assert_eq!(device.uuid, "GPU-5a5f3c4e-9a3d-0c1e-5d6c-1a2b3c4d5e6f");
    assert_eq!(device.product.as_deref(), Some("NVIDIA L4"));
    assert_eq!(device.driver.as_deref(), Some("550.90.07"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardware_is_read_from_a_real_prometheus() {
    let Some(server) = Server::start(INTERVAL, &exporter::start().await.jobs()).await else {
        return;
    };
    let prometheus = Prometheus::new(&server.url, INTERVAL, &[]).unwrap();
    let window = window(&server).await;

    // Its labels honoured, and renamed by the Prometheus that scrapes it.
    for name in [exporter::HONOURED, exporter::RENAMED] {
        let found = resources(&prometheus, &all(), &pod(name), window).await;
        is_the_gpu(&found);
        is_near(value(&found, "containerCpus").mean, exporter::CPUS, 0.1);
        is_near(
            value(&found, "containerMemoryBytes").max,
            exporter::MEMORY_BYTES,
            1e-9,
        );
        assert_eq!(found.len(), 12);
        is_the_device(&accelerators(&prometheus, &all(), &pod(name), window).await);
    }
    // By the node, for an exporter that knows no pods.
    let wanted = Wanted {
        gpu: true,
        gpu_labels: BTreeMap::from([("Hostname".into(), exporter::NODE.into())]),
    };
    is_the_gpu(&resources(&prometheus, &wanted, &Target::default(), window).await);
    is_the_device(&accelerators(&prometheus, &wanted, &Target::default(), window).await);
    // The names that DCGM had before its fourth version.
    let found = resources(&prometheus, &all(), &pod(exporter::OLD), window).await;
    is_near(value(&found, "gpuPowerCappedShare").mean, 1.0, 1e-9);

    let none = accelerators(&prometheus, &all(), &pod("another"), window).await;
    assert_eq!(none, []);
    let found = resources(&prometheus, &all(), &pod("another"), window).await;
    for (name, metric) in found {
        let reason = metric.absent.unwrap();
        assert!(
            reason.starts_with("NotInPrometheus: no series "),
            "{name}: {reason}"
        );
    }
    // Fewer scrapes than say something, though the engine's own interval would do.
    let often = Prometheus::new(&server.url, Duration::from_millis(10), &[]).unwrap();
    let short = TimeWindow {
        seconds: 0.5,
        ..window
    };
    let found = resources(&often, &all(), &pod(exporter::HONOURED), short).await;
    let reason = found["gpuUtilization"].absent.clone().unwrap();
    assert!(reason.starts_with("WindowTooShort: "), "{reason}");
    assert!(
        reason.contains(" scrapes of DCGM_FI_DEV_GPU_UTIL lie in it"),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engines_counters_are_deltas_over_the_window() {
    let Some(server) = Server::start(INTERVAL, &exporter::start().await.jobs()).await else {
        return;
    };
    let prometheus = Prometheus::new(&server.url, INTERVAL, &[]).unwrap();
    let series = |name: &str, kind| Series {
        names: vec![name.to_owned()],
        kind,
    };
    let metrics = PlannedMetrics {
        series: BTreeMap::from([
            (
                CommonMetric::Running,
                series("vllm:num_requests_running", SeriesKind::Gauge),
            ),
            // Neither its sum over time nor its value: it has grown for as long as it is scraped.
            (
                CommonMetric::GenerationTokens,
                series("vllm:generation_tokens", SeriesKind::Counter),
            ),
            (
                CommonMetric::TimeToFirstToken,
                series("vllm:time_to_first_token_seconds", SeriesKind::Histogram),
            ),
        ]),
        ..PlannedMetrics::default()
    };
    let window = window(&server).await;
    let found = prometheus
        .window(Some(&metrics), &pod(exporter::HONOURED), window)
        .await;
    is_near(value(&found, "running").mean, 4.0, 1e-9);
    is_near(
        value(&found, "generationTokens").increase,
        exporter::TOKENS_A_SECOND * 3.0,
        0.1,
    );
    is_near(
        value(&found, "timeToFirstToken").mean,
        exporter::FIRST_TOKEN,
        0.05,
    );
}
