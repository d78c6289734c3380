//! Volume claims that keep a pod from being placed, from what the scheduler says of it. Pure.
//!
//! The operator reads no PersistentVolumeClaim; the scheduler's `VolumeBinding` plugin names the
//! one that is missing in the pod's condition PodScheduled.

use std::time::Duration;

use bakeoff_crds::summary::reason;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};

use crate::{classify::PodFailure, pod};

/// How long a claim may be missing: who applies a folder of objects makes run and claim within
/// moments, in whatever order.
pub const GRACE: Duration = Duration::from_secs(30);

/// Why the pod will not be placed as things are, once its claim had its time to appear.
pub fn missing(found: &Pod, now: Timestamp) -> Option<PodFailure> {
    let says = pod::unscheduled_message(found)?;
    let claim = says
        .split_once("persistentvolumeclaim \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .filter(|(_, after)| {
            after.starts_with(" not found") || after.starts_with(" is being deleted")
        })
        .map(|(claim, _)| claim)?;
    pod::has_passed(pod::created_at(found)?, GRACE, now).then(|| {
        PodFailure::new(
            reason::VOLUME_CLAIM_NOT_FOUND,
            format!(
                "pod {} waits for PersistentVolumeClaim {claim}, which does not exist in the run's namespace. Make it, or correct its name (output.uri, model.persistentVolumeClaim, model.prefetch.claimName), and make a new run",
                pod::name(found),
            ),
        )
    })
}

/// Whether a claim that is there has no volume.
pub fn is_unbound(says: &str) -> bool {
    says.contains("unbound immediate PersistentVolumeClaims")
}

/// The reason of a pod that no node took in time, and what to do.
pub fn unplaced(says: &str, otherwise: &'static str) -> (&'static str, &'static str) {
    if is_unbound(says) {
        (
            reason::VOLUME_CLAIM_NOT_BOUND,
            "Check the claim's storageClassName and that class's provisioner (kubectl describe pvc)",
        )
    } else {
        (reason::UNSCHEDULABLE, otherwise)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(says: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "p", "creationTimestamp": "2026-11-22T08:00:00Z" },
            "status": { "conditions": [{ "type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": says }] },
        }))
        .unwrap()
    }

    #[test]
    fn a_missing_claim_is_named_after_its_grace() {
        let at = |second: &str| format!("2026-11-22T08:00:{second}Z").parse().unwrap();
        for (says, claim) in [
            (
                "0/3 nodes are available: persistentvolumeclaim \"results\" not found. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
                Some("results"),
            ),
            (
                "0/3 nodes are available: persistentvolumeclaim \"old\" is being deleted.",
                Some("old"),
            ),
            (
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
                None,
            ),
            (
                "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                None,
            ),
            ("persistentvolumeclaim \"cut", None),
        ] {
            assert_eq!(missing(&pod(says), at("29")), None, "{says}");
            let failure = missing(&pod(says), at("30"));
            assert_eq!(failure.is_some(), claim.is_some(), "{says}");
            if let (Some(failure), Some(claim)) = (failure, claim) {
                assert_eq!(failure.reason, "PersistentVolumeClaimNotFound");
                assert!(
                    failure
                        .message
                        .contains(&format!("PersistentVolumeClaim {claim},")),
                    "{failure:?}"
                );
            }
        }
    }
}
