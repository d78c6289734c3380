//! What to do next with a run: a pure function of the run, what the cluster showed, and the time.
//!
//! Every decision starts from objects and status alone, so an operator that was killed at any
//! point goes on where it was. One decision takes one step; the change that it makes brings the
//! next one about. Whatever is deleted is asked for again until it is gone, since an operator may
//! end after it wrote down that something is over and before it deleted it.
//!
//! Engines never share the accelerator: a turn begins only when no engine pod of the run is left,
//! not even a terminating one. Meanwhile the holder pod keeps the node. (Creating the next engine's
//! pod early would also keep it, but on a node with two accelerators the scheduler would then run
//! both engines at once.)

mod acceptance;
mod attention;
mod budget;
mod draft;
mod finished;
mod free;
mod kinds;
mod placement;
mod prefetch;
mod preflight;
mod reporting;
mod restart;
mod suspension;
mod turn;
mod turns;
mod words;

pub use attention::Attention;
pub use placement::APPLY_FAILED;
pub use restart::MAX_RESTARTS;
pub use words::Words;

use std::time::Duration;

use bakeoff_crds::{
    plan::PlanSettings,
    run::{BenchmarkRun, BenchmarkRunStatus, status::condition},
    summary::reason,
};
use k8s_openapi::jiff::Timestamp;

use crate::{
    child::{Child, ChildRef},
    observed::{Observed, StoredPlan},
    status::conditions,
};
use draft::Draft;

/// What to do next, in this order: apply, sweep, write the status, delete.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Objects to make, in order.
    pub apply: Vec<Child>,
    /// Objects to delete that nothing is concluded from: before the status says that all is gone.
    pub sweep: Vec<ChildRef>,
    /// Objects to delete, in order, once the status says why: whoever misses them must know.
    pub delete: Vec<ChildRef>,
    /// The status to write.
    pub status: BenchmarkRunStatus,
    /// When time alone changes what is to be done; `None` where it does not.
    pub requeue: Option<Duration>,
    /// How closely to look after the run until then, if nothing is heard of it.
    pub attention: Attention,
}

impl Decision {
    /// Whether nothing is to be done but perhaps to tell how far the run is; `before` is its status.
    pub fn is_quiet(&self, before: &BenchmarkRunStatus) -> bool {
        self.apply.is_empty()
            && self.sweep.is_empty()
            && self.delete.is_empty()
            && Words::differ_alone(before, &self.status)
    }
}

/// Decides the next step of a run.
pub fn decide(
    run: &BenchmarkRun,
    observed: &Observed,
    settings: &PlanSettings,
    now: Timestamp,
) -> Decision {
    let mut draft = Draft::new(run, observed, now);
    // The garbage collector frees what a deleted run owns; nothing may be added to it.
    if run.metadata.deletion_timestamp.is_none() {
        step(&mut draft, settings);
        attention::wake_for_deadlines(&mut draft);
    }
    draft.finish()
}

fn step(draft: &mut Draft<'_>, settings: &PlanSettings) {
    if draft.is_true(condition::COMPLETE) || draft.is_true(condition::FAILED) {
        return finished::decide(draft);
    }
    if draft.run.spec.suspend {
        return suspension::suspend(draft);
    }
    suspension::resume(draft);
    let plan = match &draft.observed.plan {
        StoredPlan::Stored(plan) => plan,
        StoredPlan::Unreadable(error) => {
            let message = format!("the stored plan cannot be read: {error}");
            return draft.fail(reason::INVALID_SPEC, &message);
        }
        StoredPlan::Missing => return acceptance::decide(draft, settings),
    };
    if !draft.is_true(condition::ACCEPTED) {
        return acceptance::accept(draft, plan);
    }
    if !draft.is_true(condition::PREFLIGHT_PASSED) {
        if let Some(failure) = kinds::first_unusable(draft, plan) {
            return draft.fail(failure.reason, &failure.message);
        }
        return preflight::decide(draft, plan);
    }
    if prefetch::decide(draft, plan) {
        return;
    }
    match turns::decide(draft, plan) {
        turns::Progress::UnderWay => {}
        turns::Progress::Done => reporting::decide(draft, plan),
    }
}

/// Whether a run has come to its end.
pub fn has_ended(status: &BenchmarkRunStatus) -> bool {
    [condition::COMPLETE, condition::FAILED]
        .iter()
        .any(|kind| conditions::is_true(&status.conditions, kind))
}
