//! Reads when the images of engines' pods were there. An extra: without the right on events, reports
//! leave it out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bakeoff_crds::{
    manifests::labels,
    run::status::{BenchmarkRunStatus, EnginePhase},
};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{Api, Client, api::ListParams};

use super::nodes::give_up;
use crate::{
    observed::{ImagePull, Observed},
    pod,
};

/// Reads the events of engines' pods.
#[derive(Clone)]
pub struct PullReader {
    client: Client,
    may_read: Arc<AtomicBool>,
}

impl PullReader {
    /// A reader that asks until it is refused.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            may_read: Arc::new(true.into()),
        }
    }

    /// Looks at the pods of engines that have started since their turn was last written down.
    pub async fn read(
        &self,
        namespace: &str,
        status: &BenchmarkRunStatus,
        observed: &mut Observed,
    ) {
        let events = Api::<Event>::namespaced(self.client.clone(), namespace);
        let due: Vec<Pod> = observed
            .pods_of(labels::COMPONENT_ENGINE)
            .filter(|found| is_due(status, found))
            .cloned()
            .collect();
        for found in due {
            if !self.may_read.load(Ordering::Relaxed) {
                return;
            }
            let uid = pod::uid(&found);
            let of_pod = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
            match events.list(&of_pod).await {
                Ok(list) => {
                    let pull = pull(&list.items, &found);
                    observed
                        .pulls
                        .extend(pull.map(|pull| (uid.to_owned(), pull)));
                }
                Err(error) => give_up(
                    &self.may_read,
                    &error,
                    "events cannot be read; reports will not say when an image was there",
                ),
            }
        }
    }
}

/// Whether a pod's container has started while its turn is not under load yet, so that what was
/// before is still to be written down.
fn is_due(status: &BenchmarkRunStatus, found: &Pod) -> bool {
    let waits = [EnginePhase::Scheduling, EnginePhase::Starting];
    let turn = status
        .turns
        .iter()
        .find(|turn| turn.pod_name.as_deref() == Some(pod::name(found)));
    pod::container_started_at(found).is_some()
        && turn.is_some_and(|turn| turn.image_pulled_time.is_none() && waits.contains(&turn.phase))
}

/// What the kubelet said of the main container's image.
fn pull(events: &[Event], found: &Pod) -> Option<ImagePull> {
    let main = pod::main_container(found)?;
    let field = format!("spec.containers{{{}}}", main.name);
    let of_image = |event: &&Event| {
        event.reason.as_deref() == Some("Pulled")
            && event.involved_object.field_path.as_deref() == Some(&field)
    };
    let event = events.iter().find(of_image)?;
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let at = last.or_else(|| event.event_time.as_ref().map(|time| time.0))?;
    let message = event.message.as_deref().unwrap_or_default();
    Some(ImagePull {
        at,
        was_present: message.contains("already present"),
    })
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::run::status::TurnStatus;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    fn engine(state: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "p", "uid": "u" },
            "spec": { "containers": [{ "name": "engine" }] },
            "status": { "containerStatuses": [{ "name": "engine", "image": "i", "imageID": "",
                "ready": false, "restartCount": 0, "state": state }] },
        }))
        .unwrap()
    }

    fn event(container: &str, reason: &str, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "reason": reason, "message": message,
            "involvedObject": { "fieldPath": format!("spec.containers{{{container}}}") },
            "lastTimestamp": "2026-11-22T08:00:05Z",
        }))
        .unwrap()
    }

    #[test]
    fn the_kubelet_says_when_an_image_was_there() {
        let running = engine(json!({ "running": { "startedAt": "2026-11-22T08:00:06Z" } }));
        let pulled =
            "Successfully pulled image \"i\" in 3s (3s including waiting). Image size: 9 bytes.";
        let present = "Container image \"i\" already present on machine";
        for (events, was_present) in [
            (
                vec![
                    event("engine", "Pulling", "x"),
                    event("engine", "Pulled", pulled),
                ],
                Some(false),
            ),
            (vec![event("engine", "Pulled", present)], Some(true)),
            (vec![event("other", "Pulled", present)], None),
            (vec![], None),
        ] {
            let found = pull(&events, &running);
            assert_eq!(
                found.map(|pull| pull.was_present),
                was_present,
                "{events:?}"
            );
            let at = "2026-11-22T08:00:05Z".parse().unwrap();
            assert!(found.is_none_or(|pull| pull.at == at));
        }
    }

    #[test]
    fn a_pod_is_asked_about_once_it_has_started_and_until_its_load_begins() {
        let running = engine(json!({ "running": { "startedAt": "2026-11-22T08:00:06Z" } }));
        let waiting = engine(json!({ "waiting": { "reason": "ContainerCreating" } }));
        let status = |phase, known: bool| BenchmarkRunStatus {
            turns: vec![TurnStatus {
                pod_name: Some("p".into()),
                phase,
                image_pulled_time: known.then(|| Time("2026-11-22T08:00:05Z".parse().unwrap())),
                ..TurnStatus::default()
            }],
            ..BenchmarkRunStatus::default()
        };
        assert!(is_due(&status(EnginePhase::Starting, false), &running));
        assert!(!is_due(&status(EnginePhase::Starting, false), &waiting));
        assert!(!is_due(&status(EnginePhase::Starting, true), &running));
        assert!(!is_due(&status(EnginePhase::Measuring, false), &running));
        assert!(!is_due(&BenchmarkRunStatus::default(), &running));
    }
}
