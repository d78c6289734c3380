//! What a Pod's status says, in the words that we need.

use std::time::Duration;

use bakeoff_crds::manifests::labels;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodCondition},
    jiff::Timestamp,
};

/// Name, empty where there is none.
pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// UID, empty where there is none.
pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// A label's value.
pub fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    Some(pod.metadata.labels.as_ref()?.get(key)?.as_str())
}

/// Whether it was made by the controller of an object that an engine is.
pub fn is_of_object(pod: &Pod) -> bool {
    label(pod, labels::OBJECT).is_some()
}

/// Which pod of an indexed Job it is, from 0.
pub fn index(pod: &Pod) -> Option<u32> {
    label(pod, "batch.kubernetes.io/job-completion-index")?
        .parse()
        .ok()
}

/// Whether it is being deleted.
pub fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether its containers have all ended for good.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The node that it was placed on.
pub fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// IP address.
pub fn ip(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref()
}

/// One of its conditions.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status
        .as_ref()?
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == kind)
}

/// When it was made.
pub fn created_at(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The scheduling gates that hold it back, by name, a comma between; `None` where there are none.
pub fn gates(pod: &Pod) -> Option<String> {
    let gates = pod.spec.as_ref()?.scheduling_gates.as_deref()?;
    let names: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// When the scheduler placed it.
pub fn scheduled_at(pod: &Pod) -> Option<Timestamp> {
    true_since(pod, "PodScheduled")
}

/// Since when it is ready; `None` while it is not.
pub fn ready_at(pod: &Pod) -> Option<Timestamp> {
    true_since(pod, "Ready")
}

/// What the scheduler says of a pod that it cannot place.
pub fn unscheduled_message(pod: &Pod) -> Option<&str> {
    condition(pod, "PodScheduled")
        .filter(|found| found.status != "True")?
        .message
        .as_deref()
}

fn true_since(pod: &Pod, kind: &str) -> Option<Timestamp> {
    let found = condition(pod, kind).filter(|found| found.status == "True")?;
    found
        .last_transition_time
        .as_ref()
        .map(|time| time.0)
        .or_else(|| created_at(pod))
}

/// Whether it has a node, and no container of it has begun to be made: its volumes are mounted and
/// its network is set up before that.
pub fn is_being_set_up(pod: &Pod) -> bool {
    let is_set_up =
        condition(pod, "PodReadyToStartContainers").is_some_and(|found| found.status == "True");
    node(pod).is_some()
        && !is_set_up
        && !has_ended(pod)
        && !is_deleting(pod)
        && container_statuses(pod).all(|container| {
            let waiting = container
                .state
                .as_ref()
                .and_then(|state| state.waiting.as_ref());
            let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
            matches!(reason, Some("ContainerCreating" | "PodInitializing"))
        })
}

/// Whether `span` has gone by since `start`, by whole seconds.
pub fn has_passed(start: Timestamp, span: Duration, now: Timestamp) -> bool {
    let gone = u64::try_from(now.as_second() - start.as_second()).unwrap_or(0);
    gone >= span.as_secs()
}

/// The status of every container, init containers first.
pub fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_deref());
    let main = status.and_then(|status| status.container_statuses.as_deref());
    init.unwrap_or_default()
        .iter()
        .chain(main.unwrap_or_default())
}

/// The status of the main container: the first of the spec.
pub fn main_container(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    let first = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.containers.first())
        .map(|container| container.name.as_str());
    statuses
        .iter()
        .find(|status| Some(status.name.as_str()) == first)
        .or_else(|| statuses.first())
}

/// Whether a container of this name is an init container.
pub fn is_init(pod: &Pod, container: &str) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.init_container_statuses.as_deref())
        .unwrap_or_default()
        .iter()
        .any(|status| status.name == container)
}

/// The first container, init containers apart, that was started anew.
pub fn restarted(pod: &Pod) -> Option<&ContainerStatus> {
    container_statuses(pod)
        .filter(|container| !is_init(pod, &container.name))
        .find(|container| container.restart_count > 0)
}

/// Image with digest, as the kubelet resolved it.
pub fn image_id(pod: &Pod) -> Option<&str> {
    main_container(pod)
        .map(|status| status.image_id.as_str())
        .filter(|id| !id.is_empty())
}

/// When the main container started to run.
pub fn container_started_at(pod: &Pod) -> Option<Timestamp> {
    let state = main_container(pod)?.state.as_ref()?;
    let running = state
        .running
        .as_ref()
        .and_then(|running| running.started_at.as_ref());
    let ended = state
        .terminated
        .as_ref()
        .and_then(|ended| ended.started_at.as_ref());
    running.or(ended).map(|time| time.0)
}

/// The init containers that ended well, in their order: name, start, end and last words.
pub fn ended_init_containers(
    pod: &Pod,
) -> impl Iterator<Item = (&str, Timestamp, Timestamp, Option<&str>)> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_deref());
    init.unwrap_or_default().iter().filter_map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        let (start, end) = (ended.started_at.as_ref()?, ended.finished_at.as_ref()?);
        let words = ended.message.as_deref().map(str::trim);
        let words = words.filter(|words| !words.is_empty());
        (ended.exit_code == 0).then_some((container.name.as_str(), start.0, end.0, words))
    })
}

/// The main container's last words.
pub fn termination_message(pod: &Pod) -> Option<&str> {
    let status = main_container(pod)?;
    let ended = |state: Option<&k8s_openapi::api::core::v1::ContainerState>| {
        state.and_then(|state| state.terminated.clone()).is_some()
    };
    let state = if ended(status.state.as_ref()) {
        status.state.as_ref()
    } else {
        status.last_state.as_ref()
    };
    state?.terminated.as_ref()?.message.as_deref()
}
