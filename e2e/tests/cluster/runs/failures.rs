//! Failures that a user meets, each with a reason of its own and a message to act on.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::{BenchmarkRunStatus, status::condition};
use bakeoff_crds::summary::reason;
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_e2e::kubectl::Kubectl;
use bakeoff_e2e::settings::Layout;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use super::bakeoff::{await_none, is_alive, nothing_left};
use super::inputs::{Bucket, fill, prepare};
use super::{RUN_LIMIT, ended, is_true};
use crate::install;

const SIMULATED: &str = include_str!("simulated.yaml");

/// Runs [`SIMULATED`] with some text replaced, and checks how it ended.
async fn run(
    replace: &[(&str, &str)],
    check: impl AsyncFnOnce(&Namespace, BenchmarkRunStatus) -> Result<()>,
) -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let mut yaml = fill(SIMULATED, &namespace, Bucket::S3)?;
        for (from, to) in replace {
            ensure!(yaml.contains(from), "the run has no {from}");
            yaml = yaml.replace(from, to);
        }
        namespace.apply(&yaml)?;
        let status = ended(&namespace, "simulated", RUN_LIMIT).await?;
        check(&namespace, status).await
    })
    .await
}

fn says(message: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(message.contains(word), "{message:?} does not say {word:?}");
    }
    Ok(())
}

/// Expects that a run ends Failed with this reason and words.
async fn fails(replace: &[(&str, &str)], expected: &str, words: &[&str]) -> Result<()> {
    run(replace, async |namespace, status| {
        ensure!(
            is_true(&status, condition::FAILED),
            "{:#?}",
            status.conditions
        );
        let (reason, message) = super::reason(&status, condition::FAILED)?;
        ensure!(reason == expected, "{reason}: {message}");
        says(message, words)?;
        // None of these would pass by itself, so none is tried twice.
        let preflights = ListParams::default().labels("bakeoff.dev/component=preflight");
        let tries = namespace.api::<Pod>().list(&preflights).await?.items.len();
        ensure!(tries <= 1, "{tries} pods of the preflight");
        // A preflight that could not start holds nothing; the operator removes it after the end.
        await_none(namespace, is_alive).await
    })
    .await
}

/// Expects that the first engine of a run fails with this reason and words, and that the run goes
/// on to a report.
async fn engine_fails(replace: &[(&str, &str)], expected: &str, words: &[&str]) -> Result<()> {
    run(replace, async |namespace, status| {
        ensure!(
            is_true(&status, condition::COMPLETE),
            "{:#?}",
            status.conditions
        );
        let (reason, _) = super::reason(&status, condition::COMPLETE)?;
        ensure!(reason == "PartialFailure", "{reason}");
        let engine = status.engines.first().context("no engine in the status")?;
        ensure!(engine.reason.as_deref() == Some(expected), "{engine:?}");
        says(engine.message.as_deref().unwrap_or_default(), words)?;
        nothing_left(namespace).await
    })
    .await
}

#[tokio::test]
async fn a_secret_that_is_missing() -> Result<()> {
    let model = "model: {tokenSecretRef: {name: hugging-face, key: token}, id: tiny";
    let words = ["hugging-face"];
    fails(
        &[("model: {id: tiny", model)],
        reason::SECRET_NOT_FOUND,
        &words,
    )
    .await
}

/// The Secret is there, and has no such key.
#[tokio::test]
async fn a_key_that_a_secret_has_not() -> Result<()> {
    let model = "model: {tokenSecretRef: {name: bucket, key: token}, id: tiny";
    let words = ["bucket", "key token"];
    fails(
        &[("model: {id: tiny", model)],
        reason::SECRET_NOT_FOUND,
        &words,
    )
    .await
}

#[tokio::test]
async fn a_bucket_that_cannot_be_written() -> Result<()> {
    let replace = [("s3://bakeoff/", "s3://no-such-bucket/")];
    fails(&replace, reason::BUCKET_NOT_WRITABLE, &["no-such-bucket"]).await
}

#[tokio::test]
async fn certificates_that_are_missing() -> Result<()> {
    let replace = [("\"name\":\"inputs\"", "\"name\":\"no-such-map\"")];
    let words = ["no-such-map", "ca.crt"];
    fails(&replace, reason::CONFIG_MAP_NOT_FOUND, &words).await
}

#[tokio::test]
async fn a_claim_that_is_missing() -> Result<()> {
    let replace = [("s3://bakeoff/", "pvc://no-such-claim/")];
    fails(&replace, reason::VOLUME_CLAIM_NOT_FOUND, &["no-such-claim"]).await
}

const INLINE: &str = "inline: [\"Why is the sky blue?\", \"What is a tide?\"]";
/// Where the YAML of other objects may go before the run.
const FIRST_LINE: &str = "apiVersion: bakeoff.dev/v1alpha1\n";

#[tokio::test]
async fn a_data_set_that_is_missing() -> Result<()> {
    let set = "shareGpt: {uri: \"s3://bakeoff/datasets/none.json\"}";
    let words = ["workload.prompts", "datasets/none.json"];
    fails(&[(INLINE, set)], reason::DATASET_UNAVAILABLE, &words).await
}

#[tokio::test]
async fn a_data_set_that_is_another() -> Result<()> {
    let sum = "0123456789abcdef".repeat(4);
    let set = format!("shareGpt: {{uri: \"s3://bakeoff/datasets/sharegpt.json\", sha256: {sum}}}");
    fails(&[(INLINE, &set)], reason::HASH_MISMATCH, &["sha256", &sum]).await
}

