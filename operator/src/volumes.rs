//! Volumes that keep a pod with a node from starting, from the kubelet's and the attach controller's
//! events. Pure.
//!
//! A pod's status says `ContainerCreating` and no more while a volume cannot be attached or mounted.

use std::time::Duration;

use bakeoff_crds::summary::reason;
use k8s_openapi::{
    api::core::v1::{Event, Pod},
    jiff::Timestamp,
};

use crate::{classify, classify::PodFailure, mask::mask, pod};

/// How long a pod may be set up before anybody asks why.
pub const GRACE: Duration = Duration::from_secs(20);

/// Whether to ask why this pod does not start.
pub fn is_due(found: &Pod, now: Timestamp) -> bool {
    pod::is_being_set_up(found) && classify::is_over(found, GRACE, now)
}

/// What the newest of a pod's events says against one of its volumes; nothing once its images are
/// looked for, which comes after the volumes.
pub fn trouble(events: &[Event]) -> Option<String> {
    let reason = |event: &Event| event.reason.clone().unwrap_or_default();
    let is_past = |event: &Event| matches!(&*reason(event), "Pulling" | "Pulled" | "Created");
    if events.iter().any(is_past) {
        return None;
    }
    events
        .iter()
        .filter(|event| {
            matches!(
                &*reason(event),
                "FailedMount" | "FailedMapVolume" | "FailedAttachVolume"
            )
        })
        .max_by_key(|event| last_seen(event))
        .and_then(|event| event.message.clone())
}

/// When an event happened last.
pub(crate) fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref();
    let in_series = series.and_then(|series| series.last_observed_time.as_ref());
    in_series
        .map(|time| time.0)
        .max(event.last_timestamp.as_ref().map(|time| time.0))
        .max(event.event_time.as_ref().map(|time| time.0))
}

/// Why the pod will not start, once its volumes had their time. `says` is what [`trouble`] found.
pub fn unmounted(
    found: &Pod,
    says: Option<&str>,
    patience: Duration,
    now: Timestamp,
) -> Option<PodFailure> {
    let says = says.filter(|_| pod::is_being_set_up(found))?;
    if !classify::is_over(found, patience, now) {
        return None;
    }
    let lower = says.to_lowercase();
    let is_missing =
        |kind: &str| lower.contains(&format!("{kind} \"")) && lower.contains("not found");
    let (reason, remedy) = if is_missing("secret") {
        (
            reason::SECRET_NOT_FOUND,
            "Create the Secret in the run's namespace",
        )
    } else if is_missing("configmap") {
        (
            reason::CONFIG_MAP_NOT_FOUND,
            "Create the ConfigMap in the run's namespace",
        )
    } else {
        (
            reason::VOLUME_NOT_MOUNTED,
            "Look at the claim's volume and its storage driver; a ReadWriteOnce volume is given to one node at a time",
        )
    };
    Some(PodFailure::new(
        reason,
        mask(&format!(
            "pod {} did not start on node {} within {} s, for a volume cannot be mounted: {says}. {remedy}, and make a new run",
            pod::name(found),
            pod::node(found).unwrap_or_default(),
            patience.as_secs(),
        )),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const MISSING: &str = "MountVolume.SetUp failed for volume \"m\" : secret \"hf\" not found";
    const MULTI_ATTACH: &str =
        "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) other";

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

    /// A pod that got its node at 8:00, with this status of its only container.
    fn pod(state: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "p", "creationTimestamp": "2026-11-22T07:00:00Z" },
            "spec": { "nodeName": "gpu-1", "containers": [{ "name": "engine" }] },
            "status": { "phase": "Pending",
                "conditions": [{ "type": "PodScheduled", "status": "True",
                    "lastTransitionTime": "2026-11-22T08:00:00Z" }],
                "containerStatuses": [{ "name": "engine", "image": "i", "imageID": "", "ready": false,
                    "restartCount": 0, "state": state }],
            },
        }))
        .unwrap()
    }

    fn creating() -> Pod {
        pod(json!({ "waiting": { "reason": "ContainerCreating" } }))
    }

    #[test]
    fn the_newest_word_on_volumes_counts_until_the_image_is_looked_for() {
        for (list, says) in [
            (vec![], None),
            (vec![("05", "FailedScheduling", "no room")], None),
            (vec![("05", "FailedMount", MISSING)], Some(MISSING)),
            (
                vec![
                    ("09", "FailedAttachVolume", MULTI_ATTACH),
                    ("05", "FailedMount", MISSING),
                ],
                Some(MULTI_ATTACH),
            ),
            (
                vec![("05", "FailedMount", MISSING), ("08", "Pulling", "image i")],
                None,
            ),
        ] {
            assert_eq!(trouble(&events(&list)).as_deref(), says, "{list:?}");
        }
    }

    #[test]
    fn a_volume_that_is_not_mounted_is_named_after_its_patience() {
        let patience = Duration::from_secs(120);
        let at = |time: &str| format!("2026-11-22T08:0{time}Z").parse().unwrap();
        for (says, reason) in [
            (MISSING, "SecretNotFound"),
            (
                "MountVolume.SetUp failed for volume \"f\" : configmap \"files\" not found",
                "ConfigMapNotFound",
            ),
            (MULTI_ATTACH, "VolumeNotMounted"),
        ] {
            let found = creating();
            assert_eq!(unmounted(&found, Some(says), patience, at("1:59")), None);
            let failure = unmounted(&found, Some(says), patience, at("2:00")).unwrap();
            assert_eq!(failure.reason, reason, "{says}");
            assert!(failure.message.contains(says), "{}", failure.message);
        }
        assert_eq!(unmounted(&creating(), None, patience, at("9:00")), None);
        let running = pod(json!({ "running": {} }));
        assert_eq!(
            unmounted(&running, Some(MISSING), patience, at("9:00")),
            None
        );
    }

    #[test]
    fn only_a_pod_that_is_slow_to_be_set_up_is_asked_about() {
        let at = |time: &str| format!("2026-11-22T08:00:{time}Z").parse().unwrap();
        assert!(!is_due(&creating(), at("19")));
        assert!(is_due(&creating(), at("20")));
        let pulling = pod(json!({ "waiting": { "reason": "ErrImagePull" } }));
        assert!(!is_due(&pulling, at("59")));
        let mut set_up = creating();
        let conditions = &mut set_up.status.as_mut().unwrap().conditions;
        let mut ready = conditions.as_ref().unwrap()[0].clone();
        ready.type_ = "PodReadyToStartContainers".into();
        conditions.as_mut().unwrap().push(ready);
        assert!(!is_due(&set_up, at("59")));
    }
}
