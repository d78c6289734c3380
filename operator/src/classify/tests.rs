use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    ended::{EVIDENCE_BYTES, EVIDENCE_LINES},
    *,
};

/// What the kubelet says where the API server did not answer it in time.
const SYNC_FAILED: &str = "failed to sync secret cache: timed out waiting for the condition";

/// A pod placed on a node 60 s ago, with this status.
fn pod(status: Value) -> Pod {
    let mut pod = json!({
        "metadata": { "name": "p", "creationTimestamp": "2026-11-22T08:00:00Z" },
        "spec": { "nodeName": "gpu-1", "containers": [{ "name": "engine" }] },
        "status": status,
    });
    let conditions = pod["status"]
        .as_object_mut()
        .unwrap()
        .entry("conditions")
        .or_insert(json!([]));
    conditions.as_array_mut().unwrap().push(json!({
        "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-22T08:00:00Z",
    }));
    serde_json::from_value(pod).unwrap()
}

fn container(state: Value) -> Value {
    json!({ "containerStatuses": [{
        "name": "engine", "image": "acme/engine:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": state,
    }]})
}

fn waits(reason: &str, message: &str) -> Value {
    container(json!({ "waiting": { "reason": reason, "message": message } }))
}

fn ended(code: i32, reason: &str, message: &str) -> Value {
    container(json!({ "terminated": { "exitCode": code, "reason": reason, "message": message } }))
}

fn classified(status: Value, role: Role) -> Option<PodFailure> {
    let now = "2026-11-22T08:01:00Z".parse().unwrap();
    pod_failure(&pod(status), role, patience(Duration::ZERO), now)
}

#[test]
fn failures_of_engines_have_their_names() {
    for (status, reason, says) in [
        // Taken away by the cluster.
        (
            json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." }),
            "EngineEvicted",
            "low on resource: memory",
        ),
        (
            json!({ "phase": "Running", "conditions": [{ "type": "DisruptionTarget", "status": "True",
                "reason": "PreemptionByScheduler", "message": "preempted by a more important pod" }] }),
            "EnginePreempted",
            "PreemptionByScheduler",
        ),
        (
            json!({ "phase": "Running", "conditions": [{ "type": "DisruptionTarget", "status": "True",
                "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting" }] }),
            "NodeLost",
            "EvictionByEvictionAPI",
        ),
        (
            json!({ "phase": "Failed", "reason": "Terminated", "message": "Pod was terminated in response to imminent node shutdown." }),
            "NodeLost",
            "imminent node shutdown",
        ),
        (
            json!({ "phase": "Running", "conditions": [{ "type": "TerminationTarget", "status": "True",
                "reason": "WorkloadEvictedDueToPreemption", "message": "Preempted to accommodate a workload" }] }),
            "EnginePreempted",
            "WorkloadEvictedDueToPreemption",
        ),
        // Refused by the kubelet.
        (
            json!({ "phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed due to no healthy devices present" }),
            "Unschedulable",
            "no healthy devices",
        ),
        (
            json!({ "phase": "Failed", "reason": "OutOfnvidia.com/gpu", "message": "Node didn't have enough resource" }),
            "Unschedulable",
            "OutOfnvidia.com/gpu",
        ),
        // Cannot start.
        (
            waits("CreateContainerConfigError", "secret \"hf\" not found"),
            "SecretNotFound",
            "secret \"hf\" not found",
        ),
        (
            waits(
                "CreateContainerConfigError",
                "couldn't find key token in Secret bench/hf",
            ),
            "SecretNotFound",
            "key token",
        ),
        (
            waits("CreateContainerConfigError", "configmap \"ca\" not found"),
            "ConfigMapNotFound",
            "\"ca\"",
        ),
        (
            waits(
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
            ),
            "ContainerConfigError",
            "run as root",
        ),
        (
            waits(
                "RunContainerError",
                "exec: \"vllm\": executable file not found in $PATH",
            ),
            "ContainerConfigError",
            "executable file not found",
        ),
        (
            waits(
                "RunContainerError",
                "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1",
            ),
            "AcceleratorDriverMissing",
            "libnvidia-ml.so.1",
        ),
        (
            ended(
                1,
                "Error",
                "RuntimeError: Found no NVIDIA driver on your system.",
            ),
            "AcceleratorDriverMissing",
            "runtimeClassName",
        ),
        (
            ended(
                128,
                "StartError",
                "failed to create shim task: nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.8",
            ),
            "AcceleratorDriverMissing",
            "cuda>=12.8",
        ),
        // Images.
        (
            waits(
                "ErrImagePull",
                "rpc error: code = NotFound desc = failed to pull and unpack image: not found",
            ),
            "ImagePullFailed",
            "acme/engine:1",
        ),
        (
            waits(
                "ImagePullBackOff",
                "Back-off pulling image: ErrImagePull: pull access denied, repository does not exist",
            ),
            "ImagePullFailed",
            "imagePullSecrets",
        ),
        (
            waits(
                "ErrImagePull",
                "dial tcp: lookup registry.invalid on 10.96.0.10:53: no such host",
            ),
            "ImagePullFailed",
            "registry.invalid",
        ),
        (
            waits("InvalidImageName", "couldn't parse image reference"),
            "ImagePullFailed",
            "parse",
        ),
        (
            waits("ErrImageNeverPull", "not present with pull policy of Never"),
            "ImagePullFailed",
            "Never",
        ),
        // Ended.
        (
            ended(137, "OOMKilled", ""),
            "EngineOOMKilled",
            "hardware.resources.limits.memory",
        ),
        (
            ended(1, "Error", "x\ntorch.OutOfMemoryError: CUDA out of memory."),
            "CudaOutOfMemory",
            "tuning.maxBatchSize",
        ),
        (
            ended(1, "Error", "ggml_cuda: cudaMalloc failed: out of memory"),
            "CudaOutOfMemory",
            "cudaMalloc",
        ),
        (
            ended(
                1,
                "Error",
                "ValueError: No available memory for the cache blocks.",
            ),
            "CudaOutOfMemory",
            "cache blocks",
        ),
        (
            ended(
                1,
                "Error",
                "huggingface_hub.errors.GatedRepoError: 403 Client Error.",
            ),
            "ModelAccessDenied",
            "licence",
        ),
        (
            ended(
                1,
                "Error",
                "HTTP status client error (401 Unauthorized) for url (https://huggingface.co/api/models/m)",
            ),
            "ModelAccessDenied",
            "tokenSecretRef",
        ),
        (
            ended(2, "Error", "error: unrecognized arguments: --dtpye"),
            "EngineCrashed",
            "(exit code 2):\nerror: unrecognized",
        ),
        // A server that ends well has ended all the same.
        (ended(0, "Completed", ""), "EngineCrashed", "(exit code 0)"),
        (
            json!({ "phase": "Failed", "message": "no word" }),
            "EngineCrashed",
            "no word",
        ),
    ] {
        let failure = classified(status.clone(), Role::Engine)
            .unwrap_or_else(|| panic!("no failure: {status}"));
        assert_eq!(failure.reason, reason, "{status}");
        assert!(
            failure.message.contains(says),
            "{says:?} in {:?}",
            failure.message
        );
    }
}

