//! Where an engine's pod is in its turn, from it and the turn's record.

use bakeoff_crds::{
    common::shortened,
    run::{StartStep, Timeouts, status::TurnStatus},
    summary::reason,
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use crate::{
    autoscaler, claims,
    classify::{self, PodFailure, Role},
    pod, volumes,
};

/// Where an engine's pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// Not made yet.
    Absent,
    /// Held back by scheduling gates, which it names: whoever set them takes them away.
    Gated(String),
    /// Waits for a node; with what the scheduler says.
    Scheduling(String),
    /// Has a node and is not ready.
    Starting,
    /// Can be loaded.
    Ready,
    /// Cannot do its turn.
    Failed(PodFailure),
}

/// Where the pod of this turn is. Pure: the record says what was seen of it before. `events` is what
/// they say of its volumes, or, before it has a node, what the autoscaler says.
pub fn state(
    turn: &TurnStatus,
    found: Option<&Pod>,
    events: Option<&str>,
    timeouts: &Timeouts,
    now: Timestamp,
) -> EngineState {
    let Some(found) = found else {
        return match &turn.pod_uid {
            None => EngineState::Absent,
            Some(_) => EngineState::Failed(PodFailure::new(
                reason::ENGINE_RESTARTED,
                "the engine's pod is gone before its turn was over: somebody deleted it, or its node went away",
            )),
        };
    };
    let patience = classify::patience(timeouts.ready.get());
    if let Some(failure) = replaced(turn, found)
        .or_else(|| classify::pod_failure(found, Role::Engine, patience, now))
        .or_else(|| volumes::unmounted(found, events, patience, now))
    {
        return EngineState::Failed(failure);
    }
    if pod::is_deleting(found) {
        return EngineState::Failed(PodFailure::new(
            reason::ENGINE_RESTARTED,
            format!(
                "pod {} was deleted before its turn was over",
                pod::name(found)
            ),
        ));
    }
    // Once ready, an engine under load may miss probes; that is no failure.
    if turn.ready_time.is_some() || pod::ready_at(found).is_some() {
        return EngineState::Ready;
    }
    if let Some(gates) = pod::gates(found) {
        return EngineState::Gated(gates);
    }
    match pod::scheduled_at(found) {
        None => scheduling(turn, found, events, timeouts, now),
        Some(scheduled) => starting(found, scheduled, timeouts, now),
    }
}

/// Another pod under the same name, or another life of its container under load.
fn replaced(turn: &TurnStatus, found: &Pod) -> Option<PodFailure> {
    if turn
        .pod_uid
        .as_deref()
        .is_some_and(|seen| seen != pod::uid(found))
    {
        return Some(PodFailure::new(
            reason::ENGINE_RESTARTED,
            format!(
                "pod {} was replaced by another of its name",
                pod::name(found)
            ),
        ));
    }
    turn.ready_time.as_ref()?;
    under_load(found)
}

/// Another life of a container under load.
fn under_load(found: &Pod) -> Option<PodFailure> {
    let container = pod::restarted(found)?;
    let ended = container
        .last_state
        .as_ref()
        .and_then(|last| last.terminated.as_ref());
    let last = ended.map(|ended| classify::terminated_failure(container, ended, Role::Engine));
    let detail = last
        .as_ref()
        .map_or("no detail given", |last| last.message.as_str());
    Some(PodFailure {
        reason: reason::ENGINE_RESTARTED,
        message: format!(
            "the engine restarted {} times under load: {detail}",
            container.restart_count
        ),
        exit_code: last.as_ref().and_then(|last| last.exit_code),
    })
}

/// Another life of a container of a pod that somebody else keeps alive: the end of the one before,
/// where the engine was not ready yet.
pub fn second_life(turn: &TurnStatus, found: &Pod) -> Option<PodFailure> {
    let under_load = under_load(found)?;
    if turn.ready_time.is_some() {
        return Some(under_load);
    }
    let container = pod::restarted(found)?;
    let ended = container.last_state.as_ref()?.terminated.as_ref();
    Some(ended.map_or(under_load, |ended| {
        classify::terminated_failure(container, ended, Role::Engine)
    }))
}

