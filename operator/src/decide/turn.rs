//! One engine's turn: its pod made, ready, loaded; [`super::free`] ends it.

use bakeoff_crds::{
    manifests::{LoadFacts, Turn, names, runner_job, runner_service},
    plan::{EngineSource, Plan, PlannedEngine, PlannedObject},
    run::status::{EnginePhase, RunPhase, TurnStatus, VerdictStatus},
    summary::{Termination, reason},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    budget::Reached,
    draft::Draft,
    free::{end, free},
    kinds, placement, restart, turns,
};
use crate::{
    child::Child,
    classify::PodFailure,
    engine::{self, EngineState},
    job::JobState,
    neighbours, object, pod,
    status::progress,
};

/// A turn, and where it stands among the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) turn: Turn,
    /// Place among all turns, from 0.
    pub(super) position: usize,
    pub(super) is_last: bool,
    /// A bound of the whole run that is reached.
    pub(super) reached: Option<&'a Reached>,
}

pub(super) fn decide(draft: &mut Draft<'_>, plan: &Plan, place: Place<'_>) {
    let Some(planned) = plan.engines.get(place.turn.engine) else {
        return;
    };
    draft.status.current_engine = Some(planned.name.clone());
    draft.status.progress = Some(progress::line(
        plan,
        place.turn,
        place.position,
        draft.observed.progress.as_ref(),
    ));
    let is_deployed = !matches!(planned.source, EngineSource::External(_));
    let Some(record) = turns::record(draft, plan, place.turn).cloned() else {
        return begin(draft, plan, place.turn, is_deployed);
    };
    let record = advance(draft, plan, place, record, is_deployed);
    let slot = draft.status.turns.iter_mut().find(|slot| {
        slot.engine == record.engine && slot.round == record.round && slot.restart == record.restart
    });
    if let Some(slot) = slot {
        *slot = record;
    }
}

/// Opens the turn's record once nothing of an earlier turn is left. Objects follow in the next
/// step, so that no object is ever without a record.
fn begin(draft: &mut Draft<'_>, plan: &Plan, turn: Turn, is_deployed: bool) {
    if draft.delete_engines() {
        let message = "Waiting for the pod of an earlier turn to go";
        return draft.progressing(RunPhase::Running, "Freeing", message);
    }
    let runner = names::runner(plan, turn);
    if draft.observed.job(&runner).is_some() {
        draft.delete_job_named(&runner);
        let message = "Waiting for the runner Job of a cut turn to go";
        return draft.progressing(RunPhase::Running, "Freeing", message);
    }
    let engine = draft.status.current_engine.clone().unwrap_or_default();
    let is_object = object_of(plan, turn).is_some();
    let message = format!("The turn of {engine} begins");
    draft.status.turns.push(TurnStatus {
        engine,
        round: turn.round,
        restart: turn.restart,
        phase: if is_deployed {
            EnginePhase::Scheduling
        } else {
            EnginePhase::Measuring
        },
        pod_name: (is_deployed && !is_object).then(|| names::engine(plan, turn)),
        object_name: is_object.then(|| names::engine(plan, turn)),
        start_time: Some(Time(draft.now)),
        ..TurnStatus::default()
    });
    draft.progressing(RunPhase::Running, "Scheduling", &message);
}

/// The object that the engine of a turn is, where it is no lone Pod.
pub(super) fn object_of(plan: &Plan, turn: Turn) -> Option<&PlannedObject> {
    plan.engines
        .get(turn.engine)
        .and_then(PlannedEngine::object)
}

/// What the cluster shows of the object that a turn's engine is.
fn seen<'a>(draft: &Draft<'a>, record: &TurnStatus) -> object::Seen<'a> {
    let observed = draft.observed;
    let name = record.object_name.as_deref().unwrap_or_default();
    let pods = observed.pods_of_object(name).into_iter();
    object::Seen {
        object: observed.object(name).map(|found| &found.object),
        pods: pods.map(|pod| (pod, observed.pod_trouble(pod))).collect(),
    }
}

