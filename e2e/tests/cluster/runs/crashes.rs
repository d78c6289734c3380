//! What befalls containers on a real node: the kernel, the container runtime and the kubelet say it in
//! their own words, and the run gives it its name.

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::status::{EnginePhase, TurnStatus, condition};
use bakeoff_crds::summary::reason as reasons;
use bakeoff_e2e::harness::{Namespace, Seat, has_cluster, with_namespace};
use bakeoff_e2e::images;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde_json::{Value, json};

use super::bakeoff::{await_none, is_alive, never_side_by_side, nothing_left, report};
use super::inputs::{Bucket, fill, prepare};
use super::{RUN_LIMIT, complete, ended, reason};
use crate::install;

/// Of the shape of a Hugging Face token, and nobody's.
const TOKEN: &str = "hf_SaidByTheEngineSaidByTheEngine0";

/// An engine that ends, and what is said of it.
struct Crash {
    engine: &'static str,
    /// What its shell does; where it has none, its image is at fault.
    does: &'static str,
    image: Option<&'static str>,
    reason: &'static str,
    exit_code: Option<i32>,
    words: &'static [&'static str],
}

impl Crash {
    const fn of(engine: &'static str, does: &'static str) -> Self {
        Self {
            engine,
            does,
            image: None,
            reason: "",
            exit_code: None,
            words: &[],
        }
    }

    const fn named(
        mut self,
        reason: &'static str,
        exit_code: i32,
        words: &'static [&'static str],
    ) -> Self {
        self.reason = reason;
        self.exit_code = Some(exit_code);
        self.words = words;
        self
    }
}

const CRASHES: [Crash; 7] = [
    // Eight times what it may have. The kernel ends it, in the cgroup of its container.
    Crash::of(
        "memory",
        "echo loading the weights; exec dd if=/dev/zero of=/dev/null bs=512M count=1",
    )
    .named(
        reasons::ENGINE_OOM_KILLED,
        137,
        &["hardware.resources.limits.memory", "exit code 137"],
    ),
    Crash::of("flag", "echo 'ValueError: no such flag'; exit 3").named(
        reasons::ENGINE_CRASHED,
        3,
        &["ValueError: no such flag", "exit code 3"],
    ),
    Crash::of("killed", "echo going; sleep 60 & kill -SEGV $!; wait $!").named(
        reasons::ENGINE_CRASHED,
        139,
        &["going", "exit code 139"],
    ),
    Crash::of(
        "gated",
        "echo 'Authorization: Bearer TOKEN'; echo 'GatedRepoError: 403 Client Error. Access to model org/m is restricted'; exit 1",
    )
    .named(
        reasons::MODEL_ACCESS_DENIED,
        1,
        &["403 Client Error", "model.tokenSecretRef", "licence", "***"],
    ),
    Crash::of(
        "cuda",
        "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB' >&2; exit 1",
    )
    .named(
        reasons::CUDA_OUT_OF_MEMORY,
        1,
        &["2.00 GiB", "model.maxModelLen"],
    ),
    Crash::of(
        "driver",
        "echo 'libcuda.so.1: cannot open shared object file'; exit 127",
    )
    .named(
        reasons::ACCELERATOR_DRIVER_MISSING,
        127,
        &["libcuda.so.1", "driver"],
    ),
    Crash {
        engine: "image-name",
        does: "true",
        image: Some("Registry/No:Such:Name"),
        reason: reasons::IMAGE_PULL_FAILED,
        exit_code: None,
        words: &["Registry/No:Such:Name", "name and tag"],
    },
];

/// A profile whose containers do what the run's arguments say.
fn shell(namespace: &Namespace) -> Value {
    json!({
        "apiVersion": "bakeoff.dev/v1alpha1", "kind": "EngineProfile",
        "metadata": { "name": profile(namespace) },
        "spec": {
            "displayName": "Shell",
            "container": { "image": images::PAUSE, "command": ["sh", "-c"] },
            "cachePath": "/cache", "port": 8000, "readiness": { "path": "/health" },
            "protocols": [{ "protocol": "OpenAiChat" }],
        },
    })
}

fn profile(namespace: &Namespace) -> String {
    format!("{}-shell", namespace.name)
}

