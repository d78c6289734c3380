//! What Bakeoff's own pods say at their end, by termination message: 4 KiB at most.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::run::status::{Headline, VerdictStatus};

/// Most bytes of a termination message (Kubernetes' own bound).
pub const MAX_BYTES: usize = 4096;

/// The end of a preflight, runner or reporter pod. One of its parts is set.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// Why the pod failed; absent where it did its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// From the preflight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightSummary>,
    /// From the Job that fetches the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<PrefetchSummary>,
    /// From a runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<Summary>,
    /// From the reporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<ReporterSummary>,
}

/// A failure with a name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// One word, such as `BucketNotWritable`; see [`reason`].
    pub reason: String,
    /// What happened and what to do.
    pub message: String,
    /// Whether a further try may go through: a bucket that is away, a pod that was told to stop.
    /// Decides the [exit code](exit_code), and with it whether the Job tries again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_pass: bool,
}

/// Exit codes of Bakeoff's own pods, by which their Jobs tell what to try again. Any other code
/// but 0 (a crash, a kill) counts as a failure that may pass.
pub mod exit_code {
    /// The command line was refused, as clap has it: another try would get the same one.
    pub const USAGE: i32 = 2;
    /// A further try would fail in the same way.
    pub const FINAL: i32 = 4;
    /// A further try may go through. `EX_TEMPFAIL` of sysexits.h.
    pub const MAY_PASS: i32 = 75;
}

/// Reasons of failures, each used for one thing.
pub mod reason {
    /// The spec breaks a rule that the schema cannot say.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// No such profile, built in or as an object.
    pub const PROFILE_NOT_FOUND: &str = "ProfileNotFound";
    /// A Secret or a key of one is missing.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A ConfigMap or a key of one is missing.
    pub const CONFIG_MAP_NOT_FOUND: &str = "ConfigMapNotFound";
    /// The bucket cannot be written or read back.
    pub const BUCKET_NOT_WRITABLE: &str = "BucketNotWritable";
    /// The data set cannot be fetched.
    pub const DATASET_UNAVAILABLE: &str = "DatasetUnavailable";
    /// The SHA-256 of the data set, of the tokenizer or of a file of the model is another.
    pub const HASH_MISMATCH: &str = "HashMismatch";
    /// The data set is malformed or holds no usable prompt.
    pub const DATASET_INVALID: &str = "DatasetInvalid";
    /// The tokenizer cannot be fetched or read.
    pub const TOKENIZER_UNAVAILABLE: &str = "TokenizerUnavailable";
    /// Preflight, runner or reporter ended without a word.
    pub const RUNNER_CRASHED: &str = "RunnerCrashed";
    /// One of the runner pods that act as one client went away and did not come back in time, or
    /// cannot reach the first of them.
    pub const SHARD_LOST: &str = "ShardLost";
    /// Preflight, runner or reporter ran out of memory.
    pub const RUNNER_OOM_KILLED: &str = "RunnerOOMKilled";
    /// The pod of preflight, runner or reporter was taken off its node.
    pub const RUNNER_EVICTED: &str = "RunnerEvicted";
    /// A PersistentVolumeClaim that a pod mounts does not exist.
    pub const VOLUME_CLAIM_NOT_FOUND: &str = "PersistentVolumeClaimNotFound";
    /// A PersistentVolumeClaim got no volume within `policy.timeouts.scheduling`.
    pub const VOLUME_CLAIM_NOT_BOUND: &str = "PersistentVolumeClaimNotBound";
    /// A volume of a pod that has its node cannot be attached or mounted.
    pub const VOLUME_NOT_MOUNTED: &str = "VolumeNotMounted";
    /// The nodes that the run names have fewer accelerators than an engine asks for, and always will.
    pub const NODES_TOO_SMALL: &str = "NodesTooSmall";
    /// No node took a pod within `policy.timeouts.scheduling`.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// A quota, of the namespace or of the cloud, leaves no room for a pod.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// An admission policy or a missing right keeps a pod from being made.
    pub const POD_NOT_ADMITTED: &str = "PodNotAdmitted";
    /// An engine is an object of a kind that the cluster does not have.
    pub const ENGINE_KIND_NOT_INSTALLED: &str = "EngineKindNotInstalled";
    /// An engine is an object of a kind on which the operator has no rights.
    pub const ENGINE_KIND_FORBIDDEN: &str = "EngineKindForbidden";
    /// The image cannot be pulled.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// The container cannot be made.
    pub const CONTAINER_CONFIG_ERROR: &str = "ContainerConfigError";
    /// The engine's process ended.
    pub const ENGINE_CRASHED: &str = "EngineCrashed";
    /// The engine's container ran out of memory.
    pub const ENGINE_OOM_KILLED: &str = "EngineOOMKilled";
    /// The node has no driver for its accelerator, too old a one, or does not show it to containers.
    pub const ACCELERATOR_DRIVER_MISSING: &str = "AcceleratorDriverMissing";
    /// The accelerator's memory did not suffice.
    pub const CUDA_OUT_OF_MEMORY: &str = "CudaOutOfMemory";
    /// The model's repository refused the token.
    pub const MODEL_ACCESS_DENIED: &str = "ModelAccessDenied";
    /// The model's repository, or its revision, does not exist.
    pub const MODEL_NOT_FOUND: &str = "ModelNotFound";
    /// The model cannot be fetched: its source is away, or gives other bytes than it says.
    pub const MODEL_UNAVAILABLE: &str = "ModelUnavailable";
    /// The model's volume is full.
    pub const VOLUME_FULL: &str = "VolumeFull";
    /// The model's volume cannot be written.
    pub const VOLUME_NOT_WRITABLE: &str = "VolumeNotWritable";
    /// The engine was not ready within `policy.timeouts.ready`.
    pub const READINESS_TIMEOUT: &str = "ReadinessTimeout";
    /// The engine's pod was replaced or its container restarted under load.
    pub const ENGINE_RESTARTED: &str = "EngineRestarted";
    /// The engine serves another model.
    pub const WRONG_MODEL_SERVED: &str = "WrongModelServed";
    /// The engine does not answer.
    pub const ENGINE_UNREACHABLE: &str = "EngineUnreachable";
    /// The node went away, or is being emptied.
    pub const NODE_LOST: &str = "NodeLost";
    /// The scheduler gave the engine's place to a more important pod.
    pub const ENGINE_PREEMPTED: &str = "EnginePreempted";
    /// The kubelet put the engine out, because the node ran low on memory or disk.
    pub const ENGINE_EVICTED: &str = "EngineEvicted";
    /// A deadline passed.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// The run has taken what `policy.budget` allows.
    pub const BUDGET_EXCEEDED: &str = "BudgetExceeded";
    /// Results could not be stored within `policy.timeouts.upload`.
    pub const UPLOAD_FAILED: &str = "UploadFailed";
    /// Not begun because an earlier engine failed and the policy says Abort.
    pub const ABORTED: &str = "Aborted";
    /// Not begun because the engine failed in an earlier round, in a way that would come again.
    pub const FAILED_BEFORE: &str = "FailedBefore";
    /// A round began anew on another node, because its own was lost.
    pub const ROUND_RESTARTED: &str = "RoundRestarted";
}