fn advance(
    draft: &mut Draft<'_>,
    plan: &Plan,
    place: Place<'_>,
    mut record: TurnStatus,
    is_deployed: bool,
) -> TurnStatus {
    let timeouts = &plan.spec.policy.timeouts;
    let planned_object = object_of(plan, place.turn);
    let seen = seen(draft, &record);
    if let Some(planned) = planned_object {
        object::record(&mut record, planned, &seen, draft.now);
    }
    let found = record
        .pod_name
        .as_deref()
        .and_then(|name| draft.observed.pod(name));
    if let Some(found) = found
        && planned_object.is_none()
        && record
            .pod_uid
            .as_deref()
            .is_none_or(|seen| seen == pod::uid(found))
    {
        engine::record(&mut record, found, draft.now);
    }
    if let Some(found) = found {
        let pull = draft.observed.pulls.get(pod::uid(found));
        if let Some(pull) = pull.filter(|_| record.pod_uid.as_deref() == Some(pod::uid(found))) {
            record.image_pulled_time.get_or_insert(Time(pull.at));
            record.image_was_present.get_or_insert(pull.was_present);
        }
    }
    for node in record.nodes() {
        note_node(draft, node);
    }
    let more_follow = !place.is_last && place.reached.is_none();
    placement::hold_node(draft, plan, more_follow, &record);
    if record.phase == EnginePhase::Freeing {
        return free(draft, plan, place, record);
    }
    if let Some(Reached { reason, bound }) = place.reached {
        let message = format!("cut: {bound} was reached during its turn");
        let failure = PodFailure::new(reason, message);
        return end(draft, plan, place, record, Some(failure), None);
    }
    record_runner_node(draft, &names::runner(plan, place.turn), &mut record);
    let engine = if let Some(planned) = planned_object {
        match kinds::unusable(draft, planned) {
            Some(failure) => EngineState::Failed(failure),
            None => object::state(&record, planned, &seen, timeouts, draft.now),
        }
    } else if is_deployed {
        let events = found.and_then(|found| draft.observed.pod_trouble(found));
        engine::state(&record, found, events, timeouts, draft.now)
    } else {
        EngineState::Ready
    };
    let job = draft.job_state(plan, &names::runner(plan, place.turn));
    let engine = if is_deployed {
        restart::node_lost_under(draft, plan, &record, found, &job)
            .map_or(engine, EngineState::Failed)
    } else {
        engine
    };
    let name = record.engine.clone();
    match (job, engine) {
        (JobState::Succeeded(words), engine) => {
            let failure = spoilt(
                &engine,
                words.as_ref(),
                found
                    .and_then(pod::restarted)
                    .map_or(0, |it| it.restart_count),
            );
            end(draft, plan, place, record, failure, words)
        }
        // What the pod shows says more than that its requests failed.
        (JobState::Failed(_, words), EngineState::Failed(failure)) => {
            end(draft, plan, place, record, Some(failure), words)
        }
        (JobState::Failed(failure, words), _) => {
            record.reason = Some(failure.reason);
            record.message = Some(failure.message);
            end(draft, plan, place, record, None, words)
        }
        (_, EngineState::Failed(failure)) => end(draft, plan, place, record, Some(failure), None),
        (JobState::Stuck(failure), _) => {
            record.reason = Some(failure.reason);
            record.message = Some(failure.message);
            end(draft, plan, place, record, None, None)
        }
        (_, EngineState::Absent) => match placement::unmade(draft, plan, &record) {
            Some(failure) => end(draft, plan, place, record, Some(failure), None),
            None => {
                placement::make_engine(draft, plan, place.turn);
                let message = format!("The pod of {name} is being made");
                draft.progressing(RunPhase::Running, "Scheduling", &message);
                record
            }
        },
        (_, EngineState::Gated(gates)) => {
            let message = format!("The pod of {name} waits to be admitted: {gates}");
            draft.progressing(RunPhase::Running, "Queued", &message);
            record.phase = EnginePhase::Scheduling;
            record
        }
        (_, EngineState::Scheduling(says)) => {
            if let Some(since) = found.and_then(|found| engine::waits_since(&record, found)) {
                draft.wake_in(engine::left(since, timeouts.scheduling.get(), draft.now));
            }
            let message = format!("The pod of {name} waits for a node: {says}");
            draft.progressing(RunPhase::Running, "Scheduling", &message);
            record.phase = EnginePhase::Scheduling;
            record
        }
        (_, EngineState::Starting) => {
            if let Some(scheduled) = found.and_then(pod::scheduled_at) {
                draft.wake_in(engine::left(scheduled, timeouts.ready.get(), draft.now));
            }
            let node = record.node_name.as_deref().unwrap_or("its node");
            let message = format!("{name} starts on {node}: image, weights, readiness");
            draft.progressing(RunPhase::Running, "Starting", &message);
            record.phase = EnginePhase::Starting;
            record
        }
        (job, EngineState::Ready) => measure(draft, plan, place.turn, record, &job),
    }
}

