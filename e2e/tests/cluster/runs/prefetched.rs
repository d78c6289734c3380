//! A model that is fetched once, from a hub on this machine, into a volume that engines mount.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::{ModelFiles, RevisionSource};
use bakeoff_crds::run::BenchmarkRun;
use bakeoff_crds::run::status::{EnginePhase, condition};
use bakeoff_crds::summary::reason as reasons;
use bakeoff_e2e::harness::{Namespace, await_condition, has_cluster, with_namespace};
use bakeoff_e2e::images;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde_json::{Value, json};

use super::bakeoff::{nothing_left, report};
use super::hub::{COMMIT, FALSE_MODEL, Hub, MODEL, TOKEN};
use super::inputs::{Bucket, prepare};
use super::{RUN_LIMIT, complete, ended, is_true, reason};
use crate::install;

/// Volumes that wait for the claims of the operator: there is no provisioner. The cluster's node is
/// this machine, so the folder can be made here.
struct Volumes<'a> {
    namespace: &'a Namespace,
    folder: tempfile::TempDir,
}

impl<'a> Volumes<'a> {
    fn make(namespace: &'a Namespace, number: usize) -> Result<Self> {
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let volumes = Self { namespace, folder };
        let root = volumes.folder.path();
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o755))?;
        for index in 0..number {
            let path = root.join(index.to_string());
            std::fs::create_dir(&path)?;
            // Kubernetes gives a folder of the node to no group.
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777))?;
            let volume = json!({
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": { "name": volumes.name(index) },
                "spec": {
                    "capacity": { "storage": "64Mi" },
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "storageClassName": namespace.name,
                    "hostPath": { "path": path, "type": "Directory" },
                },
            });
            namespace.apply(&volume.to_string())?;
        }
        Ok(volumes)
    }

    fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.namespace.name)
    }
}

impl Drop for Volumes<'_> {
    fn drop(&mut self) {
        for index in 0..2 {
            let name = self.name(index);
            let words = ["delete", "pv", &name, "--ignore-not-found", "--wait=false"];
            if let Err(error) = self.namespace.kubectl.run(&words) {
                tracing::warn!(%error, name, "a volume stays");
            }
        }
    }
}

fn run(name: &str, id: &str, retention: &str, namespace: &Namespace, hub: &str) -> Result<Value> {
    let engine = |profile: &str| json!({ "name": profile, "profile": profile, "image": images::name(&format!("simulator-{profile}")) });
    Ok(json!({
        "apiVersion": "bakeoff.dev/v1alpha1", "kind": "BenchmarkRun",
        "metadata": { "name": name },
        "spec": {
            "model": {
                "id": id, "hub": hub,
                "tokenSecretRef": { "name": "hub", "key": "token" },
                "tokenizer": { "configMapRef": { "name": "inputs", "key": "tokenizer.json" } },
                "prefetch": {
                    "size": "64Mi", "storageClassName": namespace.name, "retention": retention,
                },
            },
            "hardware": {
                "accelerator": { "resource": "nvidia.com/gpu", "count": 1 },
                "sharedMemory": "16Mi",
                "resources": { "requests": { "cpu": "20m", "memory": "32Mi" } },
            },
            "engines": [engine("vllm"), engine("tgi")],
            "workload": {
                "prompts": { "inline": ["Why is the sky blue?"] },
                "limits": { "maxOutputTokens": 8 },
                "warmup": { "requests": 1 },
                "sweep": { "concurrency": [2] },
                "requestsPerStage": 6,
            },
            "runner": { "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } } },
            "metrics": { "backend": "Direct" },
            "output": Bucket::S3.output(namespace)?,
            "policy": { "timeouts": {
                "scheduling": "3m", "prefetch": "3m", "ready": "3m", "stage": "3m",
                "upload": "1m", "total": "15m",
            }},
        },
    }))
}

fn token() -> String {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "hub" },
        "stringData": { "token": TOKEN },
    })
    .to_string()
}

