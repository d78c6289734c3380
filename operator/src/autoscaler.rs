//! What the cluster's autoscaler does for a pod that waits for a node, from its events. Pure.
//!
//! Waiting is no failure until its deadline: a pool that grows from zero takes minutes, and what a zone
//! does not have now it may have later. What the autoscaler says is passed on as it waits, and named
//! with a remedy when the deadline passes. Its reasons:
//! <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-events-are-emitted-by-ca>;
//! `FailedScaleUp` on pods is GKE's.

use k8s_openapi::{
    api::core::v1::{Event, Pod},
    jiff::Timestamp,
};

use crate::{classify, mask::mask, pod, volumes};

/// Whether to ask what the autoscaler says of this pod.
pub fn is_due(found: &Pod, now: Timestamp) -> bool {
    pod::scheduled_at(found).is_none()
        && pod::gates(found).is_none()
        && !pod::is_deleting(found)
        && !pod::has_ended(found)
        && classify::is_over(found, volumes::GRACE, now)
}

/// The newest thing that it says, with its reason in front.
pub fn says(events: &[Event]) -> Option<String> {
    let reason = |event: &Event| event.reason.clone().unwrap_or_default();
    let newest = events
        .iter()
        .filter(|event| {
            matches!(
                &*reason(event),
                "TriggeredScaleUp" | "NotTriggerScaleUp" | "FailedScaleUp"
            )
        })
        .max_by_key(|event| volumes::last_seen(event))?;
    let message = newest.message.as_deref().unwrap_or_default();
    Some(mask(&format!("{}: {message}", reason(newest))))
}

/// Whether it says that a quota of the cloud is used up.
pub fn is_over_quota(says: &str) -> bool {
    says.to_lowercase().contains("quota")
}

/// What to do about it, where it says what is wrong.
pub fn remedy(says: &str) -> Option<&'static str> {
    let lower = says.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| lower.contains(sign));
    if is_over_quota(says) {
        Some("Ask for more quota of this accelerator, also of Spot's where the pool is one")
    } else if has(&[
        "out of resources",
        "stockout",
        "resource_pool_exhausted",
        "resource pool exhausted",
    ]) {
        Some(
            "The zone has none left: take another zone or accelerator, a reservation, or a later time",
        )
    } else if has(&["max node group size reached", "max cluster"]) {
        Some("Raise the most nodes that the pool may have")
    } else if lower.starts_with("nottriggerscaleup") {
        Some(
            "No pool fits: check hardware.nodeSelector, hardware.tolerations and hardware.accelerator against the pools' labels, taints and machines",
        )
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const QUOTA: &str = "Node scale up in zones us-central1-a associated with this pod failed: GCE quota exceeded. Pod is at risk of not being scheduled.";
    const STOCKOUT: &str = "Node scale up in zones us-central1-a associated with this pod failed: GCE out of resources. Pod is at risk of not being scheduled.";
    const AFFINITY: &str =
        "pod didn't trigger scale-up: 2 node(s) didn't match Pod's node affinity/selector";
    const FULL: &str = "pod didn't trigger scale-up: 1 max node group size reached";

    fn events(list: &[(&str, &str, &str)]) -> Vec<Event> {
        let event = |(second, reason, message): &(&str, &str, &str)| {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
                "lastTimestamp": format!("2026-11-22T08:00:{second}Z"),
            }))
            .unwrap()
        };
        list.iter().map(event).collect()
    }

    #[test]
    fn the_newest_word_counts() {
        for (list, expected) in [
            (vec![], None),
            (vec![("01", "FailedScheduling", "0/1 nodes")], None),
            (
                vec![
                    ("05", "FailedScaleUp", STOCKOUT),
                    (
                        "01",
                        "TriggeredScaleUp",
                        "pod triggered scale-up: [{l4 0->1 (max: 1)}]",
                    ),
                    ("09", "FailedScheduling", "0/1 nodes"),
                ],
                Some(format!("FailedScaleUp: {STOCKOUT}")),
            ),
            (
                vec![
                    ("01", "NotTriggerScaleUp", FULL),
                    ("02", "TriggeredScaleUp", "0->1"),
                ],
                Some("TriggeredScaleUp: 0->1".to_owned()),
            ),
        ] {
            assert_eq!(says(&events(&list)), expected);
        }
    }

    #[test]
    fn each_reason_has_its_remedy() {
        for (reason, message, remedy_begins) in [
            ("FailedScaleUp", QUOTA, Some("Ask for more quota")),
            ("FailedScaleUp", STOCKOUT, Some("The zone has none left")),
            ("NotTriggerScaleUp", FULL, Some("Raise the most nodes")),
            ("NotTriggerScaleUp", AFFINITY, Some("No pool fits")),
            (
                "TriggeredScaleUp",
                "pod triggered scale-up: [{l4 0->1 (max: 1)}]",
                None,
            ),
        ] {
            let found = remedy(&format!("{reason}: {message}"));
            assert_eq!(found.is_some(), remedy_begins.is_some(), "{message}");
            assert!(
                found
                    .unwrap_or_default()
                    .starts_with(remedy_begins.unwrap_or_default())
            );
        }
    }
}
