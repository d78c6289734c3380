//! Runs beside each other, deleted midway, and with the operator killed.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::{BenchmarkRun, status::RunPhase};
use bakeoff_e2e::harness::{Namespace, await_condition, has_cluster, with_namespace};

use super::bakeoff::{await_none, nothing_left, report};
use super::inputs::{Bucket, fill, prepare};
use super::{RUN_LIMIT, complete};
use crate::install;

const SIMULATED: &str = include_str!("simulated.yaml");

async fn start(namespace: &Namespace, bucket: Bucket) -> Result<()> {
    install::operator(namespace).await?;
    prepare(namespace, bucket).await?;
    namespace.apply(&fill(SIMULATED, namespace, bucket)?)?;
    Ok(())
}

/// Waits until an engine of the run is under load.
async fn measuring(namespace: &Namespace) -> Result<()> {
    let is_measuring = |run: Option<&BenchmarkRun>| {
        run.and_then(|run| run.status.as_ref())
            .is_some_and(|status| {
                status.phase == RunPhase::Running
                    && status
                        .progress
                        .as_deref()
                        .is_some_and(|progress| progress.contains("engine"))
            })
    };
    let runs = namespace.api::<BenchmarkRun>();
    await_condition(
        runs,
        "simulated",
        "an engine is under load",
        RUN_LIMIT,
        is_measuring,
    )
    .await?;
    Ok(())
}

/// Requests that a report says succeeded, by engine and stage.
fn counts(report: &bakeoff_crds::report::Report) -> Vec<(String, String, u64)> {
    report
        .engines
        .iter()
        .flat_map(|engine| {
            engine.stages.iter().map(|stage| {
                (
                    engine.name.clone(),
                    stage.name.clone(),
                    stage.requests.succeeded,
                )
            })
        })
        .collect()
}

fn expected() -> Vec<(String, String, u64)> {
    ["quick", "slow"]
        .into_iter()
        .flat_map(|engine| {
            ["concurrency-1", "concurrency-4"]
                .map(|stage| (engine.to_owned(), stage.to_owned(), 20))
        })
        .collect()
}

#[tokio::test]
async fn two_runs_at_once_in_two_namespaces() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    let one = async |bucket: Bucket| {
        with_namespace(async |namespace| {
            start(&namespace, bucket).await?;
            let status = complete(&namespace, "simulated").await?;
            let uri = status.report_uri.context("no report URI")?;
            let report = report(&namespace, bucket, &uri).await?;
            ensure!(counts(&report) == expected(), "{:?}", counts(&report));
            nothing_left(&namespace).await
        })
        .await
    };
    let (s3, gcs) = tokio::join!(one(Bucket::S3), one(Bucket::Gcs));
    s3.and(gcs)
}

#[tokio::test]
async fn deleting_a_run_midway_frees_everything_within_a_minute() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        start(&namespace, Bucket::S3).await?;
        measuring(&namespace).await?;
        namespace.kubectl(&["delete", "bmr", "simulated", "--wait=false"])?;
        await_none(&namespace, |_| true).await?;
        for kind in ["jobs", "services", "configmaps"] {
            let left = namespace.kubectl(&[
                "get",
                kind,
                "--selector",
                "app.kubernetes.io/managed-by=bakeoff",
                "--output",
                "name",
            ])?;
            ensure!(left.trim().is_empty(), "{left}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_operator_killed_midway_changes_nothing() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _alone = crate::turns::alone().await;
    with_namespace(async |namespace| {
        start(&namespace, Bucket::S3).await?;
        measuring(&namespace).await?;
        install::kill_operator(&namespace)?;
        let status = complete(&namespace, "simulated").await?;
        let uri = status.report_uri.context("no report URI")?;
        let report = report(&namespace, Bucket::S3, &uri).await?;
        ensure!(counts(&report) == expected(), "{:?}", counts(&report));
        nothing_left(&namespace).await
    })
    .await
}