/// What the preflight found.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PreflightSummary {
    /// Number of frozen prompts.
    pub prompts: u64,
    /// SHA-256 of the uncompressed frozen prompts.
    pub prompts_sha256: String,
    /// SHA-256 of the data set, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_sha256: Option<String>,
    /// SHA-256 of the tokenizer, where one is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
    /// Prompts left out because of their length.
    #[serde(default)]
    pub left_out: u64,
    /// What the revisions of the repositories that engines load from stood for; not in the
    /// termination message, for which they may be too long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<ResolvedRepository>,
}

/// A repository of the hub, and what its revision stood for.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedRepository {
    /// Its id.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The commit; absent where the hub could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What the Job that fetches the model found in the volume at its end: the model and its adapters
/// together.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PrefetchSummary {
    /// Commit of the model's repository; absent where it came from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Files in the volume.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were fetched by this run's Job; 0 where the volume held them all.
    pub fetched_bytes: u64,
    /// What the Job took to fetch and check them, by its own clock, its last try alone.
    pub seconds: f64,
    /// SHA-256 over the names and SHA-256s of the files, in order: what the engines were given.
    pub content_sha256: String,
}

/// What a runner measured on one engine in one round. Counts are never dropped for room; figures of
/// single stages are.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Stages that were driven, repetitions counted one by one.
    pub stages_done: u32,
    /// Stages that the plan holds.
    pub stages_planned: u32,
    /// Arrivals that the schedule held.
    pub intended: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were answered whole.
    pub succeeded: u64,
    /// Requests that failed, by any kind.
    pub failed: u64,
    /// Arrivals that were never sent.
    pub dropped: u64,
    /// Worst verdict of the stages.
    pub verdict: VerdictStatus,
    /// Reasons of that verdict, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Version that the engine tells of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Figures of the best stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headline: Option<Headline>,
}

/// What the reporter wrote.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReporterSummary {
    /// Address of report.json.
    pub report_uri: String,
    /// Verdict on the whole.
    pub verdict: VerdictStatus,
    /// Its reasons, the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The one sentence that the report begins with.
    #[serde(default)]
    pub sentence: String,
}
