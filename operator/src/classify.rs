//! Names what went wrong with a pod, from its status alone.
//!
//! A pure function over what the kubelet, the scheduler and the container runtime wrote: waiting
//! and terminated reasons, exit codes, and the last lines of the container, which are there because
//! our pods ask for `terminationMessagePolicy: FallbackToLogsOnError`.

use std::time::Duration;

use bakeoff_crds::summary::reason;
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod},
    jiff::Timestamp,
};

use crate::{mask::mask, pod};

/// The least time that a pod gets for faults at its start that may pass by themselves.
const LEAST_PATIENCE: Duration = Duration::from_secs(120);
/// Lines and bytes of a container's last words that are kept.
const EVIDENCE_LINES: usize = 12;
const EVIDENCE_BYTES: usize = 1000;

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
            pod::container_statuses(pod)
                .find_map(|container| container_failure(pod, container, role, patience, now))
        })
        .or_else(|| ended_without_containers(pod, role))
}

/// Eviction, preemption, a lost node: the cluster took the pod away. Pressure on a node and a more
/// important pod are told from the loss of the node itself, which takes the place of every engine.
fn disrupted(pod: &Pod, role: Role) -> Option<PodFailure> {
    let status = pod.status.as_ref()?;
    let status_reason = status.reason.as_deref().unwrap_or_default();
    let taken_away = matches!(
        status_reason,
        "Evicted" | "NodeLost" | "Preempting" | "NodeShutdown" | "Terminated" | "Shutdown"
    );
    // https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    let disruption = pod::condition(pod, "DisruptionTarget").filter(|found| found.status == "True");
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
fn refused_by_kubelet(pod: &Pod) -> Option<PodFailure> {
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

fn waiting_failure(
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

/// Whether the kubelet has had its time to start the pod: what it says from now on counts as for
/// good.
pub fn is_over(pod: &Pod, patience: Duration, now: Timestamp) -> bool {
    pod::scheduled_at(pod)
        .or_else(|| pod::created_at(pod))
        .is_some_and(|since| pod::has_passed(since, patience, now))
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

/// Names the end of a container.
pub fn terminated_failure(
    container: &ContainerStatus,
    ended: &ContainerStateTerminated,
    role: Role,
) -> PodFailure {
    let words = ended.message.as_deref().unwrap_or_default();
    let (reason, what) = if ended.reason.as_deref() == Some("OOMKilled") {
        (
            match role {
                Role::Engine => reason::ENGINE_OOM_KILLED,
                Role::Runner => reason::RUNNER_OOM_KILLED,
            },
            match role {
                Role::Engine => "ran out of memory (RAM); raise hardware.resources.limits.memory",
                Role::Runner => "ran out of memory; raise runner.resources.limits.memory",
            },
        )
    } else if role == Role::Engine && says_accelerator_memory(words) {
        (
            reason::CUDA_OUT_OF_MEMORY,
            "ran out of the accelerator's memory; lower tuning.maxBatchSize or model.maxModelLen, quantize, or take a larger accelerator",
        )
    } else if role == Role::Engine && says_model_access(words) {
        (
            reason::MODEL_ACCESS_DENIED,
            "was refused the model; check model.tokenSecretRef, and accept the model's licence with that account",
        )
    } else {
        (crashed(role), "ended")
    };
    let evidence = last_lines(words);
    let code = ended.exit_code;
    let separator = if evidence.is_empty() { "" } else { ":\n" };
    PodFailure {
        reason,
        message: format!(
            "container {} {what} (exit code {code}){separator}{evidence}",
            container.name
        ),
        exit_code: Some(code),
    }
}

fn crashed(role: Role) -> &'static str {
    match role {
        Role::Engine => reason::ENGINE_CRASHED,
        Role::Runner => reason::RUNNER_CRASHED,
    }
}

fn says_accelerator_memory(words: &str) -> bool {
    [
        "CUDA out of memory",
        "CUDA error: out of memory",
        "torch.OutOfMemoryError",
        "torch.cuda.OutOfMemoryError",
        "cudaErrorMemoryAllocation",
        "cudaMalloc failed: out of memory",
        "HIP out of memory",
        "No available memory for the cache blocks",
        "larger than the maximum number of tokens that can be stored in KV cache",
        "Not enough memory to handle",
        "RESOURCE_EXHAUSTED: Out of memory",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

fn says_model_access(words: &str) -> bool {
    [
        "GatedRepoError",
        "gated repo",
        "401 Client Error",
        "403 Client Error",
        "Invalid user token",
        "RepositoryNotFoundError",
        "Access to model",
        "is not a local folder and is not a valid model identifier",
    ]
    .iter()
    .any(|sign| words.contains(sign))
        || ((words.contains("huggingface.co") || words.contains("hf.co"))
            && [
                "status code 401",
                "status code 403",
                "(401)",
                "(403)",
                "401 Unauthorized",
                "403 Forbidden",
            ]
            .iter()
            .any(|sign| words.contains(sign)))
}

/// The pod ended, and nothing is said of its containers.
fn ended_without_containers(pod: &Pod, role: Role) -> Option<PodFailure> {
    let status = pod.status.as_ref()?;
    (status.phase.as_deref() == Some("Failed")).then(|| {
        PodFailure::new(
            crashed(role),
            mask(&format!(
                "pod {} failed: {}: {}",
                pod::name(pod),
                status.reason.as_deref().unwrap_or("no reason given"),
                status.message.as_deref().unwrap_or("no detail given"),
            )),
        )
    })
}

/// The last lines of a container's words, masked, control characters taken out.
pub fn last_lines(words: &str) -> String {
    let masked = mask(words);
    let clean: Vec<String> = masked
        .lines()
        .map(|line| {
            line.chars()
                .filter(|c| !c.is_control() || *c == '\t')
                .collect::<String>()
        })
        .filter(|line| !line.trim().is_empty())
        .collect();
    let first = clean.len().saturating_sub(EVIDENCE_LINES);
    let text = clean.get(first..).unwrap_or_default().join("\n");
    let cut = text.len().saturating_sub(EVIDENCE_BYTES);
    let cut = (cut..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    text.get(cut..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
