//! Deadlines, and that the operator wakes in time for them.

use std::time::Duration;

use bakeoff_crds::run::status::{EnginePhase, condition};
use bakeoff_operator::{
    decide::{APPLY_FAILED, Attention, has_ended},
    pod,
    status::conditions,
};
use k8s_openapi::{
    api::{batch::v1::JobCondition, core::v1::PodSchedulingGate},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::world::{World, unschedulable};

#[test]
fn the_whole_run_ends_in_time_with_a_report_of_what_is_there() {
    let mut world = World::two_by_two();
    world.run.spec.policy.timeouts.total = "1h".parse().unwrap();
    world.play_until(|world| {
        world.status().turns.len() == 2 && world.status().turns[1].phase == EnginePhase::Measuring
    });
    world.pass(3600);
    world.play_until(|world| has_ended(world.status()));
    let turns: Vec<_> = world
        .status()
        .turns
        .iter()
        .map(|turn| (turn.phase, turn.reason.as_deref()))
        .collect();
    assert_eq!(
        turns,
        [
            (EnginePhase::Succeeded, None),
            (EnginePhase::Failed, Some("DeadlineExceeded")),
            (EnginePhase::Skipped, Some("DeadlineExceeded")),
            (EnginePhase::Skipped, Some("DeadlineExceeded")),
        ]
    );
    assert_eq!(world.reason(condition::COMPLETE), "PartialFailure");
    world.reap();
    world.settle();
    assert!(world.engines().is_empty());
}

#[test]
fn a_pod_that_will_not_go_does_not_hold_the_run_past_its_deadline() {
    let mut world = World::two_by_two();
    world.play_until(|world| {
        world
            .status()
            .turns
            .first()
            .is_some_and(|turn| turn.phase == EnginePhase::Freeing)
    });
    world.pass(3600);
    world.settle();
    assert_eq!(
        world.status().turns[0].phase,
        EnginePhase::Freeing,
        "engines must not overlap"
    );
    world.pass(24 * 3600);
    world.settle();
    assert_eq!(world.status().turns[0].phase, EnginePhase::Succeeded);
    assert_eq!(world.status().turns[1].phase, EnginePhase::Skipped);
}

#[test]
fn the_preflight_has_a_deadline_too() {
    let mut world = World::two_by_two();
    world.settle();
    world.pass(25 * 3600);
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "DeadlineExceeded");
}

#[test]
fn the_operator_wakes_for_the_next_deadline() {
    let mut world = World::two_by_two();
    world.run.spec.policy.timeouts.scheduling = "7s".parse().unwrap();
    world.play_until(|world| !world.engines().is_empty());
    let created = pod::created_at(world.engine()).unwrap();
    let decision = world.step();
    let left = 7 - (world.now.as_second() - created.as_second());
    assert_eq!(
        decision.requeue,
        Some(Duration::from_secs(left.try_into().unwrap()))
    );
    world.pass(8);
    world.settle();
    assert_eq!(
        world.status().turns[0].reason.as_deref(),
        Some("Unschedulable")
    );
}

