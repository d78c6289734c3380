//! All turns of a run, one after another.

use std::time::Duration;

use bakeoff_crds::{
    manifests::{self, Turn},
    plan::Plan,
    run::{
        OnEngineFailure,
        status::{EnginePhase, TurnStatus, condition},
    },
    summary::reason,
};

use super::{
    budget::{self, Reached},
    draft::Draft,
    restart, turn,
};
use crate::{
    engine,
    status::{conditions, engines},
};

/// Whether a turn is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The step was taken by a turn.
    UnderWay,
    /// All turns are over.
    Done,
}

pub(super) fn decide(draft: &mut Draft<'_>, plan: &Plan) -> Progress {
    let reached = budget::reached(draft, plan);
    let order: Vec<Turn> = manifests::turns(plan)
        .into_iter()
        .map(|turn| Turn {
            restart: restart::count(&draft.status, turn.round),
            ..turn
        })
        .collect();
    let next = order.iter().enumerate().find(|(_, turn)| {
        record(draft, plan, **turn).is_none_or(|record| !engines::is_over(record.phase))
    });
    if reached.is_none() && restart::decide(draft, plan, next.map(|(_, turn)| *turn)) {
        engines::refresh(&mut draft.status, plan);
        return Progress::UnderWay;
    }
    let Some((position, next)) = next else {
        return Progress::Done;
    };
    let has_begun = record(draft, plan, *next).is_some();
    let stop = reason_to_stop(draft, plan, reached.as_ref()).filter(|_| !has_begun);
    let failed_before = failed_before(draft, plan, *next).filter(|_| !has_begun);
    match (stop, failed_before) {
        (Some((reason, message)), _) => {
            skip(draft, plan, order.get(position..), reason, &message);
        }
        (None, Some(message)) => {
            skip(draft, plan, Some(&[*next]), reason::FAILED_BEFORE, &message);
        }
        (None, None) => turn::decide(
            draft,
            plan,
            turn::Place {
                turn: *next,
                position,
                is_last: position + 1 == order.len(),
                reached: reached.as_ref(),
            },
        ),
    }
    engines::refresh(&mut draft.status, plan);
    Progress::UnderWay
}

/// What is left of `policy.timeouts.total`. A resumed run has all of it again, as a Job has.
pub(super) fn deadline_left(draft: &Draft<'_>, plan: &Plan) -> Duration {
    let started = draft.status.start_time.as_ref().map(|time| time.0);
    let resumed = conditions::get(&draft.status.conditions, condition::SUSPENDED)
        .filter(|suspended| suspended.status == "False")
        .map(|suspended| suspended.last_transition_time.0);
    let begin = started.max(resumed).unwrap_or(draft.now);
    engine::left(begin, plan.spec.policy.timeouts.total.get(), draft.now)
}

/// The record of a turn that counts, where it has begun.
pub(super) fn record<'a>(draft: &'a Draft<'_>, plan: &Plan, turn: Turn) -> Option<&'a TurnStatus> {
    let engine = plan.engines.get(turn.engine)?;
    draft.status.turns.iter().find(|record| {
        record.engine == engine.name && record.round == turn.round && !record.superseded
    })
}

/// Failures that the next round would only meet again: neither image nor model nor settings have
/// changed since. A crash, a lost node or a deadline may go otherwise.
const COMES_AGAIN: [&str; 10] = [
    reason::ENGINE_KIND_NOT_INSTALLED,
    reason::ENGINE_KIND_FORBIDDEN,
    reason::IMAGE_PULL_FAILED,
    reason::CONTAINER_CONFIG_ERROR,
    reason::SECRET_NOT_FOUND,
    reason::CONFIG_MAP_NOT_FOUND,
    reason::VOLUME_CLAIM_NOT_FOUND,
    reason::MODEL_ACCESS_DENIED,
    reason::ACCELERATOR_DRIVER_MISSING,
    reason::WRONG_MODEL_SERVED,
];

/// Why the accelerator's time would be wasted on this engine.
fn failed_before(draft: &Draft<'_>, plan: &Plan, turn: Turn) -> Option<String> {
    let engine = plan.engines.get(turn.engine)?;
    let failed = draft.status.turns.iter().find(|record| {
        let reason = record.reason.as_deref().unwrap_or_default();
        record.engine == engine.name
            && record.phase == EnginePhase::Failed
            && COMES_AGAIN.contains(&reason)
    })?;
    Some(format!(
        "not begun: it failed in round {} with {}, which would come again: {}",
        failed.round,
        failed.reason.as_deref().unwrap_or_default(),
        failed.message.as_deref().unwrap_or_default(),
    ))
}

fn reason_to_stop(
    draft: &Draft<'_>,
    plan: &Plan,
    reached: Option<&Reached>,
) -> Option<(&'static str, String)> {
    if let Some(Reached { reason, bound }) = reached {
        let message = format!("not begun: {bound} was reached before its turn");
        return Some((reason, message));
    }
    let any_failed = draft
        .status
        .turns
        .iter()
        .any(|turn| turn.phase == EnginePhase::Failed && !turn.superseded);
    (plan.spec.policy.on_engine_failure == OnEngineFailure::Abort && any_failed).then_some((
        reason::ABORTED,
        "not begun: an earlier engine failed, and policy.onEngineFailure is Abort".into(),
    ))
}

fn skip(draft: &mut Draft<'_>, plan: &Plan, turns: Option<&[Turn]>, reason: &str, message: &str) {
    for turn in turns.unwrap_or_default() {
        let Some(engine) = plan.engines.get(turn.engine) else {
            continue;
        };
        draft.status.turns.push(TurnStatus {
            engine: engine.name.clone(),
            round: turn.round,
            restart: turn.restart,
            phase: EnginePhase::Skipped,
            reason: Some(reason.into()),
            message: Some(message.into()),
            ..TurnStatus::default()
        });
    }
    draft.wake_in(Duration::from_secs(1));
}
