//! The end of a turn: its account closed, and what it holds freed.

use bakeoff_crds::{
    manifests::names,
    plan::{Plan, PlannedObject},
    run::{
        CleanupEngines,
        status::{EnginePhase, RunPhase, TurnStatus},
    },
    summary::{Termination, reason},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    draft::Draft,
    restart,
    turn::{Place, object_of},
};
use crate::{classify::PodFailure, observed::Unusable, pod};

/// Closes the turn's account, and begins to free what it holds.
pub(super) fn end(
    draft: &mut Draft<'_>,
    plan: &Plan,
    place: Place<'_>,
    mut record: TurnStatus,
    failure: Option<PodFailure>,
    words: Option<Termination>,
) -> TurnStatus {
    if let Some(failure) = failure {
        record.reason = Some(failure.reason.to_owned());
        record.message = Some(failure.message);
        record.exit_code = failure.exit_code;
    }
    if let Some(words) = words {
        record.summary = words.runner;
    }
    record.phase = EnginePhase::Freeing;
    if record.reason.as_deref().is_some_and(restart::loses_place) {
        // What comes next takes whatever node there is.
        draft.status.node_name = None;
        draft.delete_holder();
    }
    free(draft, plan, place, record)
}

/// Frees the accelerator; the turn is over when nothing of it runs any more.
pub(super) fn free(
    draft: &mut Draft<'_>,
    plan: &Plan,
    place: Place<'_>,
    mut record: TurnStatus,
) -> TurnStatus {
    let observed = draft.observed;
    let runner = names::runner(plan, place.turn);
    if let Some(job) = observed
        .job(&runner)
        .filter(|job| crate::job::is_unfinished(job))
    {
        draft.delete_job(job);
    }
    // A kept pod keeps its accelerator, so only that of the last turn can be kept.
    let is_kept = place.is_last && keeps_pod(plan.spec.cleanup.engines, &record);
    let found = record
        .pod_name
        .as_deref()
        .and_then(|name| observed.pod(name));
    let object = object_of(plan, place.turn);
    let engine_is_gone = match (object, found) {
        _ if is_kept => true,
        (Some(planned), _) => free_object(draft, planned, &record),
        (None, None) => true,
        (None, Some(found)) => {
            draft.delete_pod(found);
            observed.is_lost(found)
        }
    };
    let is_gone = engine_is_gone
        && !observed
            .pods_of_job(&runner)
            .any(|pod| !pod::has_ended(pod) && !observed.is_lost(pod));
    let message = format!("Waiting for the pods of {} to go", record.engine);
    draft.progressing(RunPhase::Running, "Freeing", &message);
    // A pod that does not go holds the run until its deadline, and no longer.
    let is_out_of_time = place
        .reached
        .is_some_and(|reached| reached.reason == reason::DEADLINE_EXCEEDED);
    if is_gone || is_out_of_time {
        let name = record.object_name.as_ref().or(record.pod_name.as_ref());
        if let (Some(name), false) = (name, is_kept) {
            draft.sweep_engine(name);
        }
        if plan.spec.runner.parallelism > 1 {
            draft.sweep_service(runner);
        }
        record.phase = match record.reason {
            Some(_) => EnginePhase::Failed,
            None => EnginePhase::Succeeded,
        };
        record.end_time = Some(Time(draft.now));
        draft.wake_in(std::time::Duration::from_secs(1));
    }
    record
}

/// Deletes the object that an engine is; whether it is gone, and its pods with it.
fn free_object(draft: &mut Draft<'_>, planned: &PlannedObject, record: &TurnStatus) -> bool {
    let observed = draft.observed;
    let name = record.object_name.as_deref().unwrap_or_default();
    let found = observed.object(name);
    if let Some(found) = found {
        draft.delete_object(found);
    }
    // What may not be listed may be there.
    let may_be_there = observed.unusable(&planned.api()) == Some(Unusable::Forbidden);
    let mut pods = observed.pods_of_object(name).into_iter();
    found.is_none() && !may_be_there && pods.all(|pod| observed.is_lost(pod))
}

/// Whether the clean-up policy keeps the pod of a turn.
pub(super) fn keeps_pod(policy: CleanupEngines, record: &TurnStatus) -> bool {
    match policy {
        CleanupEngines::Always => false,
        CleanupEngines::OnSuccess => record.reason.is_some(),
        CleanupEngines::Never => true,
    }
}
