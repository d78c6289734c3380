//! A run in a queue. Kueue itself cannot be had here; a policy of the API server's gates pods and
//! suspends Jobs as its webhooks do, and the test admits and evicts them as its controller does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::status::{EnginePhase, TurnStatus};
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_e2e::wait;
use futures::StreamExt as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::task::JoinSet;

use super::bakeoff::{nothing_left, report};
use super::complete;
use super::inputs::{Bucket, fill, prepare};
use super::lifecycle::{counts, expected, measuring};
use crate::install;

const SIMULATED: &str = include_str!("simulated.yaml");
const POLICY: &str = include_str!("queue.yaml");
/// How long each is kept waiting: longer than the run gives a pod to get a node.
const WAIT: Duration = Duration::from_secs(12);
const SCHEDULING: &str = "scheduling: 10s";

#[tokio::test]
async fn a_run_in_a_queue_waits_to_be_admitted_and_survives_an_eviction() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let policy = POLICY.replace("NAME", &namespace.name);
        namespace
            .kubectl
            .with_input(&["apply", "--filename=-"], &policy)?;
        let result = queued(&namespace).await;
        namespace
            .kubectl
            .with_input(&["delete", "--filename=-"], &policy)?;
        result
    })
    .await
}

async fn queued(namespace: &Namespace) -> Result<()> {
    until_pods_are_gated(namespace)?;
    let mut queue = JoinSet::new();
    queue.spawn(admit_jobs(namespace.api()));
    queue.spawn(admit_pods(namespace.api()));
    let run = fill(SIMULATED, namespace, Bucket::S3)?
        .replace("  model:", "  queueName: gpus\n  model:")
        .replace("scheduling: 2m", SCHEDULING);
    namespace.apply(&run)?;

    measuring(namespace, "quick").await?;
    evict(namespace, "quick").await?;
    let status = complete(namespace, "simulated").await?;
    let restarts: Vec<_> = status
        .restarts
        .iter()
        .map(|it| it.reason.as_str())
        .collect();
    ensure!(restarts == ["EnginePreempted"], "{:#?}", status.restarts);
    let counted = |turn: &&TurnStatus| !turn.superseded;
    for turn in status.turns.iter().filter(counted) {
        ensure!(turn.phase == EnginePhase::Succeeded, "{turn:#?}");
        ensure!(
            turn.gated_time.is_some() && turn.admitted_time.is_some(),
            "{turn:#?}"
        );
    }
    let uri = status.report_uri.context("no report URI")?;
    let report = report(namespace, Bucket::S3, &uri).await?;
    let whole = counts(&report);
    ensure!(
        expected().iter().all(|stage| whole.contains(stage)),
        "{whole:?}"
    );
    nothing_left(namespace).await
}

/// A policy holds from some moment after it was made.
fn until_pods_are_gated(namespace: &Namespace) -> Result<()> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "probe", "labels": { "kueue.x-k8s.io/queue-name": "gpus" } },
        "spec": { "containers": [{ "name": "probe", "image": "none" }] },
    });
    let create = [
        "--namespace",
        &namespace.name,
        "create",
        "--dry-run=server",
        "--output=json",
        "--filename=-",
    ];
    wait::until("pods are gated", Duration::from_secs(60), || {
        let made = namespace.kubectl.with_input(&create, &pod.to_string())?;
        ensure!(made.contains("kueue.x-k8s.io/admission"), "{made}");
        Ok(())
    })
}

/// Lets each Job go on after a while.
async fn admit_jobs(jobs: Api<Job>) {
    let events = watcher(jobs.clone(), watcher::Config::default());
    let mut seen = events.default_backoff().applied_objects().boxed();
    while let Some(job) = seen.next().await {
        let Ok(job) = job else { continue };
        if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
            tokio::time::sleep(WAIT).await;
            let go_on = Patch::Merge(json!({ "spec": { "suspend": false } }));
            jobs.patch(&job.name_any(), &PatchParams::default(), &go_on)
                .await
                .ok();
        }
    }
}

/// Takes the gate from each pod after a while.
async fn admit_pods(pods: Api<Pod>) {
    let events = watcher(pods.clone(), watcher::Config::default());
    let mut seen = events.default_backoff().applied_objects().boxed();
    while let Some(pod) = seen.next().await {
        let Ok(pod) = pod else { continue };
        let gates = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.scheduling_gates.as_ref());
        if gates.is_some_and(|gates| !gates.is_empty()) {
            tokio::time::sleep(WAIT).await;
            let admit = Patch::Merge(json!({ "spec": { "schedulingGates": null } }));
            pods.patch(&pod.name_any(), &PatchParams::default(), &admit)
                .await
                .ok();
        }
    }
}

/// As Kueue stops the pod of a workload that has to make room: a condition first, then the deletion.
async fn evict(namespace: &Namespace, engine: &str) -> Result<()> {
    let pods = namespace.api::<Pod>();
    let of_engine = format!("bakeoff.dev/component=engine,bakeoff.dev/engine={engine}");
    let list = pods.list(&ListParams::default().labels(&of_engine)).await?;
    let name = list
        .items
        .first()
        .context("no pod of the engine")?
        .name_any();
    let condition = json!({ "status": { "conditions": [{
        "type": "TerminationTarget", "status": "True",
        "reason": "WorkloadEvictedDueToPreemption", "message": "preempted in the ClusterQueue",
    }]}});
    let told = Patch::Strategic(condition);
    pods.patch_status(&name, &PatchParams::default(), &told)
        .await?;
    pods.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}