/// Writes down what the node of an engine is, once.
fn note_node(draft: &mut Draft<'_>, name: &str) {
    let known = draft.status.nodes.iter().any(|node| node.name == name);
    if let (false, Some(facts)) = (known, draft.observed.node_facts.get(name)) {
        draft.status.nodes.push(facts.clone());
    }
}

fn measure(
    draft: &mut Draft<'_>,
    plan: &Plan,
    turn: Turn,
    mut record: TurnStatus,
    job: &JobState,
) -> TurnStatus {
    record.phase = EnginePhase::Measuring;
    if *job == JobState::Absent {
        let is_object = record.object_name.is_some();
        let pods = record.pods.iter().filter(|_| is_object);
        let facts = LoadFacts {
            prompts_sha256: draft.status.prompts_sha256.as_deref().unwrap_or_default(),
            engine_pods: pods.map(|found| found.name.as_str()).collect(),
        };
        let owner = draft.owner();
        // Before the pods that are found by it.
        let service = runner_service(plan, &owner, turn);
        draft.apply.extend(service.map(Child::Service));
        let job = runner_job(plan, &owner, turn, &facts);
        draft.apply.push(Child::Job(job));
    }
    if let Some(now) = &draft.observed.neighbours {
        record.neighbours = Some(neighbours::merge(record.neighbours, now));
    }
    let stage = draft
        .observed
        .progress
        .as_ref()
        .filter(|progress| !progress.stage.is_empty())
        .map(|progress| format!(": repetition {}, {}", progress.repetition, progress.stage))
        .unwrap_or_default();
    let missing = match &draft.observed.progress {
        Some(progress) => missing(&progress.shards_missing, plan.spec.runner.parallelism),
        None => String::new(),
    };
    let message = format!("{} is under load{stage}{missing}", record.engine);
    draft.progressing(RunPhase::Running, "Measuring", &message);
    record
}

/// Notes where load is made, also by pods that have ended: nobody may have looked meanwhile. Of
/// several runner pods, the one that shares the engine's node is the one to tell of.
fn record_runner_node(draft: &Draft<'_>, runner: &str, record: &mut TurnStatus) {
    let nodes = || draft.observed.pods_of_job(runner).filter_map(pod::node);
    let beside_engine = nodes().find(|node| record.node_name.as_deref() == Some(*node));
    let at_work = draft.observed.running_runner(runner).and_then(pod::node);
    let ended = nodes().next().filter(|_| record.runner_node_name.is_none());
    if let Some(node) = beside_engine.or(at_work).or(ended) {
        record.runner_node_name = Some(node.to_owned());
    }
}

/// Whether an engine's end spoils what a runner brought home: it does where the engine had another
/// life under load, or where the figures are bad, which it then explains. An engine that ended
/// after its load was over does no harm.
fn spoilt(engine: &EngineState, words: Option<&Termination>, restarts: i32) -> Option<PodFailure> {
    let EngineState::Failed(failure) = engine else {
        return None;
    };
    let is_invalid = words
        .and_then(|words| words.runner.as_ref())
        .is_some_and(|summary| summary.verdict == VerdictStatus::Invalid);
    (is_invalid || restarts > 0 || failure.reason == reason::ENGINE_RESTARTED)
        .then(|| failure.clone())
}

/// What is said of runner pods that the first one misses; empty where it misses none.
fn missing(shards: &[u32], of: u32) -> String {
    let numbers: Vec<String> = shards.iter().map(u32::to_string).collect();
    match numbers.as_slice() {
        [] => String::new(),
        [one] => format!("; shard {one} of {of} is missing"),
        several => format!("; shards {} of {of} are missing", several.join(", ")),
    }
}