/// Since when a pod waits for a node: since it was made, or since it was admitted.
pub fn waits_since(turn: &TurnStatus, found: &Pod) -> Option<Timestamp> {
    let admitted = turn.admitted_time.as_ref().map(|time| time.0);
    admitted.or_else(|| pod::created_at(found))
}

/// Where a pod is that has no node.
pub fn scheduling(
    turn: &TurnStatus,
    found: &Pod,
    scaling: Option<&str>,
    timeouts: &Timeouts,
    now: Timestamp,
) -> EngineState {
    if let Some(failure) = claims::missing(found, now) {
        return EngineState::Failed(failure);
    }
    let says = pod::unscheduled_message(found).unwrap_or("the scheduler has not looked at it yet");
    let says = match scaling {
        Some(scaling) => format!("{says} The autoscaler says {scaling}"),
        None => says.to_owned(),
    };
    if waits_since(turn, found).is_some_and(|since| is_over(since, timeouts.scheduling.get(), now))
    {
        let otherwise = scaling
            .and_then(autoscaler::remedy)
            .unwrap_or("Check hardware.nodeSelector, hardware.accelerator and the pool's size");
        let (reason, remedy) = match scaling {
            Some(scaling) if autoscaler::is_over_quota(scaling) => {
                (reason::QUOTA_EXCEEDED, otherwise)
            }
            _ => claims::unplaced(&says, otherwise),
        };
        return EngineState::Failed(PodFailure::new(
            reason,
            format!(
                "no node took pod {} within policy.timeouts.scheduling ({}): {says}. {remedy}",
                pod::name(found),
                timeouts.scheduling,
            ),
        ));
    }
    EngineState::Scheduling(says)
}

fn starting(found: &Pod, scheduled: Timestamp, timeouts: &Timeouts, now: Timestamp) -> EngineState {
    if !is_over(scheduled, timeouts.ready.get(), now) {
        return EngineState::Starting;
    }
    let waiting = pod::container_statuses(found).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some(format!(
            "container {} waits: {} {}",
            container.name,
            waiting.reason.as_deref().unwrap_or_default(),
            waiting.message.as_deref().unwrap_or_default()
        ))
    });
    let not_ready = pod::container_statuses(found)
        .find(|container| !container.ready && !pod::is_init(found, &container.name))
        .map_or("engine", |container| container.name.as_str());
    EngineState::Failed(PodFailure::new(
        reason::READINESS_TIMEOUT,
        format!(
            "pod {} was not ready within policy.timeouts.ready ({}): {}. Raise the deadline for a large model, or look at the engine's log",
            pod::name(found),
            timeouts.ready,
            crate::mask::mask(&waiting.unwrap_or_else(|| format!(
                "container {not_ready} runs, and its readiness check fails"
            ))),
        ),
    ))
}

/// Whether `span` has gone by since `start`.
pub fn is_over(start: Timestamp, span: std::time::Duration, now: Timestamp) -> bool {
    left(start, span, now).is_zero()
}

/// What is left of `span` since `start`, by whole seconds.
pub fn left(start: Timestamp, span: std::time::Duration, now: Timestamp) -> std::time::Duration {
    span.saturating_sub(since(start, now))
}

/// What has gone by since `start`, by whole seconds; nothing where `now` is before it.
pub fn since(start: Timestamp, now: Timestamp) -> std::time::Duration {
    let gone = u64::try_from(now.as_second() - start.as_second()).unwrap_or(0);
    std::time::Duration::from_secs(gone)
}

