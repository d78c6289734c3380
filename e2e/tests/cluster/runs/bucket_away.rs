//! A bucket that is taken away amid a run: what was measured is held, stored once it is back, slow as it
//! may be, and where it stays away, finished from the pods' logs as the documentation says.

use std::collections::BTreeMap;
use std::path::Path as File;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::{Report, StageReport};
use bakeoff_crds::run::{
    BenchmarkRun,
    status::{EnginePhase, condition},
};
use bakeoff_crds::summary::reason as reasons;
use bakeoff_e2e::command::output;
use bakeoff_e2e::harness::{Namespace, Way, has_cluster, with_namespace};
use bakeoff_e2e::services::s3;
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{ListParams, LogParams};
use object_store::ObjectStore as _;
use object_store::path::Path;

use super::bakeoff::{nothing_left, report};
use super::inputs::{Bucket, fill, prepare};
use super::truth::{self, Truth};
use super::{complete, ended, is_true, read_again, reason};
use crate::install;

const SHARDED: &str = include_str!("sharded.yaml");
pub(super) const RUN: &str = "away";
/// Requests of each of the two stages: five seconds of the first, ten of the second.
const REQUESTS: u64 = 100;
pub(super) const STAGES: [&str; 2] = ["rate-20", "rate-10"];
/// Of a bucket that is slow: a connection's certificates alone take it a second.
const SLOW_BYTES_PER_SECOND: usize = 4000;
/// Longest wait for what the run does within seconds.
pub(super) const LIMIT: Duration = Duration::from_secs(300);
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// A run of two stages that has so much time for its uploads.
pub(super) fn two_stages(namespace: &Namespace, upload: &str) -> Result<String> {
    let yaml = SHARDED
        .replace("NAME", RUN)
        .replace("PODS", "1")
        .replace("SWEEP", "{requestRate: [20, 10]}")
        .replace("REQUESTS", &REQUESTS.to_string())
        .replace("upload: 20s", &format!("upload: {upload}"));
    fill(&yaml, namespace, Bucket::S3)
}

/// Prepares a run whose bucket is at the end of a way, and applies it.
async fn start(namespace: &Namespace, upload: &str) -> Result<Way> {
    install::operator(namespace).await?;
    prepare(namespace, Bucket::S3).await?;
    let way = Way::to(s3::PORT).await?;
    let yaml = two_stages(namespace, upload)?;
    let (whole, closable) = (s3::endpoint()?, format!("https://{}", way.address()));
    ensure!(yaml.contains(&whole), "the run names no endpoint");
    namespace.apply(&yaml.replace(&whole, &closable))?;
    Ok(way)
}

/// Paths in the run's folder, as they are in the bucket, by the way that is always open.
async fn stored(namespace: &Namespace) -> Result<Vec<String>> {
    let bucket = Bucket::S3.open(namespace)?;
    let folder = Path::from(format!("results/{}", namespace.name));
    let objects: Vec<_> = bucket.list(Some(&folder)).try_collect().await?;
    Ok(objects
        .into_iter()
        .map(|object| object.location.to_string())
        .collect())
}

