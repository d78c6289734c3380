//! The scheduler gives an engine's accelerator to a more important pod, amid its load.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::BenchmarkRun;
use bakeoff_crds::run::status::EnginePhase;
use bakeoff_crds::summary::reason as reasons;
use bakeoff_e2e::harness::{Namespace, Seat, await_condition, has_cluster, with_namespace};
use bakeoff_e2e::images;
use serde_json::json;

use super::bakeoff::{nothing_left, report};
use super::inputs::{Bucket, fill, prepare};
use super::shards::under_way;
use super::{RUN_LIMIT, complete};
use crate::install;

const REQUESTS: u64 = 300;

#[tokio::test]
async fn a_preempted_engine_costs_its_round_and_the_run_goes_on() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let seat = Seat::make(&namespace)?;
        let hardware = format!(
            "  hardware:\n    accelerator: {{resource: \"{}\", count: 1}}\n    sharedMemory: 16Mi\n",
            seat.name()
        );
        let yaml = include_str!("sharded.yaml")
            .replace("NAME", "preempted")
            .replace("PODS", "1")
            .replace("SWEEP", "{requestRate: [10]}")
            .replace("REQUESTS", &REQUESTS.to_string())
            .replace("  hardware:\n", &hardware);
        let yaml = fill(&yaml, &namespace, Bucket::S3)?;
        ensure!(yaml.contains(&hardware), "{yaml}");
        namespace.apply(&yaml)?;
        under_way(&namespace, "preempted", "rate-10").await?;
        important(&namespace, &seat)?;
        began_anew(&namespace).await?;
        // The next turn waits for the accelerator, until that pod gives it back.
        namespace.kubectl(&["delete", "pod", "important", "--grace-period=0", "--force"])?;

        let status = complete(&namespace, "preempted").await?;
        let [first, second] = &status.turns[..] else {
            anyhow::bail!("{:#?}", status.turns);
        };
        ensure!(first.superseded, "{first:#?}");
        ensure!(
            first.reason.as_deref() == Some(reasons::ENGINE_PREEMPTED),
            "{first:#?}"
        );
        ensure!(
            (second.phase, second.restart) == (EnginePhase::Succeeded, 1),
            "{second:#?}"
        );
        let uri = status.report_uri.as_deref().context("no report URI")?;
        let report = report(&namespace, Bucket::S3, uri).await?;
        let stages = &report.engines[0].stages;
        let whole = stages.iter().find(|stage| stage.restart == 1);
        let whole = whole.context("no stage of the second turn")?;
        ensure!(whole.requests.succeeded == REQUESTS, "{:?}", whole.requests);
        nothing_left(&namespace).await
    })
    .await
}

/// A pod that goes before all others, and takes what the engine has.
fn important(namespace: &Namespace, seat: &Seat<'_>) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "important" },
        "spec": {
            // Every cluster has it.
            "priorityClassName": "system-cluster-critical",
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "pause", "image": images::PAUSE,
                "resources": { "limits": { seat.name(): "1" } },
            }],
        },
    });
    namespace.apply(&pod.to_string()).map(drop)
}

/// Waits until the operator says that the round begins anew.
async fn began_anew(namespace: &Namespace) -> Result<()> {
    let restarted = |run: Option<&BenchmarkRun>| {
        run.and_then(|run| run.status.as_ref())
            .is_some_and(|status| !status.restarts.is_empty())
    };
    let runs = namespace.api::<BenchmarkRun>();
    let what = "the round begins anew";
    await_condition(runs, "preempted", what, RUN_LIMIT, restarted).await?;
    Ok(())
}
