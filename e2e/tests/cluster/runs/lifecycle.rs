//! Runs beside each other, deleted midway, and with the operator killed that acts.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::{
    BenchmarkRun,
    status::{EnginePhase, TurnStatus},
};
use bakeoff_e2e::harness::{Namespace, await_condition, has_cluster, with_namespace};
use bakeoff_e2e::settings::Layout;

use super::bakeoff::{await_none, nothing_left, report};
use super::inputs::{Bucket, fill, prepare};
use super::objects::Objects;
use super::{RUN_LIMIT, complete, read_again};
use crate::{install, operators};

const SIMULATED: &str = include_str!("simulated.yaml");

async fn start(namespace: &Namespace, bucket: Bucket) -> Result<()> {
    install::operator(namespace).await?;
    prepare(namespace, bucket).await?;
    namespace.apply(&fill(SIMULATED, namespace, bucket)?)?;
    Ok(())
}

/// Waits until this engine of the run is under load.
pub(super) async fn measuring(namespace: &Namespace, engine: &str) -> Result<()> {
    let is_measuring = |run: Option<&BenchmarkRun>| {
        run.and_then(|run| run.status.as_ref())
            .is_some_and(|status| {
                let mut turns = status.turns.iter();
                turns.any(|turn| turn.engine == engine && turn.phase == EnginePhase::Measuring)
            })
    };
    let runs = namespace.api::<BenchmarkRun>();
    await_condition(
        runs,
        "simulated",
        &format!("{engine} is under load"),
        RUN_LIMIT,
        is_measuring,
    )
    .await?;
    Ok(())
}

/// Requests that a report says succeeded, by engine and stage.
pub(super) fn counts(report: &bakeoff_crds::report::Report) -> Vec<(String, String, u64)> {
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

pub(super) fn expected() -> Vec<(String, String, u64)> {
    ["quick", "slow"]
        .into_iter()
        .flat_map(|engine| {
            ["concurrency-1", "concurrency-4"]
                .map(|stage| (engine.to_owned(), stage.to_owned(), 20))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_in_two_restricted_namespaces() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    let one = async |bucket: Bucket| {
        let mut folder = String::new();
        with_namespace(async |namespace| {
            let name = &namespace.name;
            let label = ["label", "namespace", name, install::RESTRICTED];
            namespace.kubectl.run(&label)?;
            start(&namespace, bucket).await?;
            let status = complete(&namespace, "simulated").await?;
            let uri = status.report_uri.context("no report URI")?;
            let report = report(&namespace, bucket, &uri).await?;
            ensure!(counts(&report) == expected(), "{:?}", counts(&report));
            folder = uri.trim_end_matches("/report.json").to_owned();
            nothing_left(&namespace).await
        })
        .await?;
        anyhow::Ok(folder)
    };
    let (s3, gcs) = tokio::join!(one(Bucket::S3), one(Bucket::Gcs));
    let folders = [s3?, gcs?];
    tokio::task::block_in_place(|| read_again::from_outside(&Layout::from_env()?, &folders))
}

#[tokio::test]
async fn deleting_a_run_midway_frees_everything_within_a_minute() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    // It holds Bakeoff to a time.
    let _alone = crate::turns::alone().await?;
    with_namespace(async |namespace| {
        start(&namespace, Bucket::S3).await?;
        measuring(&namespace, "quick").await?;
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
async fn of_two_operators_one_acts_and_its_end_midway_changes_nothing() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _alone = crate::turns::alone().await?;
    with_namespace(async |namespace| {
        let objects = Objects::follow(&namespace);
        start(&namespace, Bucket::S3).await?;
        measuring(&namespace, "quick").await?;
        operators::one_acts(&namespace).await?;
        operators::kill_the_one_that_acts(&namespace).await?;
        let status = complete(&namespace, "simulated").await?;
        let uri = status.report_uri.as_deref().context("no report URI")?;
        let report = report(&namespace, Bucket::S3, uri).await?;
        ensure!(counts(&report) == expected(), "{:?}", counts(&report));
        let succeeded = |turn: &TurnStatus| turn.phase == EnginePhase::Succeeded;
        ensure!(
            status.turns.len() == 2 && status.turns.iter().all(succeeded),
            "{:#?}",
            status.turns
        );
        ensure!(status.restarts.is_empty(), "{:?}", status.restarts);
        // Preflight, two runners and the reporter, each with its pod; two engines and what holds the
        // node between them.
        objects.each_was_made_once(11)?;
        nothing_left(&namespace).await
    })
    .await
}
