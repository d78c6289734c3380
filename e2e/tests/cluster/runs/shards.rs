//! Several runner pods that act as one client.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::Report;
use bakeoff_crds::run::{BenchmarkRun, status::VerdictStatus, status::condition};
use bakeoff_e2e::harness::{Namespace, await_condition, has_cluster, with_namespace};

use super::bakeoff::{nothing_left, report};
use super::inputs::{Bucket, fill, prepare};
use super::truth::{self, Truth};
use super::{RUN_LIMIT, complete, reason};
use crate::install;

const SHARDED: &str = include_str!("sharded.yaml");

async fn start(namespace: &Namespace, sweep: &str, requests: u32) -> Result<()> {
    install::operator(namespace).await?;
    prepare(namespace, Bucket::S3).await?;
    let yaml = SHARDED
        .replace("SWEEP", sweep)
        .replace("REQUESTS", &requests.to_string());
    namespace.apply(&fill(&yaml, namespace, Bucket::S3)?)?;
    Ok(())
}

async fn read(namespace: &Namespace) -> Result<Report> {
    let status = complete(namespace, "sharded").await?;
    let uri = status.report_uri.context("no report URI")?;
    report(namespace, Bucket::S3, &uri).await
}

#[tokio::test]
async fn four_runner_pods_act_as_one() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let truth = Truth::follow(&namespace);
        let stages = "[{name: two, concurrency: 2}, {name: eight, concurrency: 8}, \
                       {name: by-the-clock, requestRate: 10}]";
        start(&namespace, &format!("{{stages: {stages}}}"), 40).await?;
        let report = read(&namespace).await?;
        nothing_left(&namespace).await?;
        let stages = &report.engines[0].stages;
        ensure!(stages.len() == 3, "{} stages", stages.len());
        for stage in stages {
            ensure!(stage.attempt == 1, "{}: {:?}", stage.name, stage.verdict);
            ensure!(stage.requests.succeeded == 40, "{:?}", stage.requests);
            ensure!(stage.shards.len() == 4, "{} shards", stage.shards.len());
            let sent: Vec<u64> = stage
                .shards
                .iter()
                .map(|shard| shard.requests.sent)
                .collect();
            let expected = match stage.name.as_str() {
                "two" => [20, 20, 0, 0],
                _ => [10; 4],
            };
            ensure!(sent == expected, "{}: {sent:?}", stage.name);
        }
        // One that is tried, two to warm up, and each of the stages' requests once.
        let seen = truth.into_requests();
        ensure!(
            truth::count(&seen)? == 1 + 2 + 3 * 40,
            "{}",
            truth::count(&seen)?
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_runner_pod_that_is_killed_costs_its_attempt_and_nothing_else() -> Result<()> {
    killed(2).await
}

#[tokio::test]
async fn the_first_runner_pod_that_is_killed_costs_its_attempt_and_nothing_else() -> Result<()> {
    killed(0).await
}

/// One of four pods is deleted while it makes load.
async fn killed(index: u32) -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        // Half a minute under load.
        start(&namespace, "{requestRate: [10]}", 300).await?;
        let under_load = |run: Option<&BenchmarkRun>| {
            run.and_then(|run| run.status.as_ref())
                .and_then(|status| reason(status, condition::PROGRESSING).ok())
                .is_some_and(|(_, message)| message.contains("rate-10"))
        };
        let runs = namespace.api::<BenchmarkRun>();
        await_condition(
            runs,
            "sharded",
            "the stage is under way",
            RUN_LIMIT,
            under_load,
        )
        .await?;
        namespace.kubectl(&[
            "delete",
            "pod",
            "--selector",
            &format!(
                "batch.kubernetes.io/job-completion-index={index},bakeoff.dev/component=runner"
            ),
            "--grace-period=0",
            "--force",
        ])?;
        let report = read(&namespace).await?;
        let stages = &report.engines[0].stages;
        let cut = stages
            .iter()
            .find(|stage| stage.attempt == 1)
            .context("no first attempt")?;
        ensure!(
            cut.verdict.status == VerdictStatus::Invalid,
            "{:?}",
            cut.verdict
        );
        // It has a second between SIGTERM and SIGKILL, and may store its part in it.
        let named = format!("shard {index}");
        let is_named = cut.verdict.reasons.iter().any(|reason| {
            ["ShardLost", "Cancelled"].contains(&reason.reason.as_str())
                && reason.message.starts_with(&named)
        });
        ensure!(is_named, "{:?}", cut.verdict);
        // The others' results are kept: each drove its part to the end.
        for shard in cut.shards.iter().filter(|shard| shard.index != index) {
            ensure!(!shard.lost, "{shard:?}");
            ensure!(shard.requests.succeeded == 75, "{shard:?}");
        }
        let own = &cut.shards[index as usize];
        ensure!(own.lost || own.requests.succeeded < 75, "{own:?}");
        // The pod was made anew, and all drove the stage again.
        let again = stages
            .iter()
            .find(|stage| stage.attempt == 2)
            .context("no second attempt")?;
        ensure!(again.requests.succeeded == 300, "{:?}", again.requests);
        ensure!(
            again.shards.iter().all(|shard| !shard.lost),
            "{:?}",
            again.shards
        );
        nothing_left(&namespace).await
    })
    .await
}
