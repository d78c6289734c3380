//! kwok, which plays nodes and the pods on them; and how far the runners are, which it cannot say.

use anyhow::{Context, Result};
use axum::{Json, Router, routing::get};
use bakeoff_crds::manifests::{RUNNER_PORT, labels};
use bakeoff_crds::run::status::{Headline, VerdictStatus};
use bakeoff_crds::summary::{PreflightSummary, ReporterSummary, Summary, Termination};
use bakeoff_e2e::daemon::{self, Daemon};
use bakeoff_e2e::settings::{Layout, service_address};
use bakeoff_e2e::tools;
use serde_json::json;
use tokio::task::JoinHandle;

/// What kwok manages is annotated with this.
pub(super) const ANNOTATION: (&str, &str) = ("kwok.x-k8s.io/node", "fake");
/// Load on an engine of this name goes on until its runner is annotated.
pub(super) const HELD: &str = "held";
/// Annotation of runners whose load is over.
pub(super) const LET_GO: &str = "bakeoff.dev/let-go";
/// The progress of every runner, as the run's status has it.
pub(super) const UNDER_LOAD: &str = "stage 2/2";

const NAME: &str = "kwok";
const STAGES: &str = include_str!("stages.yaml");
const ENDS: &str = include_str!("ends.yaml");

/// Ends with [`Self::stop`].
pub(super) struct Kwok {
    progress: JoinHandle<()>,
}

impl Kwok {
    pub(super) async fn start(layout: &Layout) -> Result<Self> {
        let program = tools::KWOK.build(layout)?;
        let config = layout.write_state_file("kwok/stages.yaml", stages()?)?;
        // Anew: it reads its configuration once.
        daemon::stop(NAME)?;
        Daemon::new(NAME, program)
            .args([
                format!("--kubeconfig={}", layout.kubeconfig().display()),
                format!("--config={}", config.display()),
                format!(
                    "--manage-nodes-with-annotation-selector={}={}",
                    ANNOTATION.0, ANNOTATION.1
                ),
                // Renewed each quarter of it; the node controller waits 50 s.
                "--node-lease-duration-seconds=120".into(),
                "--cidr=10.200.0.0/16".into(),
            ])
            .start(layout)?;
        let port = u16::try_from(RUNNER_PORT)?;
        let listener = tokio::net::TcpListener::bind((service_address()?, port))
            .await
            .context("listening where runners do")?;
        let far = json!({ "repetition": 1, "stage": "concurrency-4", "stagesDone": 1, "stagesPlanned": 2 });
        let router = Router::new().route("/progress", get(async move || Json(far)));
        let progress = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "runners are silent");
            }
        });
        Ok(Self { progress })
    }

    pub(super) fn stop(self) -> Result<()> {
        self.progress.abort();
        daemon::stop(NAME)
    }
}

/// What becomes of nodes and pods, and when.
fn stages() -> Result<String> {
    let mut all = STAGES.to_owned();
    // Milliseconds of work, at least and on top at most.
    for (component, words, work, longest) in [
        (labels::COMPONENT_PREFLIGHT, preflight(), 1000, 3000),
        (labels::COMPONENT_RUNNER, runner(), 2000, 6000),
        (labels::COMPONENT_REPORTER, reporter(), 1000, 2000),
    ] {
        all += &ENDS
            .replace("WORDS", &serde_json::to_string(&words)?.replace('\'', "''"))
            .replace("NAME", component)
            .replace("WORK", &i32::to_string(&work))
            .replace("LONGEST", &i32::to_string(&longest))
            .replace("HELD", HELD)
            .replace("LET_GO", LET_GO)
            // A label here, a component in the other file.
            .replace("ENGINE", labels::ENGINE);
    }
    Ok(all
        .replace("COMPONENT", labels::COMPONENT)
        .replace("ENGINE", labels::COMPONENT_ENGINE)
        .replace("RUNNER", labels::COMPONENT_RUNNER)
        .replace("ADDRESS", &service_address()?.to_string())
        .replace("IMAGE", &"cd".repeat(32)))
}

fn preflight() -> Termination {
    Termination {
        preflight: Some(PreflightSummary {
            prompts: 1,
            prompts_sha256: "ab".repeat(32),
            ..PreflightSummary::default()
        }),
        ..Termination::default()
    }
}

fn runner() -> Termination {
    Termination {
        runner: Some(Summary {
            stages_done: 2,
            stages_planned: 2,
            intended: 20,
            sent: 20,
            succeeded: 20,
            engine_version: Some("0.32.0".into()),
            headline: Some(Headline {
                stage: "concurrency-4".into(),
                output_tokens_per_second: 100.0,
                ..Headline::default()
            }),
            ..Summary::default()
        }),
        ..Termination::default()
    }
}

fn reporter() -> Termination {
    Termination {
        reporter: Some(ReporterSummary {
            report_uri: "s3://results/here/report.json".into(),
            verdict: VerdictStatus::Valid,
            reasons: Vec::new(),
            sentence: "One engine was measured.".into(),
        }),
        ..Termination::default()
    }
}

/// A word in capitals that is left would be taken for itself.
#[test]
fn every_word_is_filled_in() -> Result<()> {
    let all = stages()?;
    for file in serde_saphyr::from_multiple::<serde_json::Value>(&all)? {
        assert!(file["kind"].is_string(), "{file}");
    }
    let is_left = |word: &&str| word.len() > 3 && word.chars().all(|c| c.is_ascii_uppercase());
    let comments_left_out = all.lines().filter(|line| !line.trim().starts_with('#'));
    let words = comments_left_out.flat_map(|line| line.split(|c: char| !c.is_alphanumeric()));
    let left: Vec<&str> = words.filter(is_left).collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
