//! When a run is looked at again should nothing be heard of it: at the next deadline, and, since a
//! watch event may be lost, after a while in any case.

use std::time::Duration;

use bakeoff_crds::{
    manifests::labels,
    plan::Plan,
    run::status::{EnginePhase, condition},
};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    jiff::Timestamp,
};

use super::draft::Draft;
use crate::{claims, classify, engine, job, observed::StoredPlan, pod, volumes};

/// How closely a run is looked after while nothing is heard of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attention {
    /// Not at all: it has ended.
    #[default]
    None,
    /// Seldom: it is suspended, or waits in a queue.
    Resting,
    /// After a while that grows: something is under way.
    Growing,
    /// Often: something is under way of which no watch tells, since its kind is only a profile's.
    Close,
}

/// How closely the run is to be looked after.
pub(super) fn of(draft: &Draft<'_>) -> Attention {
    let is_gone = draft.run.metadata.deletion_timestamp.is_some();
    if is_gone || draft.is_true(condition::COMPLETE) || draft.is_true(condition::FAILED) {
        return Attention::None;
    }
    let observed = draft.observed;
    let comes_or_goes = |phase| {
        matches!(
            phase,
            EnginePhase::Scheduling | EnginePhase::Starting | EnginePhase::Freeing
        )
    };
    let turns = &draft.status.turns;
    let unwatched = turns
        .iter()
        .any(|turn| turn.object_name.is_some() && comes_or_goes(turn.phase));
    if unwatched || (draft.run.spec.suspend && !observed.objects.is_empty()) {
        return Attention::Close;
    }
    let mut alive = observed.pods.iter().filter(|found| !pod::has_ended(found));
    if draft.run.spec.suspend {
        let holds = alive.next().is_some() || observed.jobs.iter().any(job::is_unfinished);
        return if holds {
            Attention::Growing
        } else {
            Attention::Resting
        };
    }
    let mut is_queued = observed
        .jobs
        .iter()
        .any(|found| job::is_unfinished(found) && job::is_suspended(found));
    let all_wait = alive.all(|found| {
        let is_gated = pod::gates(found).is_some();
        is_queued |= is_gated;
        is_gated || pod::label(found, labels::COMPONENT) == Some(labels::COMPONENT_HOLDER)
    });
    if is_queued && all_wait {
        Attention::Resting
    } else {
        Attention::Growing
    }
}

/// Has the run looked at when time alone changes what its pods and Jobs are taken for. What is ready,
/// or does its work, is bound by the deadlines of the turn and of the Job.
pub(super) fn wake_for_deadlines(draft: &mut Draft<'_>) {
    let StoredPlan::Stored(plan) = &draft.observed.plan else {
        return;
    };
    let observed = draft.observed;
    let pods = observed.pods.iter().flat_map(|found| of_pod(plan, found));
    let jobs = observed.jobs.iter().flat_map(|found| {
        let name = found.metadata.name.as_deref().unwrap_or_default();
        match observed.pods_of_job(name).next() {
            None => of_job(plan, found),
            Some(_) => Vec::new(),
        }
    });
    let spans: Vec<(Timestamp, Duration)> = pods.chain(jobs).collect();
    for (since, span) in spans {
        let left = engine::left(since, span, draft.now);
        if !left.is_zero() {
            draft.wake_in(left);
        }
    }
}

/// The times of a pod that has not started, each since a moment.
fn of_pod(plan: &Plan, found: &Pod) -> Vec<(Timestamp, Duration)> {
    let has_started = pod::container_started_at(found).is_some();
    let is_over = pod::has_ended(found) || pod::is_deleting(found);
    let Some(created) = pod::created_at(found) else {
        return Vec::new();
    };
    if has_started || is_over || pod::gates(found).is_some() {
        return Vec::new();
    }
    let timeouts = &plan.spec.policy.timeouts;
    let is_engine = pod::label(found, labels::COMPONENT) == Some(labels::COMPONENT_ENGINE);
    let deadline = if is_engine {
        timeouts.ready.get()
    } else {
        timeouts.scheduling.get()
    };
    let scheduled = pod::scheduled_at(found);
    let since = scheduled.unwrap_or(created);
    // When events are looked for, and what may pass has not.
    let mut spans = vec![
        (since, volumes::GRACE),
        (since, classify::patience(deadline)),
    ];
    if scheduled.is_none() {
        spans.push((created, claims::GRACE));
        // An engine's goes by when it was admitted, and is told by its turn.
        if !is_engine {
            spans.push((created, deadline));
        }
    }
    spans
}

/// The times of a Job without a pod.
fn of_job(plan: &Plan, found: &Job) -> Vec<(Timestamp, Duration)> {
    let started = found.status.as_ref();
    let started = started.and_then(|status| status.start_time.as_ref());
    let since = started.or(found.metadata.creation_timestamp.as_ref());
    let Some(since) = since.filter(|_| job::is_unfinished(found) && !job::is_suspended(found))
    else {
        return Vec::new();
    };
    let scheduling = plan.spec.policy.timeouts.scheduling.get();
    vec![(since.0, volumes::GRACE), (since.0, scheduling)]
}
