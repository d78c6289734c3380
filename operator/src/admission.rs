//! Pods that the API server will not have: over a quota, or against a policy. Pure.
//!
//! The operator's own pods are refused to its face; of a Job's, only the Job controller's events tell.

use std::time::Duration;

use bakeoff_crds::summary::reason;
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Event},
    jiff::Timestamp,
};

use crate::{mask::mask, pod, volumes};

/// The name of a refusal, and what to do about it. Quota's words are those of Kubernetes'
/// `ResourceQuota` admission: `exceeded quota: …` and `failed quota: … must specify …`.
pub fn refusal(says: &str) -> (&'static str, &'static str) {
    let lower = says.to_lowercase();
    if lower.contains("exceeded quota") || lower.contains("failed quota") {
        (
            reason::QUOTA_EXCEEDED,
            "Raise the namespace's ResourceQuota, or ask for less in hardware.resources, hardware.accelerator and runner.resources",
        )
    } else if !["forbidden", "denied", "violates"]
        .iter()
        .any(|sign| lower.contains(sign))
    {
        (
            reason::UNSCHEDULABLE,
            "Look at the events of the object, and at the cluster's API server and controllers",
        )
    } else {
        (
            reason::POD_NOT_ADMITTED,
            "Have the namespace's admission policy, or the operator's rights, allow it",
        )
    }
}

/// Whether to ask why this Job has no pod.
pub fn is_due(job: &Job, has_pods: bool, now: Timestamp) -> bool {
    !has_pods && has_waited(job, volumes::GRACE, now)
}

/// What the newest of a Job's events says of a pod that could not be made.
pub fn says(events: &[Event]) -> Option<String> {
    let newest = events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("FailedCreate"))
        .max_by_key(|event| volumes::last_seen(event))?;
    newest.message.as_deref().map(mask)
}

/// Whether a Job has been under way for this long.
pub fn has_waited(job: &Job, span: Duration, now: Timestamp) -> bool {
    // A Job that was suspended starts when it is let go.
    let started = job
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref());
    let since = started.or(job.metadata.creation_timestamp.as_ref());
    since.is_some_and(|since| pod::has_passed(since.0, span, now))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_have_names() {
        for (says, expected) in [
            (
                "pods \"a\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3",
                reason::QUOTA_EXCEEDED,
            ),
            (
                "pods \"a\" is forbidden: failed quota: small: must specify limits.cpu for: bakeoff",
                reason::QUOTA_EXCEEDED,
            ),
            (
                "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": seccompProfile",
                reason::POD_NOT_ADMITTED,
            ),
            (
                "admission webhook \"policy.example.com\" denied the request: no such registry",
                reason::POD_NOT_ADMITTED,
            ),
            (
                "etcdserver: request timed out; trying again",
                reason::UNSCHEDULABLE,
            ),
        ] {
            assert_eq!(refusal(says).0, expected, "{says}");
        }
    }

    #[test]
    fn the_newest_refusal_of_a_job_counts() {
        let event = |second: &str, reason: &str, message: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
                "lastTimestamp": format!("2026-11-22T08:00:{second}Z"),
            }))
            .unwrap()
        };
        let events = [
            event("01", "FailedCreate", "quota"),
            event(
                "07",
                "FailedCreate",
                "token hf_abcdefghijklmnopqrstuvwxyz0123",
            ),
            event("09", "SuccessfulDelete", "other"),
        ];
        assert_eq!(says(&events).as_deref(), Some("token ***"));
        assert_eq!(says(&events[2..]), None);
    }
}
