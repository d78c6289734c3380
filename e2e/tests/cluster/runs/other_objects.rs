//! Engines that are other objects than Pods, on a real API server with its scheduler, kubelet and
//! garbage collector. Their controllers are played by the test ([`super::controllers`]).

use anyhow::{Context, Result, ensure};
use bakeoff_crds::profile::ProfileSet;
use bakeoff_crds::run::BenchmarkRun;
use bakeoff_crds::run::status::condition;
use bakeoff_e2e::cluster::second;
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_e2e::settings::foreign_kubeconfig;
use bakeoff_e2e::{images, wait};
use serde_json::{Value, json};

use super::controllers::{Controller, KINDS, KINDS_LIMIT, Kind};
use super::every_engine::{in_turn_on, own_name, with_simulated_images};
use super::inputs::{Bucket, prepare};
use super::{RUN_LIMIT, ended, reason};
use crate::install;

const RAY_SERVICE: &str = "ray-service";
const LEADER_WORKER_SET: &str = "vllm-leader-worker-set";

#[tokio::test]
async fn a_ray_service_and_a_leader_worker_set_take_turns() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        kinds(&namespace)?;
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let _ray = Controller::start(&namespace, Kind::RayService);
        let _sets = Controller::start(&namespace, Kind::LeaderWorkerSet);
        let hardware = json!({ "accelerator": { "resource": "nvidia.com/gpu", "count": 1 } });
        turns_of(&namespace, &[RAY_SERVICE, LEADER_WORKER_SET], &hardware).await?;
        let run = namespace.api::<BenchmarkRun>().get("every").await?;
        for turn in run.status.context("no status")?.turns {
            ensure!(
                turn.object_uid.is_some() && turn.pods.len() == 1,
                "{turn:#?}"
            );
            let name = turn.object_name.unwrap_or_default();
            for resource in ["rayservices", "leaderworkersets", "services", "configmaps"] {
                let left = namespace.kubectl(&["get", resource, "--output=name"])?;
                ensure!(!left.contains(&name), "{name} is left among {left}");
            }
        }
        Ok(())
    })
    .await
}

/// Two nodes, two engines: the second gets the first one's nodes.
#[tokio::test]
#[ignore = "needs a second node: runs alone, after the others"]
async fn an_engine_spans_two_nodes() -> Result<()> {
    if !has_cluster() || foreign_kubeconfig().is_some() {
        return Ok(());
    }
    with_namespace(async |namespace| {
        kinds(&namespace)?;
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let outcome = over_two_nodes(&namespace).await;
        outcome.and(second::down(&namespace.layout))
    })
    .await
}

async fn over_two_nodes(namespace: &Namespace) -> Result<()> {
    let needed = ["bakeoff-runner", "simulator-vllm", "simulator-commands"].map(images::name);
    let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
    second::up(&namespace.layout, &[&[images::PAUSE][..], &needed].concat())?;
    let _sets = Controller::start(namespace, Kind::LeaderWorkerSet);
    let hardware = json!({
        "accelerator": { "resource": "nvidia.com/gpu", "count": 1 },
        "nodes": 2,
    });
    let both = [LEADER_WORKER_SET, LEADER_WORKER_SET];
    turns_of(namespace, &both, &hardware).await?;
    let run = namespace.api::<BenchmarkRun>().get("every").await?;
    let turns = run.status.context("no status")?.turns;
    for turn in &turns {
        let mut nodes = turn.nodes();
        nodes.sort_unstable();
        ensure!(
            nodes.len() == 2 && nodes.contains(&second::NAME),
            "{turn:#?}"
        );
    }
    Ok(())
}

/// A kind on which the operator has no right, and one that is not there.
#[tokio::test]
async fn a_kind_that_cannot_be_used_ends_the_run_before_its_preflight() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        for (resource, group, expected) in [
            // Every API server has it, and nobody gave the operator a right on it.
            ("deployments", "apps", "EngineKindForbidden"),
            ("nothings", "nowhere.example", "EngineKindNotInstalled"),
        ] {
            let name = format!("{}-{resource}", namespace.name);
            let profile = json!({
                "apiVersion": "bakeoff.dev/v1alpha1", "kind": "EngineProfile",
                "metadata": { "name": name },
                "spec": {
                    "displayName": "Own", "container": { "image": "own:1" },
                    "object": {
                        "apiVersion": format!("{group}/v1"), "kind": "Any", "resource": resource,
                        "manifest": "spec: {template: {$podTemplate: engine}}",
                        "readiness": { "condition": "Available" },
                    },
                    "cachePath": "/cache", "port": 8000, "readiness": { "path": "/health" },
                    "protocols": [{ "protocol": "OpenAiChat" }],
                },
            });
            let run = json!({
                "apiVersion": "bakeoff.dev/v1alpha1", "kind": "BenchmarkRun",
                "metadata": { "name": resource },
                "spec": {
                    "model": { "id": "tiny" }, "engines": [{ "name": "own", "profile": name }],
                    "workload": { "prompts": { "inline": ["Why?"] } },
                    "output": { "uri": "s3://nowhere/results" },
                },
            });
            namespace.apply(&profile.to_string())?;
            namespace.apply(&run.to_string())?;
            let status = ended(&namespace, resource, RUN_LIMIT).await;
            namespace.kubectl.run(&["delete", "engineprofile", &name])?;
            let status = status?;
            let (found, message) = reason(&status, condition::FAILED)?;
            ensure!(
                found == expected && message.contains(group),
                "{found}: {message}"
            );
            ensure!(status.turns.is_empty(), "{:#?}", status.turns);
        }
        Ok(())
    })
    .await
}

/// Brings the two kinds, which stay: tests of several namespaces use them.
fn kinds(namespace: &Namespace) -> Result<()> {
    let apply = ["apply", "--server-side", "--filename", "-"];
    namespace.kubectl.with_input(&apply, KINDS)?;
    wait::until("the kinds are served", KINDS_LIMIT, || {
        let kinds = "rayservices.ray.io,leaderworkersets.leaderworkerset.x-k8s.io";
        namespace.kubectl(&["get", kinds]).map(drop)
    })
}

/// Runs these profiles one after the other with simulated images.
async fn turns_of(namespace: &Namespace, profiles: &[&str], hardware: &Value) -> Result<()> {
    let builtin = ProfileSet::builtin();
    let mut engines = Vec::new();
    for (index, name) in profiles.iter().enumerate() {
        let mut profile = with_simulated_images(&builtin, name, namespace)?;
        profile["spec"]["container"]["image"] = match *name {
            // The stand-in gives the head its command.
            RAY_SERVICE => images::name("simulator-commands"),
            _ => images::name("simulator-vllm"),
        }
        .into();
        namespace.apply(&profile.to_string())?;
        engines.push(json!({
            "name": format!("engine-{index}"),
            "profile": profile["metadata"]["name"],
            "env": [
                { "name": "BAKEOFF_SIM_TIME_TO_FIRST_TOKEN", "value": "20ms" },
                { "name": "BAKEOFF_SIM_INTER_TOKEN_LATENCY", "value": "5ms" },
            ],
        }));
    }
    let outcome = in_turn_on(namespace, "every", &engines, hardware).await;
    for name in profiles {
        let ours = own_name(name, namespace);
        namespace
            .kubectl
            .run(&["delete", "engineprofile", &ours, "--ignore-not-found"])?;
    }
    outcome
}
