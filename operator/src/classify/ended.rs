//! Containers and pods that ended, and their last words.

use bakeoff_crds::summary::reason;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use super::{PodFailure, Role};
use crate::{mask::mask, pod};

/// Lines and bytes of a container's last words that are kept.
pub(super) const EVIDENCE_LINES: usize = 12;
pub(super) const EVIDENCE_BYTES: usize = 1000;

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
    } else if role == Role::Engine && says_driver(words) {
        (reason::ACCELERATOR_DRIVER_MISSING, DRIVER_REMEDY)
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

pub(super) fn crashed(role: Role) -> &'static str {
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

pub(super) const DRIVER_REMEDY: &str = "found no driver for the accelerator; install one that is new enough for the image on the node, have its device plugin show it to containers, and check hardware.runtimeClassName and hardware.accelerator";

/// Words of PyTorch, CUDA's loader and runtime, NVML, JAX and the NVIDIA container toolkit.
pub(super) fn says_driver(words: &str) -> bool {
    [
        "Found no NVIDIA driver",
        "NVIDIA driver on your system is too old",
        "CUDA driver version is insufficient",
        "CUDA initialization: CUDA unknown error",
        "No CUDA GPUs are available",
        "no CUDA-capable device is detected",
        "libcuda.so.1: cannot open shared object",
        "Failed to initialize NVML",
        "NVML Shared Library Not Found",
        "nvidia-container-cli: initialization error",
        "nvidia-container-cli: requirement error",
        "No visible GPU/TPU",
        "Unable to initialize backend 'tpu'",
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
pub(super) fn ended_without_containers(pod: &Pod, role: Role) -> Option<PodFailure> {
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
