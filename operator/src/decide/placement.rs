//! An engine's objects, and the node that all engines share.

use bakeoff_crds::{
    manifests::{Turn, Workload, engine_objects_on, holder_pod, pod_monitoring},
    plan::{Plan, PlannedEngine},
    run::{
        BenchmarkRunStatus,
        status::{TurnStatus, condition},
    },
};

use super::{draft::Draft, restart};
use crate::{admission, child::Child, classify::PodFailure, engine, pod, status::conditions};

/// Reason of [`condition::PROGRESSING`] while objects cannot be made; its message is the API
/// server's.
pub const APPLY_FAILED: &str = "ApplyFailed";

/// Keeps the first engine's node for all that follow.
pub(super) fn hold_node(
    draft: &mut Draft<'_>,
    plan: &Plan,
    more_follow: bool,
    record: &TurnStatus,
) {
    if record.pod_name.is_none() || record.reason.as_deref().is_some_and(restart::loses_place) {
        return;
    }
    if draft.status.node_name.is_none() {
        draft.status.node_name.clone_from(&record.node_name);
    }
    match (&draft.status.node_name, draft.holder(plan)) {
        (Some(node), None) if more_follow => {
            let holder = holder_pod(plan, &draft.owner(), node);
            draft.apply.push(Child::Pod(holder));
        }
        // Left over from a place that was lost.
        (wanted, Some(holder))
            if pod::node(holder).is_some_and(|held| wanted.as_deref() != Some(held)) =>
        {
            draft.delete_holder();
        }
        _ => {}
    }
}

/// The engine's objects; its pod last, or what makes its pods, so that its presence stands for them all.
pub(super) fn make_engine(draft: &mut Draft<'_>, plan: &Plan, turn: Turn) {
    let owner = draft.owner();
    let engine = plan.engines.get(turn.engine);
    let Some(objects) = engine_objects_on(plan, &owner, turn, &nodes(&draft.status)) else {
        return;
    };
    draft.apply.extend(objects.files.map(Child::ConfigMap));
    draft.apply.push(Child::Service(objects.service));
    for api in &draft.observed.monitoring {
        let monitoring = pod_monitoring(plan, &owner, turn, *api);
        draft
            .apply
            .extend(monitoring.map(|object| Child::Monitoring(*api, object)));
    }
    let child = match objects.workload {
        Workload::Pod(pod) => Some(Child::Pod(pod)),
        Workload::Object(object) => engine
            .and_then(PlannedEngine::object)
            .map(|planned| Child::Object(planned.api(), object)),
    };
    draft.apply.extend(child);
}

/// The nodes of the first engine, which all share: one, or all that it spanned.
fn nodes(status: &BenchmarkRunStatus) -> Vec<&str> {
    let Some(first) = status.node_name.as_deref() else {
        return Vec::new();
    };
    let mut turns = status.turns.iter();
    let of_first = turns.find(|turn| !turn.superseded && turn.node_name.as_deref() == Some(first));
    of_first.map_or_else(|| vec![first], TurnStatus::nodes)
}

/// Why the pod could not be made for as long as it may wait for a node: a quota, or an admission
/// policy.
pub(super) fn unmade(draft: &Draft<'_>, plan: &Plan, record: &TurnStatus) -> Option<PodFailure> {
    let timeouts = &plan.spec.policy.timeouts;
    let begun = record.start_time.as_ref()?.0;
    if !engine::is_over(begun, timeouts.scheduling.get(), draft.now) {
        return None;
    }
    let refusal = conditions::get(&draft.status.conditions, condition::PROGRESSING)
        .filter(|progressing| progressing.reason == APPLY_FAILED)?;
    let (reason, remedy) = admission::refusal(&refusal.message);
    Some(PodFailure::new(
        reason,
        format!(
            "its pod could not be made within policy.timeouts.scheduling ({}): {}. {remedy}",
            timeouts.scheduling, refusal.message
        ),
    ))
}
