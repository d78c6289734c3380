//! Where an engine is in its turn that is another object than a Pod: the object says when it is ready,
//! its pods say what goes wrong and where they run.

use bakeoff_crds::{
    manifests::labels,
    plan::{PlannedObject, object::SERVING_POD},
    profile::ObjectReadiness,
    run::{
        Timeouts,
        status::{TurnPod, TurnStatus},
    },
    summary::reason,
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::core::DynamicObject;
use serde_json::Value;

use crate::{
    classify::{self, PodFailure, Role},
    engine::{self, EngineState},
    mask, pod, volumes,
};

/// Most characters of what an object says of itself.
const MOST_SAID: usize = 300;

/// What the cluster shows of one engine.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The object.
    pub object: Option<&'a DynamicObject>,
    /// Its pods, the one that serves first, each with what events say against it.
    pub pods: Vec<(&'a Pod, Option<&'a str>)>,
}

impl<'a> Seen<'a> {
    /// The pod that the load goes to.
    pub fn serving(&self) -> Option<&'a Pod> {
        let (first, _) = self.pods.first()?;
        (pod::label(first, labels::POD) == Some(SERVING_POD)).then_some(*first)
    }
}

/// Where the engine of this turn is. Pure: the record says what was seen of it before.
pub fn state(
    turn: &TurnStatus,
    planned: &PlannedObject,
    seen: &Seen<'_>,
    timeouts: &Timeouts,
    now: Timestamp,
) -> EngineState {
    let kind = &planned.kind;
    let Some(found) = seen.object else {
        return match &turn.object_uid {
            None => EngineState::Absent,
            Some(_) => restarted(format!(
                "the engine's {kind} is gone before its turn was over: somebody deleted it"
            )),
        };
    };
    let name = found.metadata.name.as_deref().unwrap_or_default();
    if turn.object_uid.is_some() && turn.object_uid != found.metadata.uid {
        return restarted(format!("{kind} {name} was replaced by another of its name"));
    }
    if found.metadata.deletion_timestamp.is_some() {
        return restarted(format!(
            "{kind} {name} was deleted before its turn was over"
        ));
    }
    if let Some(failure) = pods_failure(turn, kind, seen, timeouts, now) {
        return EngineState::Failed(failure);
    }
    if turn.ready_time.is_some() {
        return EngineState::Ready;
    }
    let told = readiness(&planned.readiness, found);
    if told.is_ready && seen.serving().is_some() {
        return EngineState::Ready;
    }
    if seen.pods.is_empty() {
        return without_pods(kind, name, found, &told, timeouts, now);
    }
    let unscheduled = seen
        .pods
        .iter()
        .find(|(found, _)| pod::scheduled_at(found).is_none());
    if let Some((found, events)) = unscheduled {
        return engine::scheduling(turn, found, *events, timeouts, now);
    }
    let last = seen
        .pods
        .iter()
        .filter_map(|(found, _)| pod::scheduled_at(found))
        .max();
    match last.filter(|last| engine::is_over(*last, timeouts.ready.get(), now)) {
        None => EngineState::Starting,
        Some(_) => EngineState::Failed(PodFailure::new(
            reason::READINESS_TIMEOUT,
            format!(
                "{kind} {name} was not ready within policy.timeouts.ready ({}): {}{}. Raise the deadline for a large model, or look at the logs of its pods and of its controller",
                timeouts.ready,
                told.says,
                match seen.serving() {
                    Some(_) => "",
                    None => ", and none of its pods is the one that serves",
                }
            ),
        )),
    }
}

/// What a pod shows that ends the turn: its own failure, its end, or another life.
fn pods_failure(
    turn: &TurnStatus,
    kind: &str,
    seen: &Seen<'_>,
    timeouts: &Timeouts,
    now: Timestamp,
) -> Option<PodFailure> {
    let patience = classify::patience(timeouts.ready.get());
    let of_pod = seen.pods.iter().find_map(|(found, events)| {
        classify::pod_failure(found, Role::Engine, patience, now)
            .or_else(|| volumes::unmounted(found, *events, patience, now))
            .or_else(|| engine::second_life(turn, found))
            .or_else(|| {
                pod::is_deleting(found).then(|| {
                    let name = pod::name(found);
                    let message = format!("pod {name} was deleted before its turn was over");
                    PodFailure::new(reason::ENGINE_RESTARTED, message)
                })
            })
    });
    of_pod.or_else(|| {
        let is_there = |known: &TurnPod| {
            let mut uids = seen.pods.iter().map(|(found, _)| pod::uid(found));
            uids.any(|uid| uid == known.uid)
        };
        let gone = turn.pods.iter().find(|known| !is_there(known))?;
        Some(PodFailure::new(
            reason::ENGINE_RESTARTED,
            format!(
                "pod {} of the engine's {kind} is gone before its turn was over: its controller or somebody else deleted it, or its node went away",
                gone.name
            ),
        ))
    })
}

