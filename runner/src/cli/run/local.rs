//! The way through a run in one process: prompts, turns, report.

use std::{path::PathBuf, sync::Arc};

use bakeoff_crds::{
    manifests::turns,
    outcome::Outcome,
    plan::Plan,
    report::Report,
    run::{
        OnEngineFailure,
        status::{EnginePhase, TurnStatus},
    },
    summary::{ReporterSummary, reason},
};

use super::turn::{Place, Turns};
use crate::{
    agent::preflight::{Repositories, prepare},
    cli::{cancel_on_signal, live::Live},
    clock,
    measure::{Progress, RoundResult},
    report::{self, Facts, Measured},
    store::{Environment, Inputs, Store},
    wire::tls,
    workload::frozen,
};

/// Runs a plan to its report. `places` are those of the plan's engines, in its order; relative paths
/// of inputs start from `base`.
///
/// # Errors
/// Where there are no prompts, or results cannot be stored.
pub async fn run(
    plan: &Plan,
    places: &[Place],
    base: PathBuf,
    environment: Environment,
    threads: usize,
) -> anyhow::Result<(Report, ReporterSummary)> {
    let start_time = clock::wall_now().to_string();
    let store = Store::open(&plan.spec.output, &plan.run.folder(), &environment)?
        .with_upload_timeout(plan.spec.policy.timeouts.upload.get());
    let inputs = Inputs {
        base,
        output: plan.spec.output.clone(),
        environment: environment.clone(),
    };
    let preflight = prepare(plan, &store, &inputs, "local", Repositories::Left)
        .await
        .map_err(|failure| anyhow::anyhow!("{}: {}", failure.reason, failure.message))?;
    let (prompts, tokenizer) = frozen::load(&store, Some(&preflight.prompts_sha256)).await?;
    let progress = Arc::new(Progress::default());
    cancel_on_signal(Arc::clone(&progress));
    let measuring = Turns {
        plan,
        places,
        prompts: &prompts,
        prompts_sha256: &preflight.prompts_sha256,
        tokenizer: tokenizer.map(Arc::new),
        tls: tls::client_config(tls::bundle_from_environment().as_deref())?,
        store: &store,
        environment: &environment,
        threads,
        progress: Arc::clone(&progress),
    };
    let live = Live::start(Arc::clone(&progress), plan);
    let (turns, stages) = all_turns(&measuring, &live).await;
    live.finish();
    // Fairness is then unproven, which is better than no report.
    let probes = report::collect::probes(&store, plan).await;
    let probes = probes.unwrap_or_else(|error| {
        tracing::warn!(%error, "the parity probe's answers cannot be read");
        Vec::new()
    });
    let facts = Facts {
        preflight,
        outcome: Outcome {
            start_time,
            turns,
            ..Outcome::default()
        },
        probes,
        end_time: clock::wall_now().to_string(),
    };
    let report = report::assemble(plan, &facts, stages);
    match report::write(&store, plan, report.clone()).await {
        Ok(summary) => Ok((report, summary)),
        Err(error) => {
            crate::cli::print(&report::log::write(&report)?);
            Err(anyhow::Error::new(error).context(
                "the report is not stored, and stands above in its place: give this output to \
                 bakeoff report --upload",
            ))
        }
    }
}

/// Every turn, one after another, whatever becomes of each.
async fn all_turns(measuring: &Turns<'_>, live: &Live) -> (Vec<TurnStatus>, Vec<Measured>) {
    let plan = measuring.plan;
    let (mut statuses, mut stages) = (Vec::new(), Vec::new());
    let mut aborted = None;
    for turn in turns(plan) {
        let Some(engine) = plan.engines.get(turn.engine) else {
            continue;
        };
        let mut status = TurnStatus {
            engine: engine.name.clone(),
            round: turn.round,
            ..TurnStatus::default()
        };
        if measuring.progress.control().is_cancelled() {
            aborted.get_or_insert("the run was told to stop");
        }
        if let Some(why) = aborted {
            status.phase = EnginePhase::Skipped;
            status.reason = Some(reason::ABORTED.into());
            status.message = Some(format!("not begun: {why}"));
            statuses.push(status);
            continue;
        }
        live.say(&format!("{}, round {}", engine.name, turn.round));
        let result = measuring.one(turn, &mut status).await;
        note(&mut status, &result, plan);
        if let Some(error) = &result.error {
            live.say(&format!(
                "{} failed: {}: {error}",
                engine.name, error.reason
            ));
            if plan.spec.policy.on_engine_failure == OnEngineFailure::Abort {
                aborted = Some("an engine failed, and policy.onEngineFailure is Abort");
            }
        }
        stages.extend(result.stages.into_iter().map(|stage| Measured {
            engine: engine.name.clone(),
            stage,
        }));
        statuses.push(status);
    }
    (statuses, stages)
}

fn note(status: &mut TurnStatus, result: &RoundResult, plan: &Plan) {
    status.end_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        clock::wall_now(),
    ));
    status.summary = Some(result.summary(plan));
    match &result.error {
        None => status.phase = EnginePhase::Succeeded,
        Some(error) => {
            status.phase = EnginePhase::Failed;
            status.reason = Some(error.reason.into());
            status.message = Some(error.message.clone());
        }
    }
}
