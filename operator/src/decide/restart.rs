//! A round whose node was lost begins anew on another one, with all its engines, so that no engine
//! is compared with one of another node. What was measured before stays in the bucket and in the
//! status, and is marked.

use bakeoff_crds::{
    manifests::Turn,
    plan::{EngineSource, Plan},
    run::{
        BenchmarkRunStatus, SameNode,
        status::{EnginePhase, RoundRestart, RunPhase, TurnStatus},
    },
    summary::reason,
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};

use super::draft::Draft;
use crate::{classify::PodFailure, job::JobState, observed::NodeState, pod};

/// How often one round may begin anew. A node pool that loses node after node would otherwise cost
/// accelerator time without an end.
pub const MAX_RESTARTS: u32 = 2;

/// Whether a turn that failed for this reason has lost the place that all engines of its round
/// share.
pub(super) fn loses_place(failure: &str) -> bool {
    matches!(failure, reason::NODE_LOST | reason::ENGINE_PREEMPTED)
}

/// How often a round has begun anew.
pub(super) fn count(status: &BenchmarkRunStatus, round: u32) -> u32 {
    let restarts = status.restarts.iter();
    restarts
        .filter(|restart| restart.round == round)
        .map(|restart| restart.restart)
        .max()
        .unwrap_or(0)
}

/// Has a round begin anew where its node is lost, or lets go of a node that is lost between two
/// rounds; whether that was this step. `next` is the turn that is under way or to come.
pub(super) fn decide(draft: &mut Draft<'_>, plan: &Plan, next: Option<Turn>) -> bool {
    if plan.spec.hardware.same_node == SameNode::Preferred {
        return false;
    }
    if let Some(lost) = lost_turn(&draft.status) {
        let node = lost.node_name.clone();
        let message = lost.message.clone().unwrap_or_default();
        let reason = lost.reason.clone().unwrap_or_default();
        begin_anew(draft, plan, lost.round, node, &reason, &message);
        return true;
    }
    let Some(next) = next else {
        return false;
    };
    // A turn that has begun ends by itself first, and says what became of its pod.
    let has_begun = super::turns::record(draft, plan, next).is_some();
    match draft.status.node_name.clone() {
        Some(node) if !has_begun && is_lost(draft, plan, &node) => {
            let message = format!("node {node} went away between two engines");
            if is_measured_on(&draft.status, next.round, &node)
                && count(&draft.status, next.round) < MAX_RESTARTS
            {
                let reason = reason::NODE_LOST;
                begin_anew(draft, plan, next.round, Some(node), reason, &message);
            } else {
                draft.status.node_name = None;
                draft.delete_holder();
                draft.progressing(RunPhase::Running, reason::NODE_LOST, &message);
            }
            true
        }
        _ => false,
    }
}

/// A turn that lost its place, in a round that may begin anew.
fn lost_turn(status: &BenchmarkRunStatus) -> Option<&TurnStatus> {
    status.turns.iter().find(|turn| {
        turn.phase == EnginePhase::Failed
            && !turn.superseded
            && turn.reason.as_deref().is_some_and(loses_place)
            && count(status, turn.round) < MAX_RESTARTS
    })
}

fn is_measured_on(status: &BenchmarkRunStatus, round: u32, node: &str) -> bool {
    status.turns.iter().any(|turn| {
        turn.round == round
            && !turn.superseded
            && turn.phase == EnginePhase::Succeeded
            && turn.node_name.as_deref() == Some(node)
    })
}

/// Whether nothing can be placed on a node any more: it is gone, or its kubelet is silent and the
/// holder was told to leave it.
fn is_lost(draft: &Draft<'_>, plan: &Plan, node: &str) -> bool {
    match draft.observed.nodes.get(node) {
        Some(NodeState::Missing) => true,
        Some(NodeState::NotReady) => draft
            .holder(plan)
            .is_some_and(|holder| draft.observed.is_lost(holder)),
        Some(NodeState::Ready) | None => false,
    }
}

fn begin_anew(
    draft: &mut Draft<'_>,
    plan: &Plan,
    round: u32,
    node_name: Option<String>,
    reason: &str,
    message: &str,
) {
    let restart = count(&draft.status, round).saturating_add(1);
    for turn in &mut draft.status.turns {
        // An external engine never was on the node, and may cost money.
        if turn.round == round && is_deployed(plan, &turn.engine) {
            turn.superseded = true;
        }
    }
    draft.status.restarts.push(RoundRestart {
        round,
        restart,
        node_name,
        reason: reason.to_owned(),
        message: message.to_owned(),
        time: Time(draft.now),
    });
    draft.status.node_name = None;
    draft.delete_holder();
    let message = format!(
        "Round {round} begins anew on another node ({restart} of at most {MAX_RESTARTS} times): {message}"
    );
    draft.progressing(RunPhase::Running, reason::ROUND_RESTARTED, &message);
    draft.wake_in(std::time::Duration::from_secs(1));
}

fn is_deployed(plan: &Plan, engine: &str) -> bool {
    plan.engines.iter().any(|planned| {
        planned.name == engine && !matches!(planned.source, EngineSource::External(_))
    })
}

/// That the node went away under a turn, where its pod does not say so: gone with its node, waiting
/// for a node that is no more, or out of reach while its load failed.
pub(super) fn node_lost_under(
    draft: &Draft<'_>,
    plan: &Plan,
    record: &TurnStatus,
    found: Option<&Pod>,
    job: &JobState,
) -> Option<PodFailure> {
    let held = draft
        .status
        .node_name
        .as_deref()
        .filter(|_| plan.spec.hardware.same_node == SameNode::Required);
    let mut nodes = record.nodes();
    if nodes.is_empty() {
        nodes.extend(held);
    }
    nodes
        .into_iter()
        .find_map(|node| this_node_lost_under(draft, node, record, found, job))
}

fn this_node_lost_under(
    draft: &Draft<'_>,
    node: &str,
    record: &TurnStatus,
    found: Option<&Pod>,
    job: &JobState,
) -> Option<PodFailure> {
    let how = match draft.observed.nodes.get(node)? {
        NodeState::Ready => return None,
        NodeState::Missing => "is gone",
        NodeState::NotReady => {
            let pod_is_gone = match found {
                Some(found) => pod::is_deleting(found),
                None => record.pod_uid.is_some(),
            };
            let load_failed = matches!(job, JobState::Failed(..) | JobState::Stuck(_));
            if !pod_is_gone && !load_failed {
                return None;
            }
            "does not answer"
        }
    };
    Some(PodFailure::new(
        reason::NODE_LOST,
        format!(
            "node {node} {how}, and with it the engine. Use a node that is not taken away, or run again"
        ),
    ))
}
