//! Pods that the cluster took away, or that their node would not have.

use bakeoff_crds::summary::reason;
use k8s_openapi::api::core::v1::Pod;

use super::{PodFailure, Role};
use crate::{mask::mask, pod};

/// Eviction, preemption, a lost node: the cluster took the pod away. Pressure on a node and a more
/// important pod are told from the loss of the node itself, which takes the place of every engine.
pub(super) fn disrupted(pod: &Pod, role: Role) -> Option<PodFailure> {
    let status = pod.status.as_ref()?;
    let status_reason = status.reason.as_deref().unwrap_or_default();
    let taken_away = matches!(
        status_reason,
        "Evicted" | "NodeLost" | "Preempting" | "NodeShutdown" | "Terminated" | "Shutdown"
    );
    // https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    // The second is Kueue's, set before it deletes the pod of a workload that it takes the place of.
    let is_set = |kind| pod::condition(pod, kind).filter(|found| found.status == "True");
    let by_queue = is_set("TerminationTarget");
    let disruption = is_set("DisruptionTarget").or(by_queue);
    if !taken_away && disruption.is_none() {
        return None;
    }
    let cause = disruption
        .and_then(|found| found.reason.as_deref())
        .unwrap_or(status_reason);
    let detail = disruption
        .and_then(|found| found.message.as_deref())
        .or(status.message.as_deref())
        .unwrap_or("no detail given");
    let (reason, remedy) = match (role, status_reason, cause) {
        (Role::Runner, ..) => (
            reason::RUNNER_EVICTED,
            "Give the runner a node that is not taken away, or raise runner.resources",
        ),
        (Role::Engine, _, "PreemptionByScheduler") | (Role::Engine, "Preempting", _) => (
            reason::ENGINE_PREEMPTED,
            "Use a node that no more important pod may take, or run again",
        ),
        (Role::Engine, ..) if by_queue.is_some() => (
            reason::ENGINE_PREEMPTED,
            "The queue gave its place to another; give the run a queue or a priority that keeps it",
        ),
        (Role::Engine, "Evicted", _) => (
            reason::ENGINE_EVICTED,
            "Raise hardware.resources.requests to what the engine needs, or use a larger node",
        ),
        (Role::Engine, ..) => (
            reason::NODE_LOST,
            "Use a node that is not taken away, or run again",
        ),
    };
    Some(PodFailure::new(
        reason,
        mask(&format!(
            "pod {} was taken off node {}: {cause}: {detail}. {remedy}",
            pod::name(pod),
            pod::node(pod).unwrap_or("(none)"),
        )),
    ))
}

/// The scheduler placed the pod, and the kubelet would not have it.
pub(super) fn refused_by_kubelet(pod: &Pod) -> Option<PodFailure> {
    let status = pod.status.as_ref()?;
    let status_reason = status.reason.as_deref()?;
    let refused = status_reason.starts_with("OutOf")
        || matches!(
            status_reason,
            "UnexpectedAdmissionError" | "NodeAffinity" | "NodePorts" | "TopologyAffinityError"
        );
    refused.then(|| {
        PodFailure::new(
            reason::UNSCHEDULABLE,
            mask(&format!(
                "node {} refused pod {}: {status_reason}: {}",
                pod::node(pod).unwrap_or("(none)"),
                pod::name(pod),
                status.message.as_deref().unwrap_or("no detail given"),
            )),
        )
    })
}