/// The object is there, and its controller has made nothing of it.
fn without_pods(
    kind: &str,
    name: &str,
    found: &DynamicObject,
    told: &Told,
    timeouts: &Timeouts,
    now: Timestamp,
) -> EngineState {
    let created = found
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    if created.is_some_and(|created| engine::is_over(created, timeouts.scheduling.get(), now)) {
        return EngineState::Failed(PodFailure::new(
            reason::UNSCHEDULABLE,
            format!(
                "{kind} {name} had no pod within policy.timeouts.scheduling ({}): {}. Check that its controller runs, and its log",
                timeouts.scheduling, told.says
            ),
        ));
    }
    EngineState::Scheduling(format!("its {kind} has no pod yet"))
}

fn restarted(message: String) -> EngineState {
    EngineState::Failed(PodFailure::new(reason::ENGINE_RESTARTED, message))
}

/// What an object says of its readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Whether the engine can be loaded.
    pub is_ready: bool,
    /// Since when, where the object says that.
    pub since: Option<Timestamp>,
    /// The place and what is there, for people; secrets masked.
    pub says: String,
}

/// Looks at the place where an object says whether it is ready.
pub fn readiness(at: &ObjectReadiness, found: &DynamicObject) -> Told {
    if let Some(kind) = &at.condition {
        return condition(kind, found);
    }
    let pointer = at.pointer.as_deref().unwrap_or_default();
    let wanted = at.value.as_deref().unwrap_or_default();
    let there = found.data.pointer(pointer).map(|value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    Told {
        is_ready: there.as_deref() == Some(wanted),
        since: None,
        says: match &there {
            Some(there) => shown(&format!("{pointer} is {there}, not {wanted}")),
            None => format!("{pointer} is not there yet"),
        },
    }
}

fn condition(kind: &str, found: &DynamicObject) -> Told {
    let conditions = found.data.pointer("/status/conditions");
    let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    let Some(of_kind) = conditions.find(|condition| condition["type"] == kind) else {
        return Told {
            is_ready: false,
            since: None,
            says: format!("it has no condition {kind} yet"),
        };
    };
    let text = |field: &str| of_kind[field].as_str().unwrap_or_default();
    Told {
        is_ready: text("status") == "True",
        since: text("lastTransitionTime").parse().ok(),
        says: shown(&format!(
            "condition {kind} is {}: {} {}",
            text("status"),
            text("reason"),
            text("message")
        )),
    }
}

fn shown(text: &str) -> String {
    let masked = mask::mask(text);
    let short: String = masked.trim().chars().take(MOST_SAID).collect();
    short
}

/// Writes what object and pods show into the turn's record. Facts once seen stay.
pub fn record(turn: &mut TurnStatus, planned: &PlannedObject, seen: &Seen<'_>, now: Timestamp) {
    let Some(found) = seen.object else {
        return;
    };
    let uid = found.metadata.uid.clone();
    if turn.object_uid.is_some() && turn.object_uid != uid {
        return;
    }
    turn.object_uid = uid;
    if let Some(created) = &found.metadata.creation_timestamp {
        turn.start_time = Some(created.clone());
    }
    for (found, _) in &seen.pods {
        note(&mut turn.pods, found);
    }
    if let Some(serving) = seen.serving()
        && turn
            .pod_uid
            .as_deref()
            .is_none_or(|uid| uid == pod::uid(serving))
    {
        turn.pod_name = Some(pod::name(serving).to_owned());
        engine::record_pod(turn, serving);
        let told = readiness(&planned.readiness, found);
        if told.is_ready && turn.ready_time.is_none() {
            turn.ready_time = Some(Time(told.since.unwrap_or(now)));
        }
    }
}

/// Most pods of one engine that are written down, as the status' schema has it.
const MOST_PODS: usize = 64;

fn note(known: &mut Vec<TurnPod>, found: &Pod) {
    let node = pod::node(found).map(str::to_owned);
    let before = known.iter().position(|known| known.uid == pod::uid(found));
    if let Some(known) = before.and_then(|index| known.get_mut(index)) {
        known.node_name = known.node_name.take().or(node);
    } else if known.len() < MOST_PODS {
        known.push(TurnPod {
            name: pod::name(found).to_owned(),
            uid: pod::uid(found).to_owned(),
            node_name: node,
        });
    }
}

#[cfg(test)]
mod tests;
