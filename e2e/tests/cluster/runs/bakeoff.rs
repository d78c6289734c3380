//! The main job: four engines, one of them real, two repetitions, two rounds, a report in a bucket.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::Report;
use bakeoff_crds::run::status::{EnginePhase, TurnStatus};
use bakeoff_e2e::harness::{Namespace, await_condition, has_cluster, read_json, with_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::inputs::{Bucket, fill, prepare};
use super::truth::{self, Truth};
use super::{agreement, complete};
use crate::install;

const FOUR_ENGINES: &str = include_str!("four-engines.yaml");
const SIMULATED: [&str; 3] = ["vllm", "tgi", "triton"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_engines_into_s3() -> Result<()> {
    bake_off(Bucket::S3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_engines_into_gcs() -> Result<()> {
    bake_off(Bucket::Gcs).await
}

async fn bake_off(bucket: Bucket) -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    with_namespace(async |namespace| {
        // Its figures are held against the truth, so nothing else may run on the two cores.
        let _alone = crate::turns::alone().await?;
        install::operator(&namespace).await?;
        prepare(&namespace, bucket).await?;
        let truth = Truth::follow(&namespace);
        namespace.apply(&fill(FOUR_ENGINES, &namespace, bucket)?)?;
        let status = complete(&namespace, "four-engines").await?;

        let uri = status.report_uri.as_deref().context("no report URI")?;
        let report = report(&namespace, bucket, uri).await?;
        ensure!(status.turns.len() == 8, "{} turns", status.turns.len());
        never_side_by_side(&status.turns)?;
        all_on_the_first_node(&status.turns)?;
        nothing_left(&namespace).await?;
        every_stage_is_there(&report)?;
        prometheus_is_there(&report)?;

        let seen = truth.into_requests();
        truth::count(&seen)?;
        for engine in report
            .engines
            .iter()
            .filter(|engine| SIMULATED.contains(&engine.name.as_str()))
        {
            for stage in &engine.stages {
                let requests =
                    seen.get(&(engine.name.clone(), stage.round))
                        .with_context(|| {
                            format!("no log of {} in round {}", engine.name, stage.round)
                        })?;
                agreement::check(stage, requests).with_context(|| {
                    // Where the client had no CPU, its own verdict says so.
                    let reasons = stage.verdict.reasons.iter();
                    let reasons: Vec<_> = reasons.map(|reason| &*reason.reason).collect();
                    format!(
                        "{} {} round {} repetition {}, for which the report warns of {reasons:?}",
                        engine.name, stage.name, stage.round, stage.repetition
                    )
                })?;
            }
        }
        Ok(())
    })
    .await
}

/// Reads report.json, and checks that what belongs beside it is there.
pub(super) async fn report(namespace: &Namespace, bucket: Bucket, uri: &str) -> Result<Report> {
    let key = uri
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(_, key)| key)
        .with_context(|| format!("{uri} is no address in a bucket"))?;
    let store = bucket.open(namespace)?;
    let folder = key
        .strip_suffix("/report.json")
        .context("the report URI names report.json")?;
    for file in [
        "report.html",
        "comparison.svg",
        "comparison.png",
        "summary.csv",
        "manifest.json",
    ] {
        let path = object_store::path::Path::from(format!("{folder}/{file}"));
        object_store::ObjectStoreExt::head(&*store, &path)
            .await
            .with_context(|| format!("no {file}"))?;
    }
    read_json(&*store, key).await
}

/// Engines take the accelerator one after another.
pub(super) fn never_side_by_side(turns: &[TurnStatus]) -> Result<()> {
    for pair in turns.windows(2) {
        let ended = pair[0].end_time.as_ref().context("a turn without an end")?;
        let began = pair[1]
            .start_time
            .as_ref()
            .context("a turn without a beginning")?;
        ensure!(
            ended.0 <= began.0,
            "{} began at {} before {} ended at {}",
            pair[1].engine,
            began.0,
            pair[0].engine,
            ended.0
        );
    }
    Ok(())
}

fn all_on_the_first_node(turns: &[TurnStatus]) -> Result<()> {
    let first = turns
        .first()
        .and_then(|turn| turn.node_name.as_ref())
        .context("no node")?;
    for turn in turns {
        ensure!(turn.phase == EnginePhase::Succeeded, "{turn:#?}");
        ensure!(
            turn.node_name.as_ref() == Some(first),
            "{} ran elsewhere",
            turn.engine
        );
    }
    Ok(())
}

/// No pod of the run holds an accelerator, or anything, at its end.
pub(super) async fn nothing_left(namespace: &Namespace) -> Result<()> {
    let pods = namespace.api::<Pod>().list(&ListParams::default()).await?;
    let alive = pods.iter().filter(|pod| is_alive(pod));
    let alive: Vec<String> = alive.map(|pod| pod.name_any()).collect();
    ensure!(alive.is_empty(), "still there: {alive:?}");
    Ok(())
}

/// Waits until no pod is left that `counts`, a minute for each.
pub(super) async fn await_none(namespace: &Namespace, counts: fn(&Pod) -> bool) -> Result<()> {
    let pods = namespace.api::<Pod>();
    let limit = Duration::from_secs(60);
    loop {
        let all = pods.list(&ListParams::default()).await?;
        let Some(pod) = all.into_iter().find(counts) else {
            return Ok(());
        };
        let gone = |pod: Option<&Pod>| !pod.is_some_and(counts);
        await_condition(pods.clone(), &pod.name_any(), "it is gone", limit, gone).await?;
    }
}

/// Whether a pod has not ended.
pub(super) fn is_alive(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

fn every_stage_is_there(report: &Report) -> Result<()> {
    for engine in &report.engines {
        // Two levels, two repetitions, two rounds.
        ensure!(
            engine.stages.len() == 8,
            "{} has {} stages",
            engine.name,
            engine.stages.len()
        );
        for stage in &engine.stages {
            let requests = &stage.requests;
            ensure!(
                requests.intended == 20 && requests.succeeded == 20,
                "{} {}: {requests:?}",
                engine.name,
                stage.name
            );
        }
    }
    Ok(())
}

/// Prometheus' figures are there, or the reason why not: the real engine's tiny model is done before
/// a Prometheus has looked four times.
fn prometheus_is_there(report: &Report) -> Result<()> {
    for engine in &report.engines {
        let metrics = || {
            engine
                .stages
                .iter()
                .filter_map(|stage| stage.engine_metrics.get("generationTokens"))
        };
        let absent = metrics().all(|metric| metric.absent.as_deref() == Some("WindowTooShort"));
        let there = metrics().any(|metric| metric.prometheus.is_some());
        ensure!(
            there || (absent && !SIMULATED.contains(&engine.name.as_str())),
            "{} has no generationTokens from Prometheus: {:?}",
            engine.name,
            metrics().collect::<Vec<_>>()
        );
    }
    Ok(())
}
