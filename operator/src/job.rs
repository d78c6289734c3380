//! Where one of our Jobs (preflight, runner, reporter) is, from it and its pods.

use std::time::Duration;

use bakeoff_crds::{
    manifests::labels,
    summary::{Failure, Termination, reason},
};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition},
        core::v1::Pod,
    },
    jiff::Timestamp,
};

use crate::{
    admission, claims,
    classify::{self, PodFailure, Role},
    observed::Observed,
    pod, volumes,
};

/// Where a Job is.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one per reconcile
pub enum JobState {
    /// There is none.
    Absent,
    /// It is being deleted.
    Deleting,
    /// It runs, or may yet.
    Active,
    /// It cannot go on, although Kubernetes does not say so yet.
    Stuck(Failure),
    /// It did its work; the words of its pod, where they are still there.
    Succeeded(Option<Termination>),
    /// It failed; the summary of what was done until then, where there is one.
    Failed(Failure, Option<Termination>),
}

/// Where the Job of this name is. `scheduling` is the time that its pod may wait for a node, in
/// seconds.
pub fn state(observed: &Observed, name: &str, scheduling: u64, now: Timestamp) -> JobState {
    let Some(job) = observed.job(name) else {
        return JobState::Absent;
    };
    if job.metadata.deletion_timestamp.is_some() {
        return JobState::Deleting;
    }
    if is_true(job, "Complete") {
        // Its pods were seen before it was: what they say at their end is yet to be read.
        let mut pods = observed.pods_of_job(name);
        return match pods.any(|found| !pod::has_ended(found) && !pod::is_deleting(found)) {
            true => JobState::Active,
            false => succeeded(observed, name),
        };
    }
    if let Some(failed) = condition(job, "Failed") {
        return failed_state(observed, name, failed, scheduling, now);
    }
    match observed
        .pods_of_job(name)
        .filter(|found| !pod::has_ended(found))
        .find_map(|found| stuck(observed, found, scheduling, now))
    {
        Some(failure) => JobState::Stuck(failure),
        None => {
            unmade(observed, job, name, scheduling, now).map_or(JobState::Active, JobState::Stuck)
        }
    }
}

/// Why a Job has made no pod for as long as one may wait for a node.
fn unmade(
    observed: &Observed,
    job: &Job,
    name: &str,
    scheduling: u64,
    now: Timestamp,
) -> Option<Failure> {
    let has_pods = observed.pods_of_job(name).next().is_some();
    let scheduling = Duration::from_secs(scheduling);
    if is_suspended(job) || has_pods || !admission::has_waited(job, scheduling, now) {
        return None;
    }
    let says = observed.trouble(job.metadata.uid.as_deref().unwrap_or_default());
    let says = says.unwrap_or("the Job controller gives no reason");
    let (reason, remedy) = admission::refusal(says);
    Some(Failure {
        reason: reason.into(),
        message: format!(
            "Job {name} got no pod within policy.timeouts.scheduling: {says}. {remedy}"
        ),
        ..Failure::default()
    })
}

/// Whether the Job makes no pods for now. Whoever suspended it, such as a queue, lets it go on; the Job
/// controller then says so, a little later.
pub fn is_suspended(job: &Job) -> bool {
    let spec = job.spec.as_ref();
    spec.is_some_and(|spec| spec.suspend == Some(true)) || is_true(job, "Suspended")
}

/// Whether the Job may still have, or make, running pods.
pub fn is_unfinished(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_none()
        && !is_true(job, "Complete")
        && !is_true(job, "Failed")
}

fn succeeded(observed: &Observed, name: &str) -> JobState {
    let words = last_words(observed, name);
    match words {
        Some(Termination {
            failure: Some(failure),
            ..
        }) => JobState::Failed(failure, last_words(observed, name)),
        words => JobState::Succeeded(words),
    }
}

fn failed_state(
    observed: &Observed,
    name: &str,
    failed: &JobCondition,
    scheduling: u64,
    now: Timestamp,
) -> JobState {
    let words = last_words(observed, name);
    if let Some(failure) = failed_shard(observed, name, patience(scheduling), now) {
        return JobState::Failed(failure, words);
    }
    if let Some(failure) = words.as_ref().and_then(|words| words.failure.clone()) {
        return JobState::Failed(failure, words);
    }
    // A Job over its deadline kills its pod, whose exit code then says nothing.
    if failed.reason.as_deref() == Some("DeadlineExceeded") {
        let failure = Failure {
            reason: reason::DEADLINE_EXCEEDED.into(),
            message: format!(
                "Job {name} ran past its deadline; raise policy.timeouts or ask for less"
            ),
            ..Failure::default()
        };
        return JobState::Failed(failure, words);
    }
    let failure = newest_ended(observed, name)
        .and_then(|found| classify::pod_failure(found, Role::Runner, patience(scheduling), now))
        .map_or_else(
            || Failure {
                reason: reason::RUNNER_CRASHED.into(),
                message: format!(
                    "Job {name} failed: {}",
                    failed.message.as_deref().unwrap_or("no detail given")
                ),
                ..Failure::default()
            },
            |found| from_pod(found, name),
        );
    JobState::Failed(failure, words)
}

