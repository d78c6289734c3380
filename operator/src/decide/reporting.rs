//! The reporter Job, and the end of the run.

use bakeoff_crds::{
    manifests::{names, outcome_config_map, reporter_job},
    outcome::Outcome,
    plan::Plan,
    run::status::{EnginePhase, RunPhase, VerdictStatus},
    summary::{Failure, ReporterSummary, reason},
};

use super::draft::Draft;
use crate::{child::Child, job::JobState};

pub(super) fn decide(draft: &mut Draft<'_>, plan: &Plan) {
    draft.delete_holder();
    match draft.job_state(plan, &names::reporter(&plan.run)) {
        JobState::Absent => {
            let owner = draft.owner();
            let outcome = outcome_config_map(plan, &owner, &outcome(draft));
            draft.apply.push(Child::ConfigMap(outcome));
            draft.apply.push(Child::Job(reporter_job(plan, &owner)));
            under_way(draft, "The reporter Job is being made");
        }
        JobState::Deleting => under_way(draft, "Waiting for an earlier reporter Job to go"),
        JobState::Active => under_way(draft, "Reading the stages and writing the report"),
        JobState::Stuck(failure) | JobState::Failed(failure, _) => failed(draft, failure),
        JobState::Succeeded(words) => match words.and_then(|words| words.reporter) {
            Some(summary) => done(draft, summary),
            None => failed(
                draft,
                Failure {
                    reason: reason::RUNNER_CRASHED.into(),
                    message: "the reporter ended well, but its pod is gone or did not say where the report is".into(),
                    ..Failure::default()
                },
            ),
        },
    }
}

fn under_way(draft: &mut Draft<'_>, message: &str) {
    draft.status.current_engine = None;
    draft.status.progress = Some("report".into());
    draft.progressing(RunPhase::Reporting, "Reporting", message);
}

fn outcome(draft: &Draft<'_>) -> Outcome {
    Outcome {
        start_time: draft
            .status
            .start_time
            .as_ref()
            .map(|time| time.0.to_string())
            .unwrap_or_default(),
        node_name: draft.status.node_name.clone(),
        operator_version: env!("CARGO_PKG_VERSION").into(),
        nodes: draft.status.nodes.clone(),
        model_volume: draft.status.model_volume.clone(),
        turns: draft.status.turns.clone(),
        restarts: draft.status.restarts.clone(),
    }
}

fn failed(draft: &mut Draft<'_>, failure: Failure) {
    let Failure {
        reason, message, ..
    } = failure;
    let reason = if reason == reason::DEADLINE_EXCEEDED {
        reason::UPLOAD_FAILED
    } else {
        reason.as_str()
    };
    let message =
        format!("{message}. The stages measured are in the bucket; `bakeoff report` reads them");
    draft.fail(reason, &message);
}

fn done(draft: &mut Draft<'_>, summary: ReporterSummary) {
    let counted = || draft.status.turns.iter().filter(|turn| !turn.superseded);
    let of = |phase| counted().filter(|turn| turn.phase == phase).count();
    let (measured, turns) = (of(EnginePhase::Succeeded), counted().count());
    let reason =
        if measured == 0 || (measured == turns && summary.verdict == VerdictStatus::Invalid) {
            "InvalidResult"
        } else if measured < turns {
            "PartialFailure"
        } else {
            "Succeeded"
        };
    let mut message = summary.sentence.clone();
    if measured < turns {
        message = format!("{measured} of {turns} turns were measured. {message}");
    }
    if !summary.reasons.is_empty() {
        message = format!("{message} ({})", summary.reasons.join(", "));
    }
    draft.status.verdict = Some(summary.verdict);
    draft.status.report_uri = Some(summary.report_uri);
    draft.complete(reason, message.trim());
}
