//! `bakeoff agent preflight`: what can be checked before an accelerator is taken, and the prompts
//! that every engine gets.

use std::{path::PathBuf, process::ExitCode};

use bakeoff_crds::{
    plan::Plan,
    summary::{Failure, PreflightSummary, Termination, reason},
};

use super::last_words::{TERMINATION_LOG, check_ca_bundle, failure, read_plan, say};
use crate::{
    report::collect::PREFLIGHT,
    store::{Environment, Inputs, Store, StoreError},
    workload::{
        self,
        frozen::{self, FrozenError},
        hub, sources,
    },
};

/// Arguments of `bakeoff agent preflight`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The plan of the run
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// File for the last words
    #[arg(long, value_name = "FILE", default_value = TERMINATION_LOG, env = "BAKEOFF_TERMINATION_LOG")]
    termination_log: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Where not even the last words can be written.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let result = preflight(&arguments).await.map(|summary| Termination {
        // They are in the bucket; a termination message has no room for many.
        preflight: Some(PreflightSummary {
            repositories: Vec::new(),
            ..summary
        }),
        ..Termination::default()
    });
    say(result, &arguments.termination_log)
}

async fn preflight(arguments: &Arguments) -> Result<PreflightSummary, Failure> {
    let plan = read_plan(&arguments.plan)?;
    let environment = Environment::of_process();
    check_ca_bundle(&plan, &environment)?;
    let store = Store::open(&plan.spec.output, &plan.run.folder(), &environment)
        .map_err(|error| failure(reason::BUCKET_NOT_WRITABLE, error))?;
    // A name of its own for each attempt: nothing is ever overwritten.
    let attempt = environment
        .get("POD_NAME")
        .unwrap_or("preflight")
        .to_owned();
    let inputs = Inputs {
        base: PathBuf::from("/"),
        output: plan.spec.output.clone(),
        environment,
    };
    prepare(&plan, &store, &inputs, &attempt, Repositories::Asked).await
}

/// Whether the model's repositories are asked for: engines that are up already have their models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repositories {
    /// They are.
    Asked,
    /// They are left alone.
    Left,
}

/// Checks the bucket, fetches data set and tokenizer, and freezes the prompts into the run's folder.
/// What a pod of the cluster and `bakeoff run` both do. `attempt` is a word that no other attempt at
/// the same run uses.
///
/// # Errors
/// A failure with its reason.
pub async fn prepare(
    plan: &Plan,
    store: &Store,
    inputs: &Inputs,
    attempt: &str,
    repositories: Repositories,
) -> Result<PreflightSummary, Failure> {
    let store = store
        .clone()
        .with_upload_timeout(plan.spec.policy.timeouts.upload.get());
    store
        .check_writable(attempt)
        .await
        .map_err(|error| Failure {
            may_pass: error.may_pass(),
            ..failure(reason::BUCKET_NOT_WRITABLE, error)
        })?;
    tracing::info!(
        uri = store.uri(""),
        "the bucket can be written and read back"
    );
    let repositories = match repositories {
        Repositories::Asked => hub::resolve(plan, inputs).await?,
        Repositories::Left => Vec::new(),
    };
    let workload_failure = |error: workload::WorkloadError| Failure {
        may_pass: error.may_pass(),
        ..failure(error.reason(), error)
    };
    let found = sources::fetch(plan, inputs)
        .await
        .map_err(workload_failure)?;
    let frozen = workload::freeze(plan, &found).map_err(workload_failure)?;
    let prompts_sha256 = frozen::store(&store, &frozen, &found)
        .await
        .map_err(|error| not_stored(&error))?;
    let summary = PreflightSummary {
        prompts: frozen.prompts.len() as u64,
        prompts_sha256,
        dataset_sha256: frozen.dataset_sha256,
        tokenizer_sha256: frozen.tokenizer_sha256,
        left_out: frozen.left_out,
        repositories,
    };
    let json = serde_json::to_vec_pretty(&summary)
        .map_err(|error| failure(reason::UPLOAD_FAILED, error))?;
    store
        .put_new(PREFLIGHT, json)
        .await
        .map_err(|error| not_stored(&error.into()))?;
    tracing::info!(
        prompts = summary.prompts,
        sha256 = summary.prompts_sha256,
        "prompts are frozen"
    );
    Ok(summary)
}

