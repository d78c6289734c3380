//! The Job controller's part: what the end of a pod means for its Job.

use bakeoff_crds::summary::Termination;
use bakeoff_operator::pod;
use k8s_openapi::api::{
    batch::v1::{Job, JobCondition, JobStatus, PodFailurePolicyRule},
    core::v1::Pod,
};

use super::{World, terminated};

impl World {
    /// Ends a Job: with its words, or with exit code, reason and perhaps words.
    pub fn end_job(
        &mut self,
        job: &str,
        end: Result<Termination, (i32, String, Option<Termination>)>,
    ) {
        let now = self.now;
        let pod = self.pod_at_work(job);
        let is_success = end.is_ok();
        match end {
            Ok(words) => {
                let words = serde_json::to_string(&words).unwrap();
                terminated(self.pod_mut(&pod), 0, "Completed", &words, now);
            }
            Err((code, reason, words)) => {
                let words = words.map(|words| serde_json::to_string(&words).unwrap());
                terminated(
                    self.pod_mut(&pod),
                    code,
                    &reason,
                    &words.unwrap_or_default(),
                    now,
                );
            }
        }
        let kind = if is_success { "Complete" } else { "Failed" };
        self.set_job_condition(job, kind, "BackoffLimitExceeded");
    }

    pub fn set_job_condition(&mut self, job: &str, kind: &str, reason: &str) {
        let job = self
            .observed
            .jobs
            .iter_mut()
            .find(|found| found.metadata.name.as_deref() == Some(job))
            .unwrap();
        job.status = Some(JobStatus {
            conditions: Some(vec![JobCondition {
                type_: kind.into(),
                status: "True".into(),
                reason: Some(reason.into()),
                message: Some("as the Job controller says".into()),
                ..JobCondition::default()
            }]),
            ..JobStatus::default()
        });
    }

    /// Ends the pod at work of a Job with a failure, and does what the Job's failure policy says:
    /// end the Job, make another pod, or count the failure against the backoff limit.
    pub fn fail_pod(&mut self, job: &str, code: i32, reason: &str, words: Option<Termination>) {
        let now = self.now;
        let words = words.map(|words| serde_json::to_string(&words).unwrap());
        let name = self.pod_at_work(job);
        let found = self.pod_mut(&name);
        terminated(found, code, reason, &words.unwrap_or_default(), now);
        let found = found.clone();
        let spec = self.observed.job(job).unwrap().clone();
        match action(&spec, &found, code).as_deref() {
            Some("FailJob") => self.set_job_condition(job, "Failed", "PodFailurePolicy"),
            Some("Ignore") => self.make_job_pod(&spec),
            _ => {
                let counted = self
                    .observed
                    .pods_of_job(job)
                    .filter(|found| pod::has_ended(found))
                    .filter(|found| action(&spec, found, code).as_deref() != Some("Ignore"))
                    .count();
                let limit = spec.spec.as_ref().unwrap().backoff_limit.unwrap();
                if counted > usize::try_from(limit).unwrap() {
                    self.set_job_condition(job, "Failed", "BackoffLimitExceeded");
                } else {
                    self.make_job_pod(&spec);
                }
            }
        }
    }

    /// How many pods of a Job have ended.
    pub fn ended_pods(&self, job: &str) -> usize {
        self.observed
            .pods_of_job(job)
            .filter(|found| pod::has_ended(found))
            .count()
    }

    fn pod_at_work(&self, job: &str) -> String {
        self.observed
            .pods_of_job(job)
            .find(|found| !pod::has_ended(found))
            .map(|found| pod::name(found).to_owned())
            .unwrap_or_else(|| panic!("no running pod of {job}"))
    }
}

/// What the first rule that matches says.
fn action(job: &Job, found: &Pod, code: i32) -> Option<String> {
    let policy = job.spec.as_ref()?.pod_failure_policy.as_ref()?;
    let matches = |rule: &&PodFailurePolicyRule| {
        let conditions = rule.on_pod_conditions.as_ref().is_some_and(|patterns| {
            patterns.iter().any(|pattern| {
                pod::condition(found, &pattern.type_)
                    .is_some_and(|condition| condition.status == pattern.status)
            })
        });
        let codes = rule
            .on_exit_codes
            .as_ref()
            .is_some_and(|codes| codes.operator == "In" && codes.values.contains(&code));
        conditions || codes
    };
    policy
        .rules
        .iter()
        .find(matches)
        .map(|rule| rule.action.clone())
}
