//! Secrets stay in their Secrets: after a run, their values are looked for wherever a run writes.

use anyhow::{Result, ensure};
use bakeoff_e2e::harness::{Everything, has_cluster, with_namespace};
use bakeoff_e2e::images;
use bakeoff_e2e::services::s3;
use base64::Engine as _;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use serde_json::json;

use super::complete;
use super::inputs::{Bucket, fill, prepare};
use crate::install::{self, SYSTEM};

const CANARY: &str = include_str!("canary.yaml");
/// Of the shape of a Hugging Face token, and nobody's.
const TOKEN: &str = "hf_CanaryCanaryCanaryCanaryCanary01";
const API_KEY: &str = "canary-of-an-endpoint-0123456789";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_its_secret() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let secrets = json!({"apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"},
                "stringData": {"any-name": TOKEN},
            },
            {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "endpoint"},
                "stringData": {"API_KEY": API_KEY},
            },
        ]});
        // Made, not applied: that would write the values into an annotation, and it is not this
        // that is looked at.
        let create = ["--namespace", &namespace.name, "create", "--filename", "-"];
        namespace
            .kubectl
            .with_input(&create, &secrets.to_string())?;

        let everything = Everything::follow(&namespace).await?;
        let run = CANARY.replace("RUNNER_IMAGE", &images::name("bakeoff-runner"));
        namespace.apply(&fill(&run, &namespace, Bucket::S3)?)?;
        let status = complete(&namespace, "canary").await?;
        let phases: Vec<_> = status.engines.iter().map(|engine| engine.phase).collect();
        use bakeoff_crds::run::status::EnginePhase::{Failed, Succeeded};
        ensure!(
            phases == [Succeeded, Failed, Succeeded],
            "{:#?}",
            status.engines
        );
        // Or there would be nothing to mask.
        let words = status.engines[1].message.clone().unwrap_or_default();
        ensure!(words.contains("--no-such-flag=***"), "{words}");

        let mut written = everything.written();
        // What an engine says is its own: in its log, and where the kubelet repeats it.
        written.retain(|(place, _)| {
            let is_own = place.starts_with("log ") || place.starts_with("Pod ");
            !(is_own && place.contains("canary-talkative-"))
        });
        let pods = [
            "--namespace",
            SYSTEM,
            "logs",
            "--selector=app.kubernetes.io/name=bakeoff",
        ];
        let operators = [&pods[..], &["--tail=-1", "--prefix"]].concat();
        written.push((
            "operator".into(),
            namespace.kubectl.output(&operators)?.into_bytes(),
        ));
        let bucket = Bucket::S3.open(&namespace)?;
        let folder = Path::from(format!("results/{}", namespace.name));
        let objects: Vec<_> = bucket.list(Some(&folder)).try_collect().await?;
        for object in objects {
            let bytes = bucket.get(&object.location).await?.bytes().await?;
            let bytes = match object.location.extension() {
                Some("zst") => zstd::stream::decode_all(&*bytes)?,
                _ => bytes.to_vec(),
            };
            written.push((format!("bucket {}", object.location), bytes));
        }
        // Or it would be no wonder that nothing is found.
        for place in [
            "Pod ",
            "Job ",
            "ConfigMap ",
            "Event ",
            "BenchmarkRun ",
            "log ",
            "operator",
            "bucket ",
        ] {
            ensure!(
                written
                    .iter()
                    .any(|(written, text)| written.starts_with(place) && !text.is_empty()),
                "nothing was looked at of {place}"
            );
        }
        for secret in [TOKEN, API_KEY, s3::SECRET_KEY] {
            let leaks: Vec<&str> = written
                .iter()
                .filter(|(_, text)| holds(text, secret))
                .map(|(place, _)| &**place)
                .collect();
            ensure!(leaks.is_empty(), "{secret} is in {leaks:?}");
        }
        Ok(())
    })
    .await
}

/// Whether a text holds a secret, as it is or as Secrets encode it.
fn holds(text: &[u8], secret: &str) -> bool {
    let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
    // Its last characters depend on what follows.
    let encoded = &encoded[..encoded.len() - 4];
    [secret, encoded].iter().any(|needle| {
        text.windows(needle.len())
            .any(|part| part == needle.as_bytes())
    })
}