fn not_stored(error: &FrozenError) -> Failure {
    let reason = match error {
        FrozenError::Store(StoreError::Refused { .. }) => reason::BUCKET_NOT_WRITABLE,
        _ => reason::UPLOAD_FAILED,
    };
    Failure {
        may_pass: matches!(error, FrozenError::Store(error) if error.may_pass()),
        ..failure(reason, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::{collect, fixture},
        store::sha256_hex,
    };

    const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: pre, namespace: bench, uid: 0f9a1b2c-0000-4000-8000-000000000000}
spec:
  model: {id: example/model}
  engines: [{name: hosted, external: {url: "https://api.example.com", protocol: OpenAiChat}}]
  workload:
    prompts: PROMPTS
  output: {uri: "s3://results/bakeoff"}
"#;

    fn plan(prompts: &str) -> Plan {
        fixture::plan_of(&RUN.replace("PROMPTS", prompts))
    }

    fn inputs(plan: &Plan, folder: &std::path::Path) -> Inputs {
        let data = folder.join("data.jsonl");
        std::fs::write(&data, "{\"prompt\": \"one\"}\n{\"prompt\": \"two\"}\n").unwrap();
        Inputs {
            base: folder.to_owned(),
            output: plan.spec.output.clone(),
            environment: Environment::from([("BAKEOFF_DATASET_FILE", data.to_str().unwrap())]),
        }
    }

    #[tokio::test]
    async fn freezes_the_prompts_once_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan("{jsonl: {configMapRef: {name: data, key: data.jsonl}}}");
        let store = Store::in_memory();
        let inputs = inputs(&plan, folder.path());
        let summary = prepare(&plan, &store, &inputs, "a", Repositories::Asked)
            .await
            .unwrap();
        assert_eq!(summary.prompts, 2);
        assert!(summary.dataset_sha256.is_some());
        assert_eq!(collect::preflight(&store).await.unwrap(), summary);
        let (prompts, _) = frozen::load(&store, Some(&summary.prompts_sha256))
            .await
            .unwrap();
        assert_eq!(prompts.len(), 2);
        // A second attempt finds what the first one left, and says the same.
        assert_eq!(
            prepare(&plan, &store, &inputs, "b", Repositories::Asked)
                .await
                .unwrap(),
            summary
        );
    }

    #[tokio::test]
    async fn each_failure_has_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let other = sha256_hex(b"other");
        for (prompts, expected) in [
            (
                "{jsonl: {uri: \"http://127.0.0.1:9/x\"}}".to_owned(),
                reason::DATASET_UNAVAILABLE,
            ),
            (
                format!("{{jsonl: {{configMapRef: {{name: d, key: k}}, sha256: {other}}}}}"),
                reason::HASH_MISMATCH,
            ),
            (
                "{shareGpt: {configMapRef: {name: d, key: k}}}".to_owned(),
                reason::DATASET_INVALID,
            ),
        ] {
            let plan = plan(&prompts);
            let inputs = inputs(&plan, folder.path());
            let failed = prepare(
                &plan,
                &Store::in_memory(),
                &inputs,
                "a",
                Repositories::Asked,
            )
            .await
            .unwrap_err();
            assert_eq!(failed.reason, expected, "{}", failed.message);
        }
    }

    #[tokio::test]
    async fn prompts_are_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan("{inline: [one]}");
        let inputs = inputs(&plan, folder.path());
        let store = Store::in_memory();
        store.put_new(frozen::PATH, "other").await.unwrap();
        let failed = prepare(&plan, &store, &inputs, "a", Repositories::Asked)
            .await
            .unwrap_err();
        assert_eq!(failed.reason, reason::UPLOAD_FAILED);
        assert!(
            failed.message.contains("nothing is ever overwritten"),
            "{}",
            failed.message
        );
    }

    #[tokio::test]
    async fn a_bucket_that_refuses_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan("{inline: [one]}");
        plan.spec.output.endpoint = Some("http://127.0.0.1:9".into());
        plan.spec.policy.timeouts.upload = "1s".parse().unwrap();
        let environment =
            Environment::from([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")]);
        let store = Store::open(&plan.spec.output, "ns/run", &environment).unwrap();
        let inputs = inputs(&plan, folder.path());
        let failed = prepare(&plan, &store, &inputs, "a", Repositories::Asked)
            .await
            .unwrap_err();
        assert_eq!(failed.reason, reason::BUCKET_NOT_WRITABLE);
        assert!(
            failed.message.contains("s3://results/bakeoff/ns/run"),
            "{}",
            failed.message
        );
    }
}