#[tokio::test]
async fn a_model_is_fetched_once_for_all_engines_and_runs() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let hub = Hub::start().await?;
        let _volumes = Volumes::make(&namespace, 1)?;
        namespace.apply(&token())?;

        namespace.apply(&run("first", MODEL, "Retain", &namespace, &hub.url)?.to_string())?;
        let status = complete(&namespace, "first").await?;
        for turn in &status.turns {
            // A simulated engine ends where its model is not there.
            ensure!(turn.phase == EnginePhase::Succeeded, "{turn:#?}");
        }
        ensure!(is_true(&status, condition::MODEL_PREFETCHED));
        let asked = hub.files();
        let file = |name: &str| format!("/{MODEL}/resolve/{COMMIT}/{name}");
        let once = [file("config.json"), file("model.safetensors")];
        ensure!(asked == once, "asked for {asked:?}");
        let uri = status.report_uri.as_deref().context("no report URI")?;
        let report = report(&namespace, Bucket::S3, uri).await?;
        let volume = report.run.model_volume.context("no volume in the report")?;
        ensure!(
            volume.content.fetched_bytes == volume.content.bytes,
            "{volume:?}"
        );
        ensure!(volume.content.files == 2, "{volume:?}");
        let files: Vec<_> = report
            .engines
            .iter()
            .map(|engine| {
                engine
                    .cold_start
                    .first()
                    .and_then(|start| start.model_files)
            })
            .collect();
        // The first may have been placed where the Job ran, or elsewhere.
        ensure!(
            matches!(
                files[..],
                [
                    Some(ModelFiles::JustFetched | ModelFiles::Cold),
                    Some(ModelFiles::Warm)
                ]
            ),
            "{files:?}"
        );
        for engine in &report.engines {
            let provenance = &engine.provenance;
            ensure!(provenance.model_revision.as_deref() == Some(COMMIT));
            ensure!(provenance.model_revision_from == Some(RevisionSource::Volume));
        }
        nothing_left(&namespace).await?;

        // The volume outlives the run, and the next one asks for no file.
        let runs = namespace.api::<BenchmarkRun>();
        runs.delete("first", &DeleteParams::foreground()).await?;
        let is_gone = |run: Option<&BenchmarkRun>| run.is_none();
        let minute = Duration::from_secs(60);
        await_condition(runs, "first", "it is gone", minute, is_gone).await?;
        namespace.apply(&run("second", MODEL, "Retain", &namespace, &hub.url)?.to_string())?;
        let status = complete(&namespace, "second").await?;
        let again = status.model_volume.context("no volume in the status")?;
        ensure!(again.content.fetched_bytes == 0, "{again:?}");
        ensure!(again.claim_name == volume.claim_name);
        ensure!(again.content.content_sha256 == volume.content.content_sha256);
        let asked = hub.files();
        ensure!(asked.is_empty(), "asked for {asked:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_model_that_is_not_what_its_hub_says_ends_the_run_and_its_volume_goes_with_it()
-> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let hub = Hub::start().await?;
        let _volumes = Volumes::make(&namespace, 1)?;
        namespace.apply(&token())?;
        namespace.apply(&run("false", FALSE_MODEL, "Delete", &namespace, &hub.url)?.to_string())?;
        let status = ended(&namespace, "false", RUN_LIMIT).await?;
        let (found, message) = reason(&status, condition::FAILED)?;
        ensure!(found == reasons::HASH_MISMATCH, "{found}: {message}");
        ensure!(message.contains("model.safetensors"), "{message}");
        ensure!(!message.contains(TOKEN));
        ensure!(status.turns.is_empty(), "{:#?}", status.turns);

        let claims = namespace.api::<PersistentVolumeClaim>();
        let made = claims.list(&ListParams::default()).await?;
        let names: Vec<String> = made.iter().map(ResourceExt::name_any).collect();
        let [claim] = names.as_slice() else {
            anyhow::bail!("claims: {names:?}");
        };
        namespace.kubectl(&["delete", "benchmarkrun", "false"])?;
        let is_gone = |claim: Option<&PersistentVolumeClaim>| claim.is_none();
        let minute = Duration::from_secs(60);
        await_condition(claims, claim, "it is gone", minute, is_gone).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_model_is_fetched_from_a_bucket() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let _volumes = Volumes::make(&namespace, 1)?;
        namespace.apply(&token())?;
        let folder = format!("models/{}", namespace.name);
        let store = Bucket::S3.open(&namespace)?;
        for (name, bytes) in [("config.json", 2), ("sub/weights.bin", 5 << 20)] {
            let path = Path::from(format!("{folder}/{name}"));
            store.put(&path, vec![7; bytes].into()).await?;
        }
        // No hub is asked for anything.
        let mut run = run("bucket", MODEL, "Delete", &namespace, "http://127.0.0.1:9")?;
        let uri = format!("s3://{}/{folder}", bakeoff_e2e::services::s3::BUCKET);
        run["spec"]["model"]["prefetch"]["uri"] = uri.into();
        namespace.apply(&run.to_string())?;
        let status = complete(&namespace, "bucket").await?;
        for turn in &status.turns {
            ensure!(turn.phase == EnginePhase::Succeeded, "{turn:#?}");
        }
        let volume = status.model_volume.context("no volume in the status")?;
        ensure!(volume.content.files == 2, "{volume:?}");
        ensure!(volume.content.bytes == 2 + (5 << 20), "{volume:?}");
        ensure!(volume.content.commit.is_none(), "{volume:?}");
        Ok(())
    })
    .await
}
