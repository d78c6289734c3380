//! Containers that wait to start, for what may pass and for what will not.

use std::time::Duration;

use bakeoff_crds::summary::reason;
use k8s_openapi::{
    api::core::v1::{ContainerStateWaiting, ContainerStatus, Pod},
    jiff::Timestamp,
};

use super::{
    PodFailure, Role,
    ended::{DRIVER_REMEDY, crashed, says_driver, terminated_failure},
    is_over,
};
use crate::mask::mask;

pub(super) fn waiting_failure(
    pod: &Pod,
    container: &ContainerStatus,
    waiting: &ContainerStateWaiting,
    role: Role,
    patience: Duration,
    now: Timestamp,
) -> Option<PodFailure> {
    let message = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref().unwrap_or_default() {
        // The kubelet could not ask the API server in time: it says nothing of what is there.
        "CreateContainerConfigError" if message.contains("failed to sync") => {
            is_over(pod, patience, now).then(|| config_failure(message))
        }
        "CreateContainerConfigError" => Some(config_failure(message)),
        "InvalidImageName" | "ErrImageNeverPull" => Some(pull_failure(container, message)),
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            (pull_cannot_succeed(message) || is_over(pod, patience, now))
                .then(|| pull_failure(container, message))
        }
        "CrashLoopBackOff" => Some(
            match container
                .last_state
                .as_ref()
                .and_then(|last| last.terminated.as_ref())
            {
                Some(ended) => terminated_failure(container, ended, role),
                None => PodFailure::new(crashed(role), mask(message)),
            },
        ),
        "CreateContainerError" | "RunContainerError" | "StartError" if says_driver(message) => {
            Some(PodFailure::new(
                reason::ACCELERATOR_DRIVER_MISSING,
                mask(&format!(
                    "container {} {DRIVER_REMEDY}: {message}",
                    container.name
                )),
            ))
        }
        "CreateContainerError" | "RunContainerError" | "StartError" => Some(PodFailure::new(
            reason::CONTAINER_CONFIG_ERROR,
            mask(&format!(
                "container {} cannot be started: {message}. Check command, arguments and mounts",
                container.name
            )),
        )),
        _ => None,
    }
}

/// The kubelet says which Secret, ConfigMap or key is missing; see `kuberuntime` and `kubelet_pods`
/// in Kubernetes: `secret "x" not found`, `couldn't find key k in Secret ns/x`.
fn config_failure(message: &str) -> PodFailure {
    let lower = message.to_lowercase();
    let (reason, remedy) = if lower.contains("failed to sync") {
        (
            reason::CONTAINER_CONFIG_ERROR,
            "The kubelet could not read it from the API server: look at the node's kubelet",
        )
    } else if lower.contains("secret") {
        (
            reason::SECRET_NOT_FOUND,
            "Create the Secret with that key in the run's namespace",
        )
    } else if lower.contains("configmap") {
        (
            reason::CONFIG_MAP_NOT_FOUND,
            "Create the ConfigMap with that key in the run's namespace",
        )
    } else {
        (
            reason::CONTAINER_CONFIG_ERROR,
            "Check the container's settings",
        )
    };
    PodFailure::new(
        reason,
        mask(&format!("{message}. {remedy}, and make a new run")),
    )
}

fn pull_failure(container: &ContainerStatus, message: &str) -> PodFailure {
    PodFailure::new(
        reason::IMAGE_PULL_FAILED,
        mask(&format!(
            "image {} cannot be pulled: {}. Check the name and tag, and imagePullSecrets where the registry is private",
            container.image,
            if message.is_empty() {
                "no detail given"
            } else {
                message
            },
        )),
    )
}

/// Whether the registry's answer will be the same next time.
fn pull_cannot_succeed(message: &str) -> bool {
    let lower = message.to_lowercase();
    [
        "not found",
        "manifest unknown",
        "does not exist",
        "no such host",
        "unauthorized",
        "authentication required",
        "denied",
        "forbidden",
        "no match for platform",
        "invalid reference",
    ]
    .iter()
    .any(|sign| lower.contains(sign))
}
