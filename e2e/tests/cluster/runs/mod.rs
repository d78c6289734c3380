//! Whole runs: applied, watched, and their reports read from the bucket.

mod agreement;
mod bakeoff;
mod bucket_away;
mod bucket_full;
mod canary;
mod controllers;
mod crashes;
mod every_engine;
mod failures;
mod hub;
mod inputs;
mod lifecycle;
mod lost_node;
mod objects;
mod other_objects;
mod pod_monitor;
mod preempted;
mod prefetched;
mod prometheus_away;
mod queue;
mod read_again;
mod shards;
mod truth;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bakeoff_crds::run::{BenchmarkRun, BenchmarkRunStatus, status::condition};
use bakeoff_e2e::harness::{Namespace, await_condition};

/// Longest wait for a whole run: longer than the runs' own deadlines, which say what went wrong.
const RUN_LIMIT: Duration = Duration::from_secs(1500);

/// Waits for the end of a run and returns its status.
async fn ended(namespace: &Namespace, name: &str, limit: Duration) -> Result<BenchmarkRunStatus> {
    let is_over = |run: Option<&BenchmarkRun>| {
        run.and_then(|run| run.status.as_ref())
            .is_some_and(|status| {
                is_true(status, condition::COMPLETE) || is_true(status, condition::FAILED)
            })
    };
    let run = await_condition(
        namespace.api::<BenchmarkRun>(),
        name,
        "it ends",
        limit,
        is_over,
    )
    .await?
    .and_then(|run| run.status)
    .context("the run is gone")?;
    Ok(run)
}

/// As [`ended`], for a run that must end with a report.
async fn complete(namespace: &Namespace, name: &str) -> Result<BenchmarkRunStatus> {
    let status = ended(namespace, name, RUN_LIMIT).await?;
    if !is_true(&status, condition::COMPLETE) {
        bail!("{name} is not Complete: {:#?}", status.conditions);
    }
    Ok(status)
}

fn is_true(status: &BenchmarkRunStatus, condition: &str) -> bool {
    status
        .conditions
        .iter()
        .any(|found| found.type_ == condition && found.status == "True")
}

/// Reason and message of a condition.
fn reason<'a>(status: &'a BenchmarkRunStatus, condition: &str) -> Result<(&'a str, &'a str)> {
    let found = status
        .conditions
        .iter()
        .find(|found| found.type_ == condition)
        .with_context(|| format!("no condition {condition}: {:#?}", status.conditions))?;
    Ok((&found.reason, &found.message))
}