/// Waits until the second stage has begun, before which the first is stored. Nothing is written from then
/// on until it ends.
async fn second_stage_has_begun(namespace: &Namespace) -> Result<()> {
    let end = format!("/{}/attempt-1/begun.json", STAGES[1]);
    let is_there = async {
        while !stored(namespace)
            .await?
            .iter()
            .any(|key| key.ends_with(&end))
        {
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    let waited = tokio::time::timeout(LIMIT, is_there).await;
    waited.context("waited until the second stage has begun")?
}

/// The runner's pods.
pub(super) async fn runners(namespace: &Namespace) -> Result<Vec<Pod>> {
    let own = ListParams::default().labels("bakeoff.dev/component=runner");
    Ok(namespace.api::<Pod>().list(&own).await?.items)
}

/// Waits until the one runner has said something so many times.
pub(super) async fn runner_says(namespace: &Namespace, words: &str, times: usize) -> Result<()> {
    let runner = runners(namespace).await?.into_iter().next();
    let name = runner.context("there is no runner")?.name_any();
    let parameters = LogParams {
        follow: true,
        ..LogParams::default()
    };
    let said = async {
        let pods = namespace.api::<Pod>();
        let mut lines = pods.log_stream(&name, &parameters).await?.lines();
        let mut heard = 0;
        while heard < times {
            let line = lines.try_next().await?.context("the runner has ended")?;
            heard += usize::from(line.contains(words));
        }
        anyhow::Ok(())
    };
    let waited = tokio::time::timeout(LIMIT, said).await;
    waited.with_context(|| format!("waited until the runner says {words:?}"))?
}

/// Both stages are in the report once, from their first attempt, with the requests that the engine
/// itself saw in their time; and it saw no others but those that come before the load.
pub(super) fn nothing_lost_nothing_twice(report: &Report, truth: Truth) -> Result<()> {
    let seen = truth.into_requests();
    let all = truth::count(&seen)?;
    let requests = &seen[&("quick".to_owned(), 1)];
    let engine = report.engines.first().context("no engine")?;
    let names: Vec<&str> = engine.stages.iter().map(|stage| &*stage.name).collect();
    ensure!(names == STAGES, "{names:?}");
    for stage in &engine.stages {
        ensure!(stage.attempt == 1, "{}: {:?}", stage.name, stage.verdict);
        ensure!(stage.requests.succeeded == REQUESTS, "{:?}", stage.requests);
        let sent = sent(stage, requests)?;
        ensure!(sent == REQUESTS, "{} got {sent} requests", stage.name);
    }
    let beside = all as u64 - 2 * REQUESTS;
    ensure!(beside < REQUESTS / 2, "{beside} requests of no stage");
    Ok(())
}

/// Requests of a stage's time, by the engine's log.
fn sent(stage: &StageReport, requests: &[truth::Request]) -> Result<u64> {
    let start: Timestamp = stage.window.start.parse()?;
    let start = start.as_nanosecond() as f64 / 1e9;
    let end = start + stage.window.duration_seconds;
    Ok(truth::within(requests, start, end).len() as u64)
}

fn attempts(keys: &[String]) -> BTreeMap<&str, usize> {
    let mut attempts = BTreeMap::new();
    for key in keys {
        if let Some(attempt) = key.split('/').find(|part| part.starts_with("attempt-")) {
            *attempts.entry(attempt).or_default() += 1;
        }
    }
    attempts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_taken_away_and_comes_back_slow_costs_nothing() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let truth = Truth::follow(&namespace);
        let way = start(&namespace, "5m").await?;
        second_stage_has_begun(&namespace).await?;
        way.close();
        // Longer than one of its pauses: it has been asked again, and is still away.
        runner_says(&namespace, "the store is away, trying again", 2).await?;
        let before = stored(&namespace).await?;
        let is_stored = STAGES.map(|stage| {
            let end = format!("/{stage}/attempt-1/stage.json");
            before.iter().any(|key| key.ends_with(&end))
        });
        ensure!(is_stored == [true, false], "{before:?}");
        way.narrow(SLOW_BYTES_PER_SECOND);

        let status = complete(&namespace, RUN).await?;
        let uri = status.report_uri.as_deref().context("no report URI")?;
        let report = report(&namespace, Bucket::S3, uri).await?;
        nothing_lost_nothing_twice(&report, truth)?;
        let keys = stored(&namespace).await?;
        ensure!(attempts(&keys).keys().eq(&["attempt-1"]), "{keys:#?}");
        // Held by the same pod: no other was made.
        let pods = runners(&namespace).await?.len();
        ensure!(pods == 1, "{pods} runners");
        nothing_left(&namespace).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_stays_away_is_made_whole_from_the_logs() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let truth = Truth::follow(&namespace);
        let way = start(&namespace, "3s").await?;
        second_stage_has_begun(&namespace).await?;
        way.close();
        let status = ended(&namespace, RUN, LIMIT).await?;
        ensure!(
            is_true(&status, condition::FAILED),
            "{:#?}",
            status.conditions
        );
        let (reason, message) = reason(&status, condition::FAILED)?;
        ensure!(reason == reasons::UPLOAD_FAILED, "{reason}: {message}");
        ensure!(message.contains("bakeoff report --upload"), "{message}");
        // What was measured is in the status.
        let turn = status.turns.first().context("no turn")?;
        ensure!(turn.phase == EnginePhase::Failed, "{turn:#?}");
        let summary = turn.summary.as_ref().context("no summary")?;
        ensure!(
            (summary.stages_done, summary.succeeded) == (2, 2 * REQUESTS),
            "{summary:#?}"
        );
        // The engine is gone, and the bucket is as it was.
        nothing_left(&namespace).await?;
        let keys = stored(&namespace).await?;
        let whole = |key: &String| key.ends_with("manifest.json") || key.ends_with("report.json");
        ensure!(!keys.iter().any(whole), "{keys:#?}");

        // The bucket is back, by its own address.
        let told = tokio::task::block_in_place(|| finish(&namespace))?;
        let (_, uri) = told
            .split_once("The run is whole: ")
            .with_context(|| told.clone())?;
        let report = report(&namespace, Bucket::S3, uri.trim()).await?;
        nothing_lost_nothing_twice(&report, truth)?;
        let keys = stored(&namespace).await?;
        ensure!(attempts(&keys).keys().eq(&["attempt-1"]), "{keys:#?}");
        let run = namespace.api::<BenchmarkRun>().get(RUN).await?;
        ensure!(
            Some(report.run.identity.uid) == run.uid(),
            "it is another run's"
        );
        Ok(())
    })
    .await
}

/// Runs the command of the documentation, as it is there, with this run's names in it.
fn finish(namespace: &Namespace) -> Result<String> {
    let page = namespace.layout.repository.join("docs/faults.md");
    let page = std::fs::read_to_string(page)?;
    let (_, section) = page
        .split_once("### Finishing a run whose bucket was away")
        .context("no such section")?;
    let (_, code) = section.split_once("```sh\n").context("no command")?;
    let (code, _) = code.split_once("```").context("no end of the command")?;
    let address = format!("s3://{}/results/{}", s3::BUCKET, namespace.name);
    let mut line = code.to_owned();
    for (from, to) in [
        ("-n bench ", format!("-n {} ", namespace.name)),
        ("run=NAME,", format!("run={RUN},")),
        ("gs://my-bucket/results", address),
    ] {
        ensure!(line.contains(from), "{from:?} is not in {line}");
        line = line.replace(from, &to);
    }
    let program = read_again::binary();
    let own = program.parent().unwrap_or(File::new("."));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [namespace.layout.bin(), own.to_path_buf()];
    let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)))?;
    let mut shell = Command::new("bash");
    shell
        .args(["-o", "pipefail", "-c", &line])
        .env("PATH", path)
        .env("KUBECONFIG", namespace.layout.kubeconfig());
    output(read_again::of_s3(&mut shell, &namespace.layout)?)
}
