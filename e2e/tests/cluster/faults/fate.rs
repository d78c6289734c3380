//! What may become of a pod, in the words of the kubelet, the scheduler and the container runtime;
//! and the name that a run must give it.

use bakeoff_crds::manifests::labels::{COMPONENT_ENGINE, COMPONENT_RUNNER};
use bakeoff_crds::summary::reason;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::machine::{container, ended, running};

/// Of the shape of a Hugging Face token, and nobody's; it must not get into a status.
pub(super) const TOKEN: &str = "hf_ToldByTheEngineToldByTheEngine";

/// What becomes of the pods of one engine's turn.
#[derive(Debug)]
pub(super) struct Fate {
    /// Name of the engine that meets it.
    pub(super) engine: &'static str,
    /// Whose pod of that turn it is.
    pub(super) component: &'static str,
    /// Whether it comes once the pod has worked for a while, or at its start.
    pub(super) is_late: bool,
    /// Whether it makes the round begin anew elsewhere.
    pub(super) loses_place: bool,
    /// The pod's status from then on.
    pub(super) status: fn(&Pod) -> Value,
    /// The reason that the run gives.
    pub(super) reason: &'static str,
    /// What its message says.
    pub(super) words: &'static [&'static str],
}

/// Each of them costs its engine the turn, and nothing else.
pub(super) static FATES: [Fate; 15] = [
    Fate::of("broken", |pod| ended(pod, 1, "ValueError: no such flag"))
        .named(reason::ENGINE_CRASHED, &["no such flag", "exit code 1"]),
    Fate::of("image-name", |pod| {
        waits(pod, "InvalidImageName", "couldn't parse image reference")
    })
    .named(reason::IMAGE_PULL_FAILED, &["couldn't parse", "name and tag"]),
    Fate::of("image-pull", |pod| {
        waits(pod, "ErrImagePull", "pull access denied, repository does not exist")
    })
    .named(reason::IMAGE_PULL_FAILED, &["imagePullSecrets"]),
    Fate::of("secret-key", |pod| {
        waits(pod, "CreateContainerConfigError", "couldn't find key token in Secret bench/hf")
    })
    .named(reason::SECRET_NOT_FOUND, &["key token", "Create the Secret"]),
    Fate::of("gated-model", |pod| {
        let words = format!(
            "Authorization: Bearer {TOKEN}\nGatedRepoError: 403 Client Error. Access to model org/m is restricted"
        );
        ended(pod, 1, &words)
    })
    .named(reason::MODEL_ACCESS_DENIED, &["model.tokenSecretRef", "licence"]),
    Fate::of("unknown-token", |pod| {
        ended(pod, 1, "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized")
    })
    .named(reason::MODEL_ACCESS_DENIED, &["401", "model.tokenSecretRef"]),
    Fate::of("accelerator-memory", |pod| {
        ended(pod, 1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    })
    .named(reason::CUDA_OUT_OF_MEMORY, &["2.00 GiB", "model.maxModelLen"]),
    Fate::of("memory", |pod| killed(pod, "OOMKilled", 137))
        .named(reason::ENGINE_OOM_KILLED, &["hardware.resources.limits.memory", "137"]),
    Fate::of("crash-loop", |pod| {
        let last = json!({ "exitCode": 2, "reason": "Error", "message": "bad weights" });
        let mut status = waits(pod, "CrashLoopBackOff", "back-off 10s restarting failed container");
        status["containerStatuses"][0]["lastState"] = json!({ "terminated": last });
        status
    })
    .named(reason::ENGINE_CRASHED, &["bad weights", "exit code 2"]),
    Fate::of("driver", |pod| {
        let says = "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1";
        waits(pod, "RunContainerError", says)
    })
    .named(reason::ACCELERATOR_DRIVER_MISSING, &["libnvidia-ml.so.1", "driver"]),
    Fate::of("refused", |pod| {
        failed(pod, "OutOfnvidia.com/gpu", "Node didn't have enough resource: nvidia.com/gpu")
    })
    .named(reason::UNSCHEDULABLE, &["nvidia.com/gpu"]),
    Fate::of("preempted", |pod| {
        disrupted(pod, "PreemptionByScheduler", "preempting to accommodate a higher priority pod")
    })
    .late()
    .placeless()
    .named(reason::ENGINE_PREEMPTED, &["higher priority", "more important pod"]),
    Fate::of("evicted", |pod| {
        failed(pod, "Evicted", "The node was low on resource: memory.")
    })
    .late()
    .named(reason::ENGINE_EVICTED, &["low on resource", "hardware.resources.requests"]),
    Fate::of("runner-memory", |pod| killed(pod, "OOMKilled", 137))
        .of_runner()
        .named(reason::RUNNER_OOM_KILLED, &["runner.resources.limits.memory"]),
    Fate::of("runner-crash", |pod| {
        ended(pod, 101, &format!("thread 'main' panicked, token {TOKEN}"))
    })
    .of_runner()
    .named(reason::RUNNER_CRASHED, &["panicked", "exit code 101"]),
];

impl Fate {
    const fn of(engine: &'static str, status: fn(&Pod) -> Value) -> Self {
        Self {
            engine,
            component: COMPONENT_ENGINE,
            is_late: false,
            loses_place: false,
            status,
            reason: "",
            words: &[],
        }
    }

    const fn late(mut self) -> Self {
        self.is_late = true;
        self
    }

    const fn placeless(mut self) -> Self {
        self.loses_place = true;
        self
    }

    const fn of_runner(mut self) -> Self {
        self.component = COMPONENT_RUNNER;
        self
    }

    const fn named(mut self, reason: &'static str, words: &'static [&'static str]) -> Self {
        self.reason = reason;
        self.words = words;
        self
    }

    /// The fate of this pod, where it is no common one.
    pub(super) fn find(component: &str, engine: &str) -> Option<&'static Self> {
        let mut fates = FATES.iter();
        fates.find(|fate| fate.component == component && fate.engine == engine)
    }
}

fn waits(pod: &Pod, reason: &str, message: &str) -> Value {
    let mut status = container(
        pod,
        json!({ "waiting": { "reason": reason, "message": message } }),
    );
    status["containerStatuses"][0]["ready"] = false.into();
    status["phase"] = "Pending".into();
    status
}

fn killed(pod: &Pod, reason: &str, code: i32) -> Value {
    let mut status = ended(pod, code, "");
    status["containerStatuses"][0]["state"]["terminated"]["reason"] = reason.into();
    status
}

fn failed(pod: &Pod, reason: &str, message: &str) -> Value {
    let mut status = ended(pod, 137, "");
    status["reason"] = reason.into();
    status["message"] = message.into();
    status
}

fn disrupted(pod: &Pod, reason: &str, message: &str) -> Value {
    let mut status = running(pod);
    let conditions = status["conditions"].as_array_mut();
    conditions.into_iter().for_each(|conditions| {
        conditions.push(json!({
            "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": Timestamp::now(),
        }));
    });
    status
}