fn run(namespace: &Namespace, seat: &Seat<'_>) -> Result<Value> {
    let engine = |crash: &Crash| {
        let does = crash.does.replace("TOKEN", TOKEN);
        let mut engine =
            json!({ "name": crash.engine, "profile": profile(namespace), "args": [does] });
        if let Some(image) = crash.image {
            engine["image"] = image.into();
        }
        engine
    };
    let mut engines: Vec<Value> = CRASHES.iter().map(engine).collect();
    // It comes last, and gets the accelerator that each of the others had.
    engines.push(json!({
        "name": "well", "profile": "vllm", "image": images::name("simulator-vllm"),
    }));
    Ok(json!({
        "apiVersion": "bakeoff.dev/v1alpha1", "kind": "BenchmarkRun",
        "metadata": { "name": "crashes" },
        "spec": {
            "model": { "id": "tiny", "hub": "http://127.0.0.1:9", "maxModelLen": 2048 },
            "hardware": {
                "accelerator": { "resource": seat.name(), "count": 1 },
                "sharedMemory": "16Mi",
                "resources": {
                    "requests": { "cpu": "20m", "memory": "64Mi" },
                    "limits": { "memory": "64Mi" },
                },
            },
            "engines": engines,
            "workload": {
                "prompts": { "inline": ["Why is the sky blue?"] },
                "limits": { "maxOutputTokens": 8 },
                "warmup": { "requests": 1 },
                "sweep": { "concurrency": [1] },
                "requestsPerStage": 6,
            },
            "runner": {
                "calibration": "Never",
                "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } },
            },
            "metrics": { "backend": "None" },
            "output": Bucket::S3.output(namespace)?,
            "policy": { "timeouts": {
                "scheduling": "2m", "ready": "2m", "stage": "3m", "upload": "20s", "total": "15m",
            }},
        },
    }))
}

#[tokio::test]
async fn engines_that_end_on_a_real_node_are_named() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let seat = Seat::make(&namespace)?;
        namespace.apply(&shell(&namespace).to_string())?;
        namespace.apply(&run(&namespace, &seat)?.to_string())?;
        let status = complete(&namespace, "crashes").await;
        let words = ["delete", "engineprofile", &profile(&namespace)];
        namespace.kubectl.run(&words)?;
        let status = status?;
        let (found, message) = reason(&status, condition::COMPLETE)?;
        ensure!(found == "PartialFailure", "{found}: {message}");
        // There is one accelerator, so each engine's end gave it to the next.
        ensure!(
            status.turns.len() == CRASHES.len() + 1,
            "{:#?}",
            status.turns
        );
        never_side_by_side(&status.turns)?;
        let last = status.turns.last().context("no turn")?;
        ensure!(last.phase == EnginePhase::Succeeded, "{last:#?}");
        nothing_left(&namespace).await?;

        let uri = status.report_uri.as_deref().context("no report URI")?;
        let report = report(&namespace, Bucket::S3, uri).await?;
        let mut wrong = Vec::new();
        for crash in &CRASHES {
            let turn = status.turns.iter().find(|turn| turn.engine == crash.engine);
            let turn = turn.with_context(|| format!("{} had no turn", crash.engine))?;
            if let Err(error) = is_named(crash, turn) {
                wrong.push(format!("{}: {error:#}", crash.engine));
            }
            // The bucket has the same evidence.
            let engine = report.engines.iter().find(|it| it.name == crash.engine);
            let failures = &engine.context("not in the report")?.failures;
            let is_there = failures.iter().any(|failure| {
                failure.reason == crash.reason
                    && failure.exit_code == crash.exit_code
                    && Some(&failure.message) == turn.message.as_ref()
            });
            if !is_there {
                wrong.push(format!("{}: the report has {failures:?}", crash.engine));
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    })
    .await
}

fn is_named(crash: &Crash, turn: &TurnStatus) -> Result<()> {
    ensure!(turn.phase == EnginePhase::Failed, "{turn:#?}");
    ensure!(turn.reason.as_deref() == Some(crash.reason), "{turn:#?}");
    ensure!(turn.exit_code == crash.exit_code, "{turn:#?}");
    let message = turn.message.as_deref().unwrap_or_default();
    for words in crash.words {
        ensure!(
            message.contains(words),
            "{message:?} does not say {words:?}"
        );
    }
    ensure!(!message.contains(TOKEN), "a token is told: {message}");
    Ok(())
}

/// Of the data set: much more than the pod that reads it may have.
const DATA_SET_BYTES: usize = 192 << 20;

#[tokio::test]
async fn a_data_set_that_is_larger_than_the_runners_memory() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let line = json!({ "prompt": "x".repeat(8000) }).to_string() + "\n";
        let large = line.repeat(DATA_SET_BYTES / line.len());
        let key = Path::from(format!("datasets/{}.jsonl", namespace.name));
        let bucket = Bucket::S3.open(&namespace)?;
        bucket.put(&key, large.into()).await?;
        let yaml = fill(include_str!("simulated.yaml"), &namespace, Bucket::S3)?;
        let mut yaml: Value = serde_json::to_value(serde_saphyr::from_str::<Value>(&yaml)?)?;
        let spec = &mut yaml["spec"];
        spec["workload"]["prompts"] = json!({ "jsonl": { "uri": format!("s3://bakeoff/{key}") } });
        spec["runner"]["resources"] = json!({
            "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "memory": "64Mi" },
        });
        namespace.apply(&yaml.to_string())?;
        let status = ended(&namespace, "simulated", RUN_LIMIT).await;
        bucket.delete(&key).await?;
        let status = status?;
        let (found, message) = reason(&status, condition::FAILED)?;
        ensure!(found == reasons::RUNNER_OOM_KILLED, "{found}: {message}");
        for words in ["runner.resources.limits.memory", "exit code 137"] {
            ensure!(message.contains(words), "{message}");
        }
        await_none(&namespace, is_alive).await
    })
    .await
}