/// A pod of several containers, each with its state.
fn containers(init: &[(&str, Value)], main: &[(&str, Value)]) -> Value {
    let statuses = |containers: &[(&str, Value)]| -> Vec<Value> {
        containers
            .iter()
            .map(|(name, state)| {
                json!({
                    "name": name, "image": "acme/engine:1", "imageID": "", "ready": false,
                    "restartCount": 0, "state": state,
                })
            })
            .collect()
    };
    json!({"initContainerStatuses": statuses(init), "containerStatuses": statuses(main)})
}

#[test]
fn evidence_comes_from_whichever_container_failed() {
    let running = || json!({"running": {}});
    let end = |code: i32, message: &str, at: &str| {
        json!({"terminated": {
            "exitCode": code, "reason": "Error", "message": message, "finishedAt": at,
        }})
    };
    let waiting = |reason: &str| json!({"waiting": {"reason": reason, "message": ""}});
    let out_of_memory = "torch.OutOfMemoryError: CUDA out of memory.";
    for (status, reason, says) in [
        // The worker's memory, not the API that still answers.
        (
            containers(
                &[],
                &[
                    ("controller", running()),
                    ("engine", running()),
                    ("worker", end(1, out_of_memory, "2026-11-22T08:00:30Z")),
                ],
            ),
            "CudaOutOfMemory",
            "container worker",
        ),
        // One that ends takes the other with it; the first is the cause, wherever it stands.
        (
            containers(
                &[],
                &[
                    (
                        "engine",
                        end(1, "connection refused", "2026-11-22T08:00:40Z"),
                    ),
                    ("worker", end(1, out_of_memory, "2026-11-22T08:00:30Z")),
                ],
            ),
            "CudaOutOfMemory",
            "container worker",
        ),
        // A helper that ends well has ended all the same.
        (
            containers(
                &[],
                &[
                    ("controller", end(0, "bye", "2026-11-22T08:00:30Z")),
                    ("engine", running()),
                ],
            ),
            "EngineCrashed",
            "container controller",
        ),
        // The build before the engine.
        (
            containers(
                &[(
                    "build",
                    end(1, "trtllm-build: error", "2026-11-22T08:00:30Z"),
                )],
                &[("engine", waiting("PodInitializing"))],
            ),
            "EngineCrashed",
            "container build",
        ),
        (
            containers(
                &[("build", waiting("InvalidImageName"))],
                &[("engine", waiting("PodInitializing"))],
            ),
            "ImagePullFailed",
            "acme/engine:1",
        ),
    ] {
        let failure = classified(status.clone(), Role::Engine).unwrap();
        assert_eq!(failure.reason, reason, "{status}");
        assert!(failure.message.contains(says), "{}", failure.message);
    }
    let built = containers(
        &[("build", end(0, "built", "2026-11-22T08:00:30Z"))],
        &[("engine", running()), ("worker", running())],
    );
    assert_eq!(classified(built, Role::Engine), None);
}

