//! Names what went wrong with a pod, from its status alone.
//!
//! A pure function over what the kubelet, the scheduler and the container runtime wrote: waiting
//! and terminated reasons, exit codes, and the last lines of the container, which are there because
//! our pods ask for `terminationMessagePolicy: FallbackToLogsOnError`.

mod ended;
mod taken_away;
mod waiting;

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    jiff::Timestamp,
};

pub use self::ended::{last_lines, terminated_failure};
use self::{
    ended::ended_without_containers,
    taken_away::{disrupted, refused_by_kubelet},
    waiting::waiting_failure,
};
use crate::pod;

/// The least time that a pod gets for faults at its start that may pass by themselves.
const LEAST_PATIENCE: Duration = Duration::from_secs(120);

/// Why a pod cannot do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFailure {
    /// One word, of [`bakeoff_crds::summary::reason`].
    pub reason: &'static str,
    /// What happened and what to do, secrets masked.
    pub message: String,
    /// Exit code of the container, where one ended.
    pub exit_code: Option<i32>,
}

impl PodFailure {
    /// A failure without an exit code.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            exit_code: None,
        }
    }
}

/// What a pod is there for; decides by which words its end is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It serves the model.
    Engine,
    /// Preflight, runner or reporter.
    Runner,
}

/// For how long after it got a node a pod may be kept from starting by faults that may pass by
/// themselves, before they count: a registry that is away, a volume that cannot be attached, an API
/// server that does not answer the kubelet. A third of the step's deadline, so that an accelerator
/// does not wait all of it, and 2 minutes at least.
pub fn patience(deadline: Duration) -> Duration {
    LEAST_PATIENCE.max(deadline / 3)
}

/// Why the pod cannot do its work; `None` while it still may. `patience`: see [`patience`].
pub fn pod_failure(
    pod: &Pod,
    role: Role,
    patience: Duration,
    now: Timestamp,
) -> Option<PodFailure> {
    disrupted(pod, role)
        .or_else(|| refused_by_kubelet(pod))
        .or_else(|| {
            // Where one container's end takes others with it, the first to end is the cause.
            pod::container_statuses(pod)
                .filter_map(|container| {
                    let failure = container_failure(pod, container, role, patience, now)?;
                    Some((ended_at(container), failure))
                })
                .min_by_key(|(ended, _)| ended.unwrap_or(Timestamp::MAX))
                .map(|(_, failure)| failure)
        })
        .or_else(|| ended_without_containers(pod, role))
}

fn ended_at(container: &ContainerStatus) -> Option<Timestamp> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    ended.finished_at.as_ref().map(|time| time.0)
}

fn container_failure(
    pod: &Pod,
    container: &ContainerStatus,
    role: Role,
    patience: Duration,
    now: Timestamp,
) -> Option<PodFailure> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        return waiting_failure(pod, container, waiting, role, patience, now);
    }
    // An init container that ended well did its work; a main one that ended well also ended.
    let ended = state.terminated.as_ref()?;
    let did_its_work =
        ended.exit_code == 0 && (role == Role::Runner || pod::is_init(pod, &container.name));
    (!did_its_work).then(|| terminated_failure(container, ended, role))
}

/// Whether the kubelet has had its time to start the pod: what it says from now on counts as for
/// good.
pub fn is_over(pod: &Pod, patience: Duration, now: Timestamp) -> bool {
    pod::scheduled_at(pod)
        .or_else(|| pod::created_at(pod))
        .is_some_and(|since| pod::has_passed(since, patience, now))
}

#[cfg(test)]
mod tests;