#[tokio::test]
async fn a_data_set_with_a_malformed_line() -> Result<()> {
    let map = format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: prompts}}
data: {{p.jsonl: \"{{\\\"prompt\\\": \\\"one\\\"}}\\n{{\\\"prompt\\\": \\n\"}}
---
{FIRST_LINE}"
    );
    let set = "jsonl: {configMapRef: {name: prompts, key: p.jsonl}}";
    let replace = [(INLINE, set), (FIRST_LINE, &map)];
    fails(&replace, reason::DATASET_INVALID, &["line 2"]).await
}

/// A quota of the namespace, before the run.
fn quota(hard: &str) -> String {
    format!(
        "apiVersion: v1
kind: ResourceQuota
metadata: {{name: small}}
spec: {{hard: {hard}}}
---
{FIRST_LINE}"
    )
}

#[tokio::test]
async fn a_quota_that_leaves_no_room_for_a_job() -> Result<()> {
    let quota = quota("{pods: \"0\"}");
    let replace = [(FIRST_LINE, &*quota), ("scheduling: 2m", "scheduling: 25s")];
    fails(&replace, reason::QUOTA_EXCEEDED, &["small", "pods"]).await
}

#[tokio::test]
async fn a_quota_that_leaves_no_room_for_an_engine() -> Result<()> {
    let quota = quota("{requests.memory: 2Gi}");
    let replace = [
        (FIRST_LINE, &*quota),
        ("{cpu: 50m, memory: 32Mi}", "{cpu: 50m, memory: 4Gi}"),
        ("scheduling: 2m", "scheduling: 25s"),
    ];
    run(&replace, async |namespace, status| {
        let engine = status.engines.first().context("no engine in the status")?;
        ensure!(
            engine.reason.as_deref() == Some(reason::QUOTA_EXCEEDED),
            "{engine:?}"
        );
        let words = ["small", "requests.memory", "ResourceQuota"];
        says(engine.message.as_deref().unwrap_or_default(), &words)?;
        nothing_left(namespace).await
    })
    .await
}

/// A claim whose volume is there for the scheduler and not for the kubelet, before the run.
const BROKEN_VOLUME: &str = "apiVersion: v1
kind: PersistentVolume
metadata: {name: VOLUME}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: \"\"
  hostPath: {path: /no/such/folder, type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: broken}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: \"\"
  volumeName: VOLUME
  resources: {requests: {storage: 1Gi}}
---
apiVersion: bakeoff.dev/v1alpha1
";

#[tokio::test]
async fn a_volume_that_cannot_be_mounted() -> Result<()> {
    // Volumes belong to no namespace.
    let volume = format!("bakeoff-e2e-broken-{}", std::process::id());
    let before = BROKEN_VOLUME.replace("VOLUME", &volume);
    let replace = [
        ("s3://bakeoff/", "pvc://broken/"),
        ("apiVersion: bakeoff.dev/v1alpha1\n", &before),
    ];
    let words = ["/no/such/folder", "preflight"];
    let result = fails(&replace, reason::VOLUME_NOT_MOUNTED, &words).await;
    if has_cluster() {
        let kubectl = Kubectl::new(&Layout::from_env()?);
        kubectl.run(&[
            "delete",
            "pv",
            &volume,
            "--ignore-not-found",
            "--wait=false",
        ])?;
    }
    result
}

#[tokio::test]
async fn an_unknown_profile() -> Result<()> {
    let replace = [(
        "{name: quick, simulated: {protocol: OpenAiChat, timeToFirstToken: 20ms, interTokenLatency: 5ms}}",
        "{name: quick, profile: vlm}",
    )];
    fails(&replace, reason::PROFILE_NOT_FOUND, &["vlm", "vllm"]).await
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled() -> Result<()> {
    let replace = [(
        "{name: quick, simulated: {protocol: OpenAiChat, timeToFirstToken: 20ms, interTokenLatency: 5ms}}",
        "{name: quick, profile: vllm, image: \"localhost/no/such-image:1\"}",
    )];
    engine_fails(
        &replace,
        reason::IMAGE_PULL_FAILED,
        &["localhost/no/such-image:1"],
    )
    .await
}

#[tokio::test]
async fn an_engine_that_never_becomes_ready() -> Result<()> {
    let replace = [
        (
            "interTokenLatency: 5ms}",
            "interTokenLatency: 5ms, fault: SlowStart}",
        ),
        // Long enough for the other engine, on a machine that does much else.
        ("ready: 2m", "ready: 40s"),
    ];
    engine_fails(
        &replace,
        reason::READINESS_TIMEOUT,
        &["policy.timeouts.ready"],
    )
    .await
}

#[tokio::test]
async fn an_engine_that_serves_another_model() -> Result<()> {
    let replace = [(
        "interTokenLatency: 5ms}",
        "interTokenLatency: 5ms, fault: WrongModel}",
    )];
    engine_fails(&replace, reason::WRONG_MODEL_SERVED, &["tiny"]).await
}

#[tokio::test]
async fn a_node_that_does_not_exist() -> Result<()> {
    let replace = [
        (
            "  hardware:\n",
            "  hardware:\n    nodeSelector: {no-such-label: here}\n",
        ),
        ("scheduling: 2m", "scheduling: 20s"),
        ("    - {name: slow", "    # {name: slow"),
    ];
    run(&replace, async |namespace, status| {
        let engine = status.engines.first().context("no engine in the status")?;
        ensure!(
            engine.reason.as_deref() == Some(reason::UNSCHEDULABLE),
            "{engine:?}"
        );
        nothing_left(namespace).await
    })
    .await
}