#[test]
fn our_own_pods_are_named_as_such() {
    for (status, reason) in [
        (ended(137, "OOMKilled", ""), "RunnerOOMKilled"),
        (
            ended(101, "Error", "thread 'main' panicked"),
            "RunnerCrashed",
        ),
        // The node that a runner loses is not the engines'.
        (
            json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory" }),
            "RunnerEvicted",
        ),
        // Words of an engine in a runner's log are not the runner's trouble.
        (ended(1, "Error", "CUDA out of memory"), "RunnerCrashed"),
    ] {
        let failure = classified(status.clone(), Role::Runner).unwrap();
        assert_eq!(failure.reason, reason, "{status}");
    }
    assert_eq!(classified(ended(0, "Completed", ""), Role::Runner), None);
}

#[test]
fn what_may_still_come_right_is_no_failure() {
    for status in [
        json!({}),
        json!({ "phase": "Pending" }),
        waits("ContainerCreating", ""),
        waits("PodInitializing", ""),
        waits("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout"),
        waits(
            "ImagePullBackOff",
            "Back-off pulling image: ErrImagePull: 503 Service Unavailable",
        ),
        waits("CreateContainerConfigError", SYNC_FAILED),
        container(json!({ "running": {} })),
        json!({ "initContainerStatuses": [{ "name": "fetch", "image": "i", "imageID": "", "ready": true,
            "restartCount": 0, "state": { "terminated": { "exitCode": 0, "reason": "Completed" } } }] }),
    ] {
        assert_eq!(classified(status.clone(), Role::Engine), None, "{status}");
    }
}

#[test]
fn what_did_not_come_right_in_time_is_a_failure() {
    for (status, reason) in [
        (waits("ErrImagePull", "i/o timeout"), "ImagePullFailed"),
        (
            waits("CreateContainerConfigError", SYNC_FAILED),
            "ContainerConfigError",
        ),
    ] {
        for (deadline, before, after) in [
            (Duration::ZERO, "08:01:59", "08:02:00"),
            (Duration::from_secs(1800), "08:09:59", "08:10:00"),
        ] {
            let at = |time: &str| {
                let now = format!("2026-11-22T{time}Z").parse().unwrap();
                pod_failure(&pod(status.clone()), Role::Engine, patience(deadline), now)
            };
            assert_eq!(at(before), None, "{status}");
            assert_eq!(at(after).unwrap().reason, reason);
        }
    }
}

#[test]
fn a_crash_loop_is_named_by_its_last_end() {
    let status = json!({ "containerStatuses": [{
        "name": "engine", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s" } },
        "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
    }]});
    let failure = classified(status, Role::Engine).unwrap();
    assert_eq!(
        (failure.reason, failure.exit_code),
        ("EngineOOMKilled", Some(137))
    );
}

#[test]
fn evidence_is_short_clean_and_masked() {
    let long: String = (0..100).map(|line| format!("line {line}\n")).collect();
    let kept = last_lines(&long);
    assert_eq!(kept.lines().count(), EVIDENCE_LINES);
    assert!(kept.ends_with("line 99"));
    let wide = "ü".repeat(5000);
    assert!(last_lines(&wide).len() <= EVIDENCE_BYTES);
    assert_eq!(
        last_lines("\u{1b}[31mred\u{1b}[0m\n\n  \ntoken hf_abcdefghijklmnopqrstuvwxyz\n"),
        "red\ntoken ***"
    );
}

/// Words of kubelets, runtimes and engines, and whatever else, in any order.
fn any_text() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "OOMKilled",
        "Error",
        "Evicted",
        "OutOfcpu",
        "ErrImagePull",
        "InvalidImageName",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "RunContainerError",
        "secret",
        "not found",
        "CUDA out of memory",
        "libcuda.so.1: cannot open shared object",
        "huggingface.co",
        "(403)",
        "\n",
        "\u{1b}[31m",
        "\u{0}",
        "-----BEGIN PRIVATE KEY-----",
        "Bearer ",
        "://a:b@c",
    ];
    let word = prop_oneof![
        prop::sample::select(WORDS).prop_map(str::to_owned),
        "\\PC{0,30}"
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn whatever_is_said_of_a_pod_has_a_name_and_no_secret(
        reason in any_text(),
        message in any_text(),
        code in any::<i32>(),
        kind in 0..4_u8,
        is_engine in any::<bool>(),
    ) {
        let token = "hf_NobodysNobodysNobodysNobodys";
        let message = format!("{message} {token} {message}");
        let role = if is_engine { Role::Engine } else { Role::Runner };
        // Where nothing is wrong with it, nothing is said.
        let status = match kind {
            0 => waits(&reason, &message),
            1 => ended(code, &reason, &message),
            2 => json!({ "phase": "Failed", "reason": reason, "message": message }),
            _ => json!({ "phase": "Running", "conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
            }]}),
        };
        if let Some(failure) = classified(status, role) {
            prop_assert!(!failure.reason.is_empty() && !failure.message.is_empty());
            prop_assert!(!failure.message.contains(token), "{}", failure.message);
        }
    }
}