#[test]
fn a_pool_that_does_not_grow_is_told_and_fails_at_the_deadline_alone() {
    for (says, reason, remedy) in [
        (
            "FailedScaleUp: Node scale up in zones us-central1-a associated with this pod failed: \
             GCE quota exceeded. Pod is at risk of not being scheduled.",
            "QuotaExceeded",
            "Ask for more quota of this accelerator",
        ),
        (
            "FailedScaleUp: Node scale up in zones us-central1-a associated with this pod failed: \
             GCE out of resources. Pod is at risk of not being scheduled.",
            "Unschedulable",
            "The zone has none left",
        ),
        (
            "NotTriggerScaleUp: pod didn't trigger scale-up: 1 max node group size reached",
            "Unschedulable",
            "Raise the most nodes that the pool may have",
        ),
    ] {
        let mut world = World::two_by_two();
        world.play_until(|world| !world.engines().is_empty());
        let name = pod::name(world.engine()).to_owned();
        let uid = pod::uid(world.engine()).to_owned();
        let waits = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.";
        unschedulable(world.pod_mut(&name), waits);
        world.observed.pod_troubles.insert(uid, says.to_owned());
        world.pass(1200);
        let decision = world.step();
        // Nobody tells of further events, so they are looked for.
        assert_eq!(decision.attention, Attention::Growing);
        assert_eq!(world.status().turns[0].phase, EnginePhase::Scheduling);
        let conditions = &world.status().conditions;
        let waiting = conditions
            .iter()
            .find(|found| found.type_ == condition::PROGRESSING);
        let message = &waiting.unwrap().message;
        assert!(
            message.contains(waits) && message.contains(says),
            "{message}"
        );
        world.pass(601);
        world.settle();
        let turn = &world.status().turns[0];
        assert_eq!(turn.reason.as_deref(), Some(reason));
        let message = turn.message.as_deref().unwrap();
        assert!(
            message.contains(says) && message.contains(remedy),
            "{message}"
        );
    }
}

#[test]
fn a_pod_that_cannot_be_made_fails_its_turn_in_time() {
    let mut world = World::two_by_two();
    world.play_until(|world| world.status().turns.len() == 1);
    // What the driver writes while the API server refuses the pod.
    world
        .observed
        .pods
        .retain(|found| pod::label(found, "bakeoff.dev/component") != Some("engine"));
    let now = world.now;
    let status = world.run.status.as_mut().unwrap();
    status.turns[0].pod_uid = None;
    let refusal = "cannot make Pod x: exceeded quota: gpus; trying again";
    conditions::set(
        &mut status.conditions,
        condition::PROGRESSING,
        true,
        APPLY_FAILED,
        refusal,
        now,
    );
    world.pass(1800);
    world.step();
    let turn = &world.status().turns[0];
    assert_eq!(turn.reason.as_deref(), Some("QuotaExceeded"));
    assert!(
        turn.message.as_deref().unwrap().contains("exceeded quota"),
        "{turn:?}"
    );
}

#[test]
fn a_job_that_gets_no_pod_ends_the_run_in_time() {
    let mut world = World::two_by_two();
    world.settle();
    let job = world
        .observed
        .jobs
        .first()
        .unwrap()
        .metadata
        .uid
        .clone()
        .unwrap();
    world.observed.pods.clear();
    world.pass(1799);
    world.settle();
    assert!(world.condition(condition::FAILED).is_none());
    let says = "pods \"x\" is forbidden: exceeded quota: pods, requested: pods=1";
    world.observed.pod_troubles.insert(job, says.to_owned());
    world.pass(1);
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "QuotaExceeded");
    let message = &world.condition(condition::FAILED).unwrap().message;
    assert!(message.contains(says), "{message}");
}

#[test]
fn the_time_of_accelerators_is_bounded() {
    let mut world = World::two_by_two();
    world.run.spec.hardware.accelerator.count = 4;
    world.run.spec.policy.budget.accelerator_hours = Some(2.0);
    world.play_until(|world| {
        world.status().turns.len() == 2 && world.status().turns[1].phase == EnginePhase::Measuring
    });
    let seconds = |world: &World, turn: usize| {
        let turn = &world.status().turns[turn];
        let begun = turn.scheduled_time.as_ref().unwrap().0;
        let ended = turn.end_time.as_ref().map_or(world.now, |ended| ended.0);
        ended.as_second() - begun.as_second()
    };
    let held = seconds(&world, 0) + seconds(&world, 1);
    // Four of them: half an hour in all.
    let left = 1800 - held;
    assert!(left > 60, "{held}");
    world.pass(left - 1);
    let decision = world.step();
    assert_eq!(decision.requeue, Some(Duration::from_secs(1)));
    assert_eq!(world.status().turns[1].phase, EnginePhase::Measuring);
    world.pass(1);
    world.step();
    assert_eq!(
        world.status().turns[1].phase,
        EnginePhase::Freeing,
        "freed before it is over"
    );
    world.play_until(|world| has_ended(world.status()));
    let turns = world.status().turns.iter();
    let turns: Vec<_> = turns
        .map(|turn| (turn.phase, turn.reason.as_deref()))
        .collect();
    assert_eq!(
        turns,
        [
            (EnginePhase::Succeeded, None),
            (EnginePhase::Failed, Some("BudgetExceeded")),
            (EnginePhase::Skipped, Some("BudgetExceeded")),
            (EnginePhase::Skipped, Some("BudgetExceeded")),
        ]
    );
    let message = world.status().turns[1].message.clone().unwrap();
    assert!(
        message.contains("policy.budget.acceleratorHours (2)"),
        "{message}"
    );
    assert_eq!(world.reason(condition::COMPLETE), "PartialFailure");
}

