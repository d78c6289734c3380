//! Several runner pods that act as one client.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::{Distribution, Report, StageReport};
use bakeoff_crds::run::{BenchmarkRun, status::VerdictStatus, status::condition};
use bakeoff_e2e::harness::{Namespace, await_condition, has_cluster, with_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{EvictParams, ListParams};

use super::agreement;
use super::bakeoff::{nothing_left, report};
use super::inputs::{Bucket, fill, prepare};
use super::truth::{self, Truth};
use super::{RUN_LIMIT, complete, reason};
use crate::install;

const SHARDED: &str = include_str!("sharded.yaml");

async fn prepared(namespace: &Namespace) -> Result<()> {
    install::operator(namespace).await?;
    prepare(namespace, Bucket::S3).await
}

fn start(namespace: &Namespace, name: &str, pods: u32, sweep: &str, requests: u32) -> Result<()> {
    let yaml = SHARDED
        .replace("NAME", name)
        .replace("PODS", &pods.to_string())
        .replace("SWEEP", sweep)
        .replace("REQUESTS", &requests.to_string());
    namespace.apply(&fill(&yaml, namespace, Bucket::S3)?)?;
    Ok(())
}

async fn read(namespace: &Namespace, name: &str) -> Result<Report> {
    let status = complete(namespace, name).await?;
    let uri = status.report_uri.context("no report URI")?;
    report(namespace, Bucket::S3, &uri).await
}

#[tokio::test]
async fn four_runner_pods_act_as_one() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    with_namespace(async |namespace| {
        // Its figures are held against others, so nothing else may run on the two cores.
        let _alone = crate::turns::alone().await?;
        prepared(&namespace).await?;
        let stages = "{stages: [{name: two, concurrency: 2}, {name: eight, concurrency: 8}, \
                      {name: by-the-clock, requestRate: 10}]}";
        let truth = Truth::follow(&namespace);
        start(&namespace, "four", 4, stages, 40)?;
        let four = read(&namespace, "four").await?;
        nothing_left(&namespace).await?;
        let seen = truth.into_requests();
        // One that is tried, four of the probe, two to warm up, and each of the stages' requests once.
        let count = truth::count(&seen)?;
        ensure!(count == 1 + 4 + 2 + 3 * 40, "{count} requests");
        start(&namespace, "one", 1, stages, 40)?;
        let one = read(&namespace, "one").await?;

        let (four, one) = (&four.engines[0].stages, &one.engines[0].stages);
        ensure!(four.len() == 3 && one.len() == 3, "{} stages", four.len());
        for (four, one) in four.iter().zip(one) {
            in_equal_parts(four)?;
            agreement::check(four, &seen[&("quick".to_owned(), 1)]).context(four.name.clone())?;
            same_distribution(four, one).context(four.name.clone())?;
        }
        Ok(())
    })
    .await
}

/// Whether each of the four pods drove its part of a stage.
fn in_equal_parts(stage: &StageReport) -> Result<()> {
    ensure!(stage.attempt == 1, "{}: {:?}", stage.name, stage.verdict);
    ensure!(stage.requests.succeeded == 40, "{:?}", stage.requests);
    let parts = stage.shards.iter();
    let sent: Vec<u64> = parts.map(|shard| shard.requests.sent).collect();
    let expected = match stage.name.as_str() {
        "two" => [20, 20, 0, 0],
        _ => [10; 4],
    };
    ensure!(sent == expected, "{}: {sent:?}", stage.name);
    Ok(())
}

/// Whether four pods and one measured the same: no mean differs by more than five standard errors of
/// the difference (a false alarm in two million), and 2 ms for the pods' own share of two cores.
fn same_distribution(four: &StageReport, one: &StageReport) -> Result<()> {
    for (what, four, one) in [
        (
            "time to first token",
            &four.time_to_first_token,
            &one.time_to_first_token,
        ),
        (
            "time per output token",
            &four.time_per_output_token,
            &one.time_per_output_token,
        ),
    ] {
        let (four, one) = four.as_ref().zip(one.as_ref()).context(what)?;
        ensure!(four.count == one.count, "{what}: {four:?} {one:?}");
        let variance = |of: &Distribution| of.stddev.powi(2) / of.count as f64;
        let error = (variance(four) + variance(one)).sqrt();
        ensure!(
            (four.mean - one.mean).abs() <= 5.0 * error + 0.002,
            "{what}: four pods say {four:?}, one says {one:?}"
        );
    }
    Ok(())
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
        prepared(&namespace).await?;
        start(&namespace, "sharded", 4, "{requestRate: [10]}", 300)?;
        under_way(&namespace, "sharded", "rate-10").await?;
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
        let report = read(&namespace, "sharded").await?;
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

/// Waits until a stage of a run is said to be under way.
pub(super) async fn under_way(namespace: &Namespace, name: &str, stage: &str) -> Result<()> {
    let named = |run: Option<&BenchmarkRun>| {
        run.and_then(|run| run.status.as_ref())
            .and_then(|status| reason(status, condition::PROGRESSING).ok())
            .is_some_and(|(_, message)| message.contains(stage))
    };
    let runs = namespace.api::<BenchmarkRun>();
    let what = format!("{stage} is under way");
    await_condition(runs, name, &what, RUN_LIMIT, named).await?;
    Ok(())
}

/// Through the eviction API, as a drained node does it: the pod has its time to store what it has.
#[tokio::test]
async fn a_runner_that_is_evicted_drives_its_stage_again_and_no_other() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        prepared(&namespace).await?;
        start(&namespace, "sharded", 1, "{requestRate: [10, 12]}", 200)?;
        under_way(&namespace, "sharded", "rate-12").await?;
        let runners = ListParams::default().labels("bakeoff.dev/component=runner");
        let pods = namespace.api::<Pod>();
        let name = pods
            .list(&runners)
            .await?
            .items
            .first()
            .map(ResourceExt::name_any);
        let name = name.context("no runner")?;
        pods.evict(&name, &EvictParams::default()).await?;
        let report = read(&namespace, "sharded").await?;
        let stages = report.engines[0].stages.iter();
        let driven: Vec<_> = stages
            .map(|stage| (&*stage.name, stage.attempt, stage.requests.succeeded == 200))
            .collect();
        let expected = [
            ("rate-10", 1, true),
            ("rate-12", 1, false),
            ("rate-12", 2, true),
        ];
        ensure!(driven == expected, "{driven:?}");
        let cut = &report.engines[0].stages[1];
        ensure!(
            cut.verdict.status == VerdictStatus::Invalid,
            "{:?}",
            cut.verdict
        );
        nothing_left(&namespace).await
    })
    .await
}
