//! A Prometheus that becomes slow amid a run, and then is away: its stages are measured all the same, and
//! their figures of it are absent with the reason.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::StageReport;
use bakeoff_crds::run::status::VerdictStatus;
use bakeoff_e2e::harness::{Namespace, Way, has_cluster, with_namespace};
use bakeoff_e2e::services::prometheus;

use super::bakeoff::{nothing_left, report};
use super::complete;
use super::inputs::{Bucket, fill, prepare};
use super::shards::under_way;
use crate::install;

const RUN: &str = "deaf";
const STAGES: [&str; 3] = ["rate-10", "rate-11", "rate-12"];
/// Ten seconds of a stage: several looks of a Prometheus.
const REQUESTS: u64 = 100;
/// No question gets through in the minute that all of a stage have together.
const SLOW_BYTES_PER_SECOND: usize = 10;

async fn start(namespace: &Namespace) -> Result<Way> {
    install::operator(namespace).await?;
    prepare(namespace, Bucket::S3).await?;
    let way = Way::to(prometheus::PORT).await?;
    let metrics = format!("{{backend: Prometheus, url: \"http://{}\"}}", way.address());
    let yaml = include_str!("sharded.yaml")
        .replace("NAME", RUN)
        .replace("PODS", "1")
        .replace("SWEEP", "{requestRate: [10, 11, 12]}")
        .replace("REQUESTS", &REQUESTS.to_string())
        .replace("{backend: Direct}", &metrics);
    ensure!(yaml.contains(&metrics), "{yaml}");
    namespace.apply(&fill(&yaml, namespace, Bucket::S3)?)?;
    Ok(way)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_is_slow_and_then_away_costs_its_own_figures_alone() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let way = start(&namespace).await?;
        under_way(&namespace, RUN, STAGES[1]).await?;
        way.narrow(SLOW_BYTES_PER_SECOND);
        under_way(&namespace, RUN, STAGES[2]).await?;
        way.close();

        let status = complete(&namespace, RUN).await?;
        let uri = status.report_uri.as_deref().context("no report URI")?;
        let report = report(&namespace, Bucket::S3, uri).await?;
        let stages = &report.engines.first().context("no engine")?.stages;
        let [well, slow, away] = &stages[..] else {
            anyhow::bail!("{} stages", stages.len());
        };
        for stage in stages {
            ensure!(stage.requests.succeeded == REQUESTS, "{:?}", stage.requests);
            ensure!(
                stage.verdict.status != VerdictStatus::Invalid,
                "{:?}",
                stage.verdict
            );
        }
        let metric = &well.engine_metrics["generationTokens"];
        ensure!(metric.prometheus.is_some(), "{metric:?}");
        nothing_of(slow, "not answered: all questions of one window have 60 s")?;
        nothing_of(away, "PrometheusUnreachable")?;
        nothing_left(&namespace).await
    })
    .await
}

/// Of a stage nothing came from Prometheus, the reason is told, and the runner's own scrape is there.
fn nothing_of(stage: &StageReport, reason: &str) -> Result<()> {
    let name = &stage.name;
    let metric = &stage.engine_metrics["generationTokens"];
    ensure!(metric.prometheus.is_none(), "{name}: {metric:?}");
    ensure!(metric.direct.is_some(), "{name}: {metric:?}");
    let absent = metric.absent.as_deref().unwrap_or_default();
    ensure!(absent.contains(reason), "{name}: {absent:?}");
    Ok(())
}
