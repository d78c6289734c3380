//! `spec.suspend`: frees what is running; its turn begins again after.

use bakeoff_crds::run::status::{EnginePhase, RunPhase, condition};

use super::draft::Draft;
use crate::{observed::StoredPlan, status::engines};

/// Frees everything and forgets the turn under way. What was measured stays.
pub(super) fn suspend(draft: &mut Draft<'_>) {
    draft.delete_unfinished_jobs();
    draft.delete_holder();
    let freeing = draft.delete_engines();
    // A turn that is over but for its pod keeps its result.
    draft.status.turns.retain(|turn| {
        !matches!(
            turn.phase,
            EnginePhase::Pending
                | EnginePhase::Scheduling
                | EnginePhase::Starting
                | EnginePhase::Measuring
        )
    });
    if draft.status.turns.is_empty() {
        draft.status.node_name = None;
    }
    if let StoredPlan::Stored(plan) = &draft.observed.plan {
        engines::refresh(&mut draft.status, plan);
    }
    let message = if freeing {
        "Held back by spec.suspend; the engine is being removed"
    } else {
        "Held back by spec.suspend; set it to false to go on"
    };
    draft.status.phase = RunPhase::Suspended;
    draft.status.current_engine = None;
    draft.status.progress = None;
    draft.condition(condition::SUSPENDED, true, "Suspended", message);
    draft.condition(condition::PROGRESSING, false, "Suspended", message);
}

/// Notes that the run goes on.
pub(super) fn resume(draft: &mut Draft<'_>) {
    if draft.is_true(condition::SUSPENDED) {
        let message = "Goes on since spec.suspend was set to false";
        draft.condition(condition::SUSPENDED, false, "Resumed", message);
    }
}
