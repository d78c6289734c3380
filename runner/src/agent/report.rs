//! `bakeoff agent report`: from stages and outcome to the report, in the bucket and in the log.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use bakeoff_crds::{
    outcome::Outcome,
    plan::Plan,
    report::Report,
    summary::{Failure, Termination, reason},
};

use super::last_words::{TERMINATION_LOG, check_ca_bundle, failure, read_plan, say};
use crate::{
    clock,
    report::{self, Facts, collect},
    store::{Environment, Store, held},
};

/// Name of the plan on a reporter's log.
pub const PLAN: &str = "plan.json";
/// Name of the outcome on a reporter's log.
pub const OUTCOME: &str = "outcome.json";

/// Arguments of `bakeoff agent report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The plan of the run
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// What only the operator knows of the run
    #[arg(long, value_name = "FILE")]
    outcome: PathBuf,
    /// File for the last words
    #[arg(long, value_name = "FILE", default_value = TERMINATION_LOG, env = "BAKEOFF_TERMINATION_LOG")]
    termination_log: PathBuf,
}

/// Runs the command. A verdict of Invalid is a result, not a failure.
///
/// # Errors
/// Where not even the last words can be written.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let result = write(&arguments, &environment, &mut std::io::stdout()).await;
    say(result, &arguments.termination_log)
}

async fn write(
    arguments: &Arguments,
    environment: &Environment,
    log: &mut impl std::io::Write,
) -> Result<Termination, Failure> {
    let plan = read_plan(&arguments.plan)?;
    let outcome = read_outcome(&arguments.outcome)?;
    check_ca_bundle(&plan, environment)?;
    let store = Store::open(&plan.spec.output, &plan.run.folder(), environment)
        .map_err(|error| failure(reason::UPLOAD_FAILED, error))?
        .with_upload_timeout(plan.spec.policy.timeouts.upload.get());
    let stored = make_and_store(&store, &plan, &outcome, log).await;
    stored.map_err(|failure| match hold(&store, &plan, &outcome, log) {
        Ok(()) => Failure {
            message: format!("{}; {FINISH_LATER}", failure.message),
            ..failure
        },
        // A log that cannot be written leaves nowhere to tell of it.
        Err(_) => failure,
    })
}

/// What a person can do once the bucket is back.
const FINISH_LATER: &str = "what was measured and is not in the bucket is on the logs of the run's \
    runner and reporter pods: bakeoff report --upload OUTPUT-URI LOG… stores it later";

/// Writes onto the log what the report is made of.
fn hold(
    store: &Store,
    plan: &Plan,
    outcome: &Outcome,
    log: &mut impl std::io::Write,
) -> std::io::Result<()> {
    for (name, json) in [
        (PLAN, serde_json::to_vec(plan)?),
        (OUTCOME, serde_json::to_vec(outcome)?),
    ] {
        log.write_all(held::write(&store.folder_path(name), &json).as_bytes())?;
    }
    log.flush()
}

async fn make_and_store(
    store: &Store,
    plan: &Plan,
    outcome: &Outcome,
    log: &mut impl std::io::Write,
) -> Result<Termination, Failure> {
    let not_stored = |error: &dyn std::fmt::Display| failure(reason::UPLOAD_FAILED, error);
    let report = make(store, plan, outcome.clone())
        .await
        .map_err(|error| Failure {
            may_pass: matches!(&error, collect::CollectError::Store(error) if error.may_pass()),
            ..not_stored(&error)
        })?;
    // The log first: it is there even where the bucket is not.
    let text = report::log::write(&report).map_err(|error| not_stored(&error))?;
    log.write_all(text.as_bytes())
        .and_then(|()| log.flush())
        .map_err(|error| not_stored(&error))?;
    let summary = report::write(store, plan, report)
        .await
        .map_err(|error| Failure {
            may_pass: matches!(&error, report::WriteError::Store(error) if error.may_pass()),
            ..not_stored(&error)
        })?;
    tracing::info!(uri = summary.report_uri, verdict = ?summary.verdict, "the report is stored");
    Ok(Termination {
        reporter: Some(summary),
        ..Termination::default()
    })
}

/// The report of what lies in a run's folder.
///
/// # Errors
/// Where the folder cannot be read.
pub async fn make(
    store: &Store,
    plan: &Plan,
    outcome: Outcome,
) -> Result<Report, collect::CollectError> {
    let facts = Facts {
        preflight: collect::preflight(store).await?,
        outcome,
        probes: collect::probes(store, plan).await?,
        end_time: clock::wall_now().to_string(),
    };
    let stages = collect::stages(store, plan).await?;
    Ok(report::assemble(plan, &facts, stages))
}

fn read_outcome(path: &Path) -> Result<Outcome, Failure> {
    let told = |error: &dyn std::fmt::Display| {
        failure(
            reason::INVALID_SPEC,
            format!("the outcome {} cannot be read: {error}", path.display()),
        )
    };
    let json = std::fs::read(path).map_err(|error| told(&error))?;
    serde_json::from_slice(&json).map_err(|error| told(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{STAGE, attempt_folder},
        report::fixture,
        store::manifest,
    };

    #[tokio::test]
    async fn the_report_is_in_the_bucket_and_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = fixture::plan();
        plan.spec.output.uri = format!("file://{}", folder.path().join("out").display());
        let facts = fixture::facts();
        let file = |name: &str, json: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, json).unwrap();
            path
        };
        let arguments = Arguments {
            plan: file("plan.json", serde_json::to_string(&plan).unwrap()),
            outcome: file(
                "outcome.json",
                serde_json::to_string(&facts.outcome).unwrap(),
            ),
            termination_log: folder.path().join("log"),
        };
        let environment = Environment::default();
        let store = Store::open(&plan.spec.output, &plan.run.folder(), &environment).unwrap();
        for measured in fixture::measured() {
            let folder = attempt_folder(&measured.engine, 1, 1, &measured.stage.name, 1);
            let json = serde_json::to_vec(&measured.stage).unwrap();
            store
                .put_new(&format!("{folder}/{STAGE}"), json)
                .await
                .unwrap();
        }
        let json = serde_json::to_vec(&facts.preflight).unwrap();
        store.put_new(collect::PREFLIGHT, json).await.unwrap();

        let mut log = Vec::new();
        let termination = write(&arguments, &environment, &mut log).await.unwrap();
        let summary = termination.reporter.clone().unwrap();
        assert!(
            summary
                .report_uri
                .ends_with("/bench/mistral-0f9a1b2c/report.json")
        );
        assert!(
            summary
                .sentence
                .starts_with("vllm has the highest output throughput")
        );
        let stored: Report =
            serde_json::from_slice(&store.get("report.json").await.unwrap()).unwrap();
        let logged = report::log::read(&String::from_utf8(log).unwrap()).unwrap();
        assert_eq!(stored, logged);
        assert_eq!(stored.run.prompts, 1000);
        assert!(store.exists(manifest::PATH).await.unwrap());
        // A reporter that is started again finishes the same report.
        let again = write(&arguments, &environment, &mut Vec::new())
            .await
            .unwrap();
        assert_eq!(again, termination);
    }
}
