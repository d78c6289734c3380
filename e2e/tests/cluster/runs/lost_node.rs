//! The loss of a node under load, with a real kubelet that falls silent, the real node controller,
//! taint manager and garbage collector, and its return.
//!
//! They disturb whatever else runs, so `cargo e2e test` runs them alone and last; the second node is
//! there only for them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::BenchmarkRunStatus;
use bakeoff_crds::run::status::{EnginePhase, condition};
use bakeoff_crds::summary::reason;
use bakeoff_e2e::cluster::second;
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_e2e::settings::{NODE, foreign_kubeconfig};
use bakeoff_e2e::{images, wait};
use tracing::warn;

use super::bakeoff::{await_none, is_alive, report};
use super::inputs::{Bucket, fill, prepare};
use super::lifecycle::{counts, expected, measuring};
use super::{complete, reason as reason_of};
use crate::install;

const SIMULATED: &str = include_str!("simulated.yaml");

/// Whether its machine is gone for good, as a cloud's node controller says by deleting the Node; or
/// it is only silent, and its pods are evicted after their toleration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Deleted,
    Silent,
}

#[tokio::test]
#[ignore = "loses a node: runs alone, after the others"]
async fn a_node_that_is_deleted_under_load() -> Result<()> {
    lose(Loss::Deleted).await
}

#[tokio::test]
#[ignore = "loses a node: runs alone, after the others"]
async fn a_node_that_falls_silent_under_load() -> Result<()> {
    lose(Loss::Silent).await
}

async fn lose(loss: Loss) -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    if foreign_kubeconfig().is_some() {
        warn!("skipped: a cluster of somebody else's gets no second node");
        return Ok(());
    }
    with_namespace(async |namespace| {
        let outcome = on_a_second_node(&namespace, loss).await;
        // Whatever came of it, the cluster is as it was.
        let first = namespace.kubectl.run(&["uncordon", NODE]);
        let second = second::down(&namespace.layout);
        outcome.and(first).and(second)
    })
    .await
}

async fn on_a_second_node(namespace: &Namespace, loss: Loss) -> Result<()> {
    install::operator(namespace).await?;
    prepare(namespace, Bucket::S3).await?;
    let runner = images::name("bakeoff-runner");
    second::up(&namespace.layout, &[images::PAUSE, &runner])?;
    // The run goes to the second node; the operator stays on the first.
    namespace.kubectl.run(&["cordon", NODE])?;
    namespace.apply(&tolerant(&fill(SIMULATED, namespace, Bucket::S3)?)?)?;
    measuring(namespace, "slow").await?;
    second::fall_silent()?;
    namespace.kubectl.run(&["uncordon", NODE])?;
    if loss == Loss::Deleted {
        namespace.kubectl.run(&["delete", "node", second::NAME])?;
    }
    let status = complete(namespace, "simulated").await?;
    began_anew_on_the_first(&status)?;
    told(namespace, &status).await?;
    ended_on_return(namespace).await
}

/// The pods leave a silent node after 5 s instead of the usual 5 min.
fn tolerant(yaml: &str) -> Result<String> {
    let tolerations = "tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, \
                       effect: NoExecute, tolerationSeconds: 5}]";
    let mut yaml = yaml.to_owned();
    for part in ["  hardware:\n", "  runner:\n"] {
        ensure!(yaml.contains(part), "the run has no {part}");
        yaml = yaml.replace(part, &format!("{part}    {tolerations}\n"));
    }
    Ok(yaml)
}

/// What was measured on the lost node is superseded; each engine was measured again on the other.
fn began_anew_on_the_first(status: &BenchmarkRunStatus) -> Result<()> {
    let (ended, message) = reason_of(status, condition::COMPLETE)?;
    ensure!(ended == "Succeeded", "{ended}: {message}");
    let [restart] = status.restarts.as_slice() else {
        anyhow::bail!("{:#?}", status.restarts);
    };
    ensure!(
        (restart.round, restart.restart) == (1, 1)
            && restart.reason == reason::NODE_LOST
            && restart.node_name.as_deref() == Some(second::NAME),
        "{restart:?}"
    );
    let turns: Vec<_> = status
        .turns
        .iter()
        .map(|turn| {
            let node = turn.node_name.as_deref().unwrap_or_default();
            (turn.engine.as_str(), turn.restart, turn.phase, node)
        })
        .collect();
    ensure!(
        turns
            == [
                ("quick", 0, EnginePhase::Succeeded, second::NAME),
                ("slow", 0, EnginePhase::Failed, second::NAME),
                ("quick", 1, EnginePhase::Succeeded, NODE),
                ("slow", 1, EnginePhase::Succeeded, NODE),
            ],
        "{turns:?}"
    );
    let superseded = status.turns.iter().map(|turn| turn.superseded);
    ensure!(
        superseded.eq([true, true, false, false]),
        "{:#?}",
        status.turns
    );
    Ok(())
}

/// The report has the figures of the second attempt, and says why; so do the run's events.
async fn told(namespace: &Namespace, status: &BenchmarkRunStatus) -> Result<()> {
    let uri = status.report_uri.as_deref().context("no report URI")?;
    let mut report = report(namespace, Bucket::S3, uri).await?;
    ensure!(report.run.restarts.len() == 1, "{:?}", report.run.restarts);
    let says =
        |warning: &String| warning.contains("Round 1 began anew") && warning.contains(second::NAME);
    ensure!(
        report.run.warnings.iter().any(says),
        "{:?}",
        report.run.warnings
    );
    for engine in &mut report.engines {
        engine.stages.retain(|stage| stage.restart == 1);
    }
    ensure!(counts(&report) == expected(), "{:?}", counts(&report));
    let events = namespace.kubectl(&["get", "events", "--field-selector=reason=RoundRestarted"])?;
    ensure!(events.contains(second::NAME), "{events}");
    Ok(())
}

/// The containers of the lost node run on, unseen, until its kubelet is back and ends them.
async fn ended_on_return(namespace: &Namespace) -> Result<()> {
    let before = second::containers()?;
    ensure!(!before.is_empty(), "nothing ran on while the node was lost");
    second::answer(&namespace.layout)?;
    wait::until(
        "the kubelet has ended what ran on",
        Duration::from_secs(180),
        || {
            let left = second::containers()?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        },
    )?;
    await_none(namespace, is_alive).await
}
