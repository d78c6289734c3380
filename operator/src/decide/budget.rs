//! What a whole run may take: time, and time of accelerators. Pure.

use std::time::Duration;

use bakeoff_crds::{plan::Plan, run::status::TurnStatus, summary::reason};
use k8s_openapi::jiff::Timestamp;

use super::{draft::Draft, turns};
use crate::engine;

/// A bound that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// Reason of what is cut or left out for it.
    pub(super) reason: &'static str,
    /// The field, with its value.
    pub(super) bound: String,
}

/// The bound of the run that is reached, if one is. Has the run looked at again when the next one
/// will be.
pub(super) fn reached(draft: &mut Draft<'_>, plan: &Plan) -> Option<Reached> {
    let policy = &plan.spec.policy;
    let left = turns::deadline_left(draft, plan);
    if left.is_zero() {
        return Some(Reached {
            reason: reason::DEADLINE_EXCEEDED,
            bound: format!("policy.timeouts.total ({})", policy.timeouts.total),
        });
    }
    draft.wake_in(left);
    let hours = policy.budget.accelerator_hours?;
    let count = plan.spec.hardware.accelerator.count;
    let held = held(&draft.status.turns, draft.now) * count;
    let left = Duration::try_from_secs_f64(hours * 3600.0).unwrap_or(Duration::MAX);
    let left = left.saturating_sub(held);
    if left.is_zero() {
        return Some(Reached {
            reason: reason::BUDGET_EXCEEDED,
            bound: format!("policy.budget.acceleratorHours ({hours})"),
        });
    }
    let holds = |turn: &TurnStatus| turn.scheduled_time.is_some() && turn.end_time.is_none();
    if count > 0 && draft.status.turns.iter().any(holds) {
        draft.wake_in(left / count);
    }
    None
}

/// For how long turns have held a place on a node, one after the other: from getting it until they
/// were over.
fn held(turns: &[TurnStatus], now: Timestamp) -> Duration {
    let spans = turns.iter().filter_map(|turn| {
        let begun = turn.scheduled_time.as_ref()?.0;
        let ended = turn.end_time.as_ref().map_or(now, |ended| ended.0);
        Some(engine::since(begun, ended))
    });
    spans.sum()
}
