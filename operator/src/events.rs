//! What people read of a change: `kubectl describe` lists it. Pure.

use bakeoff_crds::{
    run::status::{BenchmarkRunStatus, EnginePhase, RoundRestart, TurnStatus, condition},
    summary::reason,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::{decide::APPLY_FAILED, status::conditions};

/// Most bytes of an event's note, by the API.
const MAX_NOTE: usize = 1000;

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether something is wrong.
    pub is_warning: bool,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub note: String,
    /// What the operator was at.
    pub action: String,
}

/// What changed between two statuses.
pub fn between(before: &BenchmarkRunStatus, after: &BenchmarkRunStatus) -> Vec<Notice> {
    let of_conditions = after
        .conditions
        .iter()
        .filter(|now| {
            conditions::get(&before.conditions, &now.type_).map(|then| &then.status)
                != Some(&now.status)
        })
        .filter_map(of_condition);
    let of_turns = after.turns.iter().filter_map(|now| {
        let then = before.turns.iter().find(|then| {
            (&then.engine, then.round, then.restart) == (&now.engine, now.round, now.restart)
        });
        of_turn(then, now)
    });
    let of_restarts = after
        .restarts
        .iter()
        .filter(|now| !before.restarts.contains(now))
        .map(of_restart);
    of_turns
        .chain(of_restarts)
        .chain(refusal(before, after))
        .chain(of_conditions)
        .collect()
}

/// The API server refuses an object; told once, however often it is tried.
fn refusal(before: &BenchmarkRunStatus, after: &BenchmarkRunStatus) -> Option<Notice> {
    let refused = |status: &BenchmarkRunStatus| {
        conditions::get(&status.conditions, condition::PROGRESSING)
            .filter(|found| found.reason == APPLY_FAILED)
            .cloned()
    };
    let now = refused(after).filter(|_| refused(before).is_none())?;
    Some(notice(true, APPLY_FAILED, &now.message, "Apply"))
}

fn of_condition(now: &Condition) -> Option<Notice> {
    let is_true = now.status == "True";
    let (is_warning, reason, action) = match (now.type_.as_str(), is_true) {
        (condition::ACCEPTED, true) => (false, "Accepted", "Plan"),
        (condition::PREFLIGHT_PASSED, true) => (false, "PreflightPassed", "Preflight"),
        (condition::MODEL_PREFETCHED, true) => (false, "ModelPrefetched", "Prefetch"),
        (condition::SUSPENDED, true) => (false, "Suspended", "Suspend"),
        // A condition that is False from the start is no news.
        (condition::SUSPENDED, false) => (false, "Resumed", "Suspend"),
        (condition::COMPLETE, true) => (now.reason != "Succeeded", now.reason.as_str(), "Report"),
        (condition::FAILED, true) => (true, now.reason.as_str(), "Fail"),
        _ => return None,
    };
    Some(notice(is_warning, reason, &now.message, action))
}

fn of_turn(then: Option<&TurnStatus>, now: &TurnStatus) -> Option<Notice> {
    let engine = &now.engine;
    let action = format!("{engine}-round-{}", now.round);
    if let (Some(reason), true) = (&now.reason, then.is_none_or(|then| then.reason.is_none())) {
        let message = now.message.as_deref().unwrap_or_default();
        return Some(notice(
            true,
            reason,
            &format!("{engine}: {message}"),
            &action,
        ));
    }
    if then.is_some_and(|then| then.phase == now.phase) {
        return None;
    }
    let node = now.node_name.as_deref().unwrap_or("its node");
    let (reason, note) = match now.phase {
        EnginePhase::Scheduling => ("TurnBegan", format!("{engine}: round {} begins", now.round)),
        EnginePhase::Starting => ("EngineScheduled", format!("{engine}: starts on {node}")),
        EnginePhase::Measuring => ("EngineReady", format!("{engine}: ready, the load begins")),
        EnginePhase::Succeeded => ("EngineMeasured", format!("{engine}: {}", measured(now))),
        EnginePhase::Pending
        | EnginePhase::Freeing
        | EnginePhase::Failed
        | EnginePhase::Skipped => {
            return None;
        }
    };
    Some(notice(false, reason, &note, &action))
}

fn of_restart(now: &RoundRestart) -> Notice {
    let note = format!(
        "round {} begins anew on another node, because {} was lost: {}",
        now.round,
        now.node_name.as_deref().unwrap_or("its node"),
        now.message
    );
    let action = format!("round-{}-restart-{}", now.round, now.restart);
    notice(true, reason::ROUND_RESTARTED, &note, &action)
}

fn measured(turn: &TurnStatus) -> String {
    match &turn.summary {
        Some(summary) => format!(
            "{} of {} stages, {} requests succeeded, {} failed, {} dropped; {:?}",
            summary.stages_done,
            summary.stages_planned,
            summary.succeeded,
            summary.failed,
            summary.dropped,
            summary.verdict
        ),
        None => "done; its pod is gone, the figures are in the bucket".into(),
    }
}

fn notice(is_warning: bool, reason: &str, note: &str, action: &str) -> Notice {
    Notice {
        is_warning,
        reason: reason.to_owned(),
        note: conditions::truncate(note, MAX_NOTE).to_owned(),
        action: action.to_owned(),
    }
}