#[test]
fn a_pod_that_waits_to_be_admitted_has_time_for_a_node_from_then_on() {
    let mut world = World::two_by_two();
    world.play_until(|world| !world.engines().is_empty());
    let name = pod::name(world.engine()).to_owned();
    let gates = |world: &mut World, gates: &[&str]| {
        let gates = gates.iter().map(|gate| PodSchedulingGate {
            name: (*gate).to_owned(),
        });
        let spec = world.pod_mut(&name).spec.as_mut().unwrap();
        spec.scheduling_gates = Some(gates.collect());
    };
    gates(&mut world, &["kueue.x-k8s.io/admission"]);
    world.pass(6 * 3600);
    world.settle();
    let turn = &world.status().turns[0];
    assert_eq!((turn.phase, &turn.reason), (EnginePhase::Scheduling, &None));
    assert_eq!(world.reason(condition::PROGRESSING), "Queued");
    let message = &world.condition(condition::PROGRESSING).unwrap().message;
    assert!(message.contains("kueue.x-k8s.io/admission"), "{message}");
    gates(&mut world, &[]);
    world.settle();
    let admitted = world.now;
    world.pass(1799);
    world.settle();
    let turn = &world.status().turns[0];
    assert_eq!((turn.phase, &turn.reason), (EnginePhase::Scheduling, &None));
    assert_eq!(
        turn.start_time.as_ref().unwrap().0,
        admitted,
        "the queue is no cold start"
    );
    world.pass(1);
    world.settle();
    assert_eq!(
        world.status().turns[0].reason.as_deref(),
        Some("Unschedulable")
    );
}

#[test]
fn a_job_that_a_queue_suspended_is_waited_for() {
    let mut world = World::two_by_two();
    world.settle();
    world.observed.pods.clear();
    let job = world.observed.jobs.first_mut().unwrap();
    job.spec.as_mut().unwrap().suspend = Some(true);
    world.pass(6 * 3600);
    world.settle();
    assert!(world.condition(condition::FAILED).is_none());
    // Let go, which the Job controller has not seen yet.
    let job = world.observed.jobs.first_mut().unwrap();
    job.spec.as_mut().unwrap().suspend = Some(false);
    job.status.get_or_insert_default().conditions = Some(vec![JobCondition {
        type_: "Suspended".into(),
        status: "True".into(),
        ..JobCondition::default()
    }]);
    world.settle();
    assert!(world.condition(condition::FAILED).is_none());
    let now = world.now;
    let job = world.observed.jobs.first_mut().unwrap();
    let status = job.status.get_or_insert_default();
    status.conditions = None;
    status.start_time = Some(Time(now));
    world.pass(1799);
    world.settle();
    assert!(world.condition(condition::FAILED).is_none());
    world.pass(1);
    world.settle();
    // Nobody says why, so nobody is blamed.
    assert_eq!(world.reason(condition::FAILED), "Unschedulable");
}
