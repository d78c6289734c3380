//! After the end: nothing is held, and the run goes when its time to live is over.

use bakeoff_crds::{manifests::labels, run::status::condition};

use super::draft::Draft;
use crate::{engine, pod};

pub(super) fn decide(draft: &mut Draft<'_>) {
    draft.delete_unfinished_jobs();
    draft.delete_holder();
    let observed = draft.observed;
    for found in &observed.objects {
        if !is_kept(draft, found.name()) {
            draft.delete_object(found);
        }
    }
    for found in observed.pods_of(labels::COMPONENT_ENGINE) {
        if !pod::is_of_object(found) && !is_kept(draft, pod::name(found)) {
            draft.delete_engine(found);
        }
    }
    // A failed run has no report in a bucket; its status is all there is of it.
    if !draft.is_true(condition::COMPLETE) {
        return;
    }
    let (Some(ttl), Some(ended)) = (
        draft.run.spec.cleanup.ttl_after_finished,
        draft.status.completion_time.as_ref(),
    ) else {
        return;
    };
    match engine::left(ended.0, ttl.get(), draft.now) {
        left if left.is_zero() => draft.delete_run(),
        left => draft.wake_in(left),
    }
}

/// Whether the clean-up policy keeps this engine's pod: that of the last turn, and only where the
/// turn is over by the policy's words.
fn is_kept(draft: &Draft<'_>, name: &str) -> bool {
    let last = draft.status.turns.last();
    last.is_some_and(|turn| {
        (turn.pod_name.as_deref() == Some(name) || turn.object_name.as_deref() == Some(name))
            && super::free::keeps_pod(draft.run.spec.cleanup.engines, turn)
    })
}
