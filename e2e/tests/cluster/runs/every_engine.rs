//! Every built-in profile with nothing but its images replaced, and every protocol, each in its turn.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::profile::ProfileSet;
use bakeoff_crds::run::Protocol;
use bakeoff_crds::run::status::EnginePhase;
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_e2e::images;
use serde_json::{Value, json};

use super::bakeoff::{nothing_left, report};
use super::complete;
use super::inputs::{Bucket, prepare};
use crate::install;

/// Requests of the one stage.
const REQUESTS: u64 = 12;

#[tokio::test]
async fn every_built_in_profile_has_its_turn() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let profiles = ProfileSet::builtin();
        let mut engines = Vec::new();
        for name in alone(&profiles) {
            let profile = with_simulated_images(&profiles, name, &namespace)?;
            namespace.apply(&profile.to_string())?;
            let mut env = vec![
                json!({ "name": "BAKEOFF_SIM_TIME_TO_FIRST_TOKEN", "value": "20ms" }),
                json!({ "name": "BAKEOFF_SIM_INTER_TOKEN_LATENCY", "value": "5ms" }),
            ];
            // FastChat's server asks another which model there is; Triton lists its repository.
            if name == "fastchat" || name == "triton-model" {
                env.push(json!({ "name": "BAKEOFF_SIM_MODEL", "value": "tiny" }));
            }
            let profile = &profile["metadata"]["name"];
            let own = engine_name(name);
            engines.push(json!({ "name": own, "profile": profile, "env": env }));
            // By gRPC too, where the engine has both.
            let spoken = profiles.get(name).into_iter().flat_map(|it| &it.protocols);
            for protocol in spoken.map(|it| it.protocol).filter(|it| it.is_grpc()) {
                let own = format!("{own}-grpc");
                engines.push(json!({
                    "name": own, "profile": profile, "env": env, "protocol": protocol,
                }));
            }
        }
        let outcome = in_turn(&namespace, &engines).await;
        for name in alone(&profiles) {
            let ours = own_name(name, &namespace);
            namespace.kubectl.run(&["delete", "engineprofile", &ours])?;
        }
        outcome
    })
    .await
}

#[tokio::test]
async fn every_protocol_has_its_turn() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let engines: Vec<_> = Protocol::ALL
            .into_iter()
            .enumerate()
            .map(|(index, protocol)| {
                json!({ "name": format!("engine-{index}"), "simulated": { "protocol": protocol } })
            })
            .collect();
        in_turn(&namespace, &engines).await
    })
    .await
}

/// The profiles that are a Pod. Those that are another object need its controller, which
/// [`super::other_objects`] plays.
fn alone(profiles: &ProfileSet) -> impl Iterator<Item = &str> {
    let is_alone = |name: &&str| profiles.get(name).is_some_and(|it| it.object.is_none());
    profiles.names().filter(is_alone)
}

/// A profile as an object of its own name, whose containers are simulated engines.
pub(super) fn with_simulated_images(
    profiles: &ProfileSet,
    name: &str,
    namespace: &Namespace,
) -> Result<Value> {
    let spec = profiles.get(name).context("a profile by its own name")?;
    let mut spec = serde_json::to_value(spec)?;
    let image = |container: &Value, name: &str| match container.get("command") {
        Some(_) => images::name("simulator-commands"),
        None => images::name(&format!("simulator-{name}")),
    };
    spec["container"]["image"] = image(&spec["container"], name).into();
    for list in ["/containers", "/initContainers", "/object/pods"] {
        let containers = spec.pointer_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let own_name = container["name"].as_str().unwrap_or_default().to_owned();
            container["image"] = image(container, &own_name).into();
        }
    }
    Ok(json!({
        "apiVersion": "bakeoff.dev/v1alpha1",
        "kind": "EngineProfile",
        "metadata": { "name": own_name(name, namespace) },
        "spec": spec,
    }))
}

pub(super) fn own_name(profile: &str, namespace: &Namespace) -> String {
    format!("{}-{profile}", namespace.name)
}

/// An engine's name after its profile, of at most 20 characters.
fn engine_name(profile: &str) -> String {
    profile.replace("tensorrt-llm", "trtllm")
}

#[test]
fn names_of_engines_are_short_enough_for_the_api() {
    let profiles = ProfileSet::builtin();
    for name in alone(&profiles) {
        let spoken = &profiles.get(name).unwrap().protocols;
        let by_grpc = spoken.iter().any(|it| it.protocol.is_grpc());
        let longest = engine_name(name).len() + if by_grpc { "-grpc".len() } else { 0 };
        assert!(longest <= 20, "{name}");
    }
}

/// Runs these engines one after the other, and holds each to its requests. A run has room for 16.
async fn in_turn(namespace: &Namespace, engines: &[Value]) -> Result<()> {
    let hardware = json!({ "accelerator": { "resource": "nvidia.com/gpu", "count": 1 } });
    for (index, engines) in engines.chunks(16).enumerate() {
        in_turn_on(namespace, &format!("every-{index}"), engines, &hardware).await?;
    }
    Ok(())
}

/// As [`in_turn`], on this hardware.
pub(super) async fn in_turn_on(
    namespace: &Namespace,
    name: &str,
    engines: &[Value],
    hardware: &Value,
) -> Result<()> {
    let run = json!({
        "apiVersion": "bakeoff.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": { "name": name },
        "spec": {
            "model": {
                "id": "tiny",
                // Nobody is asked whether there is such a model.
                "hub": "http://127.0.0.1:9",
                "maxModelLen": 2048,
                "tokenizer": { "configMapRef": { "name": "inputs", "key": "tokenizer.json" } },
            },
            "tuning": { "maxBatchSize": 8 },
            "hardware": {
                "accelerator": hardware["accelerator"],
                "nodes": hardware["nodes"].as_u64().unwrap_or(1),
                "sharedMemory": "16Mi",
                "resources": { "requests": { "cpu": "20m", "memory": "32Mi" } },
            },
            "engines": engines,
            "workload": {
                "prompts": { "inline": ["Why is the sky blue?", "What is a tide?"] },
                "limits": { "maxOutputTokens": 16 },
                "warmup": { "requests": 2 },
                "sweep": { "concurrency": [2] },
                "requestsPerStage": REQUESTS,
                "requestTimeout": "60s",
            },
            "runner": { "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } } },
            "metrics": { "backend": "Direct" },
            "output": Bucket::S3.output(namespace)?,
            "policy": {
                "timeouts": {
                    "scheduling": "3m", "ready": "3m", "stage": "3m", "upload": "1m",
                    "total": "20m",
                },
            },
        },
    });
    namespace.apply(&run.to_string())?;
    let status = complete(namespace, name).await?;
    for turn in &status.turns {
        ensure!(turn.phase == EnginePhase::Succeeded, "{turn:#?}");
    }
    let uri = status.report_uri.as_deref().context("no report URI")?;
    let report = report(namespace, Bucket::S3, uri).await?;
    ensure!(
        report.engines.len() == engines.len(),
        "{} engines of {}",
        report.engines.len(),
        engines.len()
    );
    for engine in &report.engines {
        for stage in &engine.stages {
            ensure!(
                stage.requests.succeeded == REQUESTS,
                "{}: {:?}",
                engine.name,
                stage.requests
            );
        }
        ensure!(engine.stages.len() == 1, "{} has no stage", engine.name);
    }
    nothing_left(namespace).await
}