/// Writes what the pod shows into the turn's record. Facts once seen stay.
pub fn record(turn: &mut TurnStatus, found: &Pod, now: Timestamp) {
    record_pod(turn, found);
    // No object tells when a gate was taken away.
    if pod::gates(found).is_some() {
        turn.gated_time.get_or_insert(Time(now));
    } else if turn.gated_time.is_some() {
        turn.admitted_time.get_or_insert(Time(now));
    }
    if turn.ready_time.is_none() {
        turn.ready_time = pod::ready_at(found).map(Time);
    }
    if let Some(since) = waits_since(turn, found) {
        turn.start_time = Some(Time(since));
    }
}

/// Most characters of what an init container said that are kept.
const WORDS: usize = 160;

/// What ran to its end before the engine started.
fn steps(found: &Pod) -> Vec<StartStep> {
    pod::ended_init_containers(found)
        .map(|(name, start, end, words)| StartStep {
            name: name.to_owned(),
            start_time: Time(start),
            end_time: Time(end),
            message: words.map(|words| shortened(&crate::mask::mask(words), WORDS)),
        })
        .collect()
}

/// What a pod shows that is the engine, or one of its pods: where and what it runs, not whether the
/// engine is ready.
pub fn record_pod(turn: &mut TurnStatus, found: &Pod) {
    let keep = |slot: &mut Option<String>, value: Option<&str>| {
        if let (None, Some(value)) = (&slot, value) {
            *slot = Some(value.to_owned());
        }
    };
    keep(&mut turn.pod_uid, Some(pod::uid(found)));
    keep(&mut turn.node_name, pod::node(found));
    keep(&mut turn.image_id, pod::image_id(found));
    let stamp = |slot: &mut Option<Time>, value: Option<Timestamp>| {
        if slot.is_none() {
            *slot = value.map(Time);
        }
    };
    let steps = steps(found);
    if steps.len() > turn.steps.len() {
        turn.steps = steps;
    }
    stamp(&mut turn.scheduled_time, pod::scheduled_at(found));
    stamp(
        &mut turn.container_started_time,
        pod::container_started_at(found),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(init: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "engine"},
            "status": {"initContainerStatuses": init},
        }))
        .unwrap()
    }

    fn status(name: &str, state: serde_json::Value) -> serde_json::Value {
        serde_json::json!({
            "name": name, "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
            "state": state,
        })
    }

    #[test]
    fn what_ran_before_the_engine_is_written_down_once_it_has_ended_well() {
        let ended = |code: i32, words: &str| {
            serde_json::json!({"terminated": {
                "exitCode": code, "startedAt": "2026-11-22T08:00:00Z",
                "finishedAt": "2026-11-22T08:05:12Z", "message": words,
            }})
        };
        let running = serde_json::json!({"running": {"startedAt": "2026-11-22T08:05:12Z"}});
        let mut turn = TurnStatus::default();
        let secret = "built engine with hf_abcdefghijklmnopqrstuv\n";
        let first = status("build", ended(0, secret));
        record_pod(
            &mut turn,
            &pod(serde_json::json!([first, status("warm", running)])),
        );
        let [step] = &turn.steps[..] else {
            panic!("{turn:?}")
        };
        assert_eq!(step.name, "build");
        let span = step.end_time.0.duration_since(step.start_time.0);
        assert_eq!(span.as_secs(), 312);
        assert_eq!(step.message.as_deref(), Some("built engine with ***"));
        let second = status("warm", ended(0, ""));
        record_pod(&mut turn, &pod(serde_json::json!([first, second])));
        assert_eq!(turn.steps.len(), 2);
        assert_eq!(turn.steps[1].message, None);
        // A pod that is seen without its past takes nothing away; one that failed is no step.
        record_pod(&mut turn, &pod(serde_json::json!([])));
        assert_eq!(turn.steps.len(), 2);
        let mut failed = TurnStatus::default();
        let first = status("build", ended(1, "out of memory"));
        record_pod(&mut failed, &pod(serde_json::json!([first])));
        assert_eq!(failed.steps, []);
    }
}