/// Why the pod failed because of which a Job of several pods did: one of the indexes that Kubernetes
/// gave up. What the first pod says then is only that it was told to stop, or misses another; it is
/// asked where it is itself the one.
fn failed_shard(
    observed: &Observed,
    name: &str,
    patience: Duration,
    now: Timestamp,
) -> Option<Failure> {
    let status = observed.job(name)?.status.as_ref()?;
    let failed = first_index(status.failed_indexes.as_deref()?).filter(|&index| index > 0)?;
    let found = ended_pods(observed, name)
        .into_iter()
        .find(|found| pod::index(found) == Some(failed))?;
    let words = pod::termination_message(found)
        .and_then(|words| serde_json::from_str::<Termination>(words).ok())
        .and_then(|words| words.failure);
    let failure = match words {
        Some(failure) => failure,
        None => from_pod(
            classify::pod_failure(found, Role::Runner, patience, now)?,
            name,
        ),
    };
    Some(Failure {
        message: format!("shard {failed}: {}", failure.message),
        ..failure
    })
}

/// The least of a Job's indexes, as Kubernetes writes them: `1,3-5,7`.
fn first_index(indexes: &str) -> Option<u32> {
    indexes.split([',', '-']).next()?.parse().ok()
}

/// A Job's pod has no deadline of its own for its start, so its patience goes by that for its node.
fn patience(scheduling: u64) -> Duration {
    classify::patience(Duration::from_secs(scheduling))
}

fn stuck(observed: &Observed, found: &Pod, scheduling: u64, now: Timestamp) -> Option<Failure> {
    let patience = patience(scheduling);
    let job = pod::label(found, "batch.kubernetes.io/job-name").unwrap_or_default();
    if let Some(failure) = classify::pod_failure(found, Role::Runner, patience, now) {
        // What ends a container is the Job's to count and to retry; what keeps it from starting
        // would be retried for ever.
        let keeps_from_starting =
            failure.exit_code.is_none() && failure.reason != reason::RUNNER_EVICTED;
        return keeps_from_starting.then(|| from_pod(failure, job));
    }
    let says = observed.pod_trouble(found);
    if let Some(failure) =
        claims::missing(found, now).or_else(|| volumes::unmounted(found, says, patience, now))
    {
        return Some(from_pod(failure, job));
    }
    let waited = now.as_second() - pod::created_at(found)?.as_second();
    let too_long =
        pod::node(found).is_none() && waited >= scheduling.try_into().unwrap_or(i64::MAX);
    too_long.then(|| {
        let says = pod::unscheduled_message(found).unwrap_or("the scheduler gave no reason");
        // The model is fetched where the engines will run, unless its volume can be mounted anywhere.
        let remedy = match pod::label(found, labels::COMPONENT) {
            Some(labels::COMPONENT_PREFETCH) => {
                "Check hardware.nodeSelector (with accessMode ReadWriteMany runner.nodeSelector), runner.resources and the cluster's room"
            }
            _ => "Check runner.nodeSelector, runner.resources and the cluster's room",
        };
        let (reason, remedy) = claims::unplaced(says, remedy);
        Failure {
            reason: reason.into(),
            message: format!(
                "no node took the pod of Job {job} within policy.timeouts.scheduling: {says}. {remedy}"
            ),
            ..Failure::default()
        }
    })
}

fn from_pod(failure: PodFailure, job: &str) -> Failure {
    Failure {
        reason: failure.reason.into(),
        message: format!("Job {job}: {}", failure.message),
        ..Failure::default()
    }
}

/// The words of the newest pod that said any, with the newest summary.
fn last_words(observed: &Observed, name: &str) -> Option<Termination> {
    let mut words = ended_pods(observed, name)
        .into_iter()
        .filter_map(pod::termination_message)
        .filter_map(|words| serde_json::from_str::<Termination>(words).ok());
    let mut newest = words.next()?;
    // One that could not even read what was there knows nothing of it; the one before it does.
    newest.runner = newest
        .runner
        .or_else(|| words.find_map(|words| words.runner));
    Some(newest)
}

fn newest_ended<'a>(observed: &'a Observed, name: &'a str) -> Option<&'a Pod> {
    ended_pods(observed, name).into_iter().next()
}

fn ended_pods<'a>(observed: &'a Observed, name: &'a str) -> Vec<&'a Pod> {
    let mut ended: Vec<&Pod> = observed
        .pods_of_job(name)
        .filter(|found| pod::has_ended(found))
        .collect();
    // Of several pods that act as one, the first speaks for all.
    ended.sort_by_key(|found| {
        (
            pod::index(found).unwrap_or_default(),
            std::cmp::Reverse(pod::created_at(found)),
        )
    });
    ended
}

fn condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    job.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == "True")
}

fn is_true(job: &Job, kind: &str) -> bool {
    condition(job, kind).is_some()
}

#[cfg(test)]
mod tests;
