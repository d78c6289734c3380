//! A node that goes away: its round begins anew on another one.

use bakeoff_crds::{
    manifests::labels,
    run::{
        OnEngineFailure, SameNode,
        status::{EnginePhase, TurnStatus, condition},
    },
};
use bakeoff_operator::{
    decide::{MAX_RESTARTS, has_ended},
    observed::NodeState,
    pod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::world::{Fault, World};

/// Turns that count, as engine, round, restart and node.
fn counted(world: &World) -> Vec<(&str, u32, u32, &str)> {
    let turns = world.status().turns.iter();
    turns
        .filter(|turn| !turn.superseded)
        .map(|turn| {
            let node = turn.node_name.as_deref().unwrap_or_default();
            (turn.engine.as_str(), turn.round, turn.restart, node)
        })
        .collect()
}

fn superseded(world: &World) -> Vec<&TurnStatus> {
    let turns = world.status().turns.iter();
    turns.filter(|turn| turn.superseded).collect()
}

/// Whether the turn at this place has come to a phase.
fn turn_is(world: &World, place: usize, phase: EnginePhase) -> bool {
    let turn = world.status().turns.get(place);
    turn.is_some_and(|turn| turn.phase == phase)
}

/// The node on which the run is.
fn node_is(world: &mut World, state: NodeState) {
    world.observed.nodes.insert("gpu-1".into(), state);
}

const MOVED: [(&str, u32, u32, &str); 4] = [
    ("alpha", 1, 1, "gpu-2"),
    ("beta", 1, 1, "gpu-2"),
    ("beta", 2, 0, "gpu-2"),
    ("alpha", 2, 0, "gpu-2"),
];

#[test]
fn all_engines_of_the_round_are_measured_again_on_another_node() {
    for (fault, reason) in [
        (Fault::NodeLostOnce, "NodeLost"),
        (Fault::Preempted, "EnginePreempted"),
        (Fault::SpotTakenBack, "NodeLost"),
    ] {
        let mut world = World::two_by_two().with_fault("beta", 1, fault);
        world.play();
        assert_eq!(world.reason(condition::COMPLETE), "Succeeded", "{fault:?}");
        assert_eq!(counted(&world), MOVED);
        // What was measured before stays, marked.
        let before: Vec<_> = superseded(&world)
            .iter()
            .map(|turn| (turn.engine.as_str(), turn.phase, turn.node_name.as_deref()))
            .collect();
        assert_eq!(
            before,
            [
                ("alpha", EnginePhase::Succeeded, Some("gpu-1")),
                ("beta", EnginePhase::Failed, Some("gpu-1")),
            ]
        );
        let status = world.status();
        let [restart] = status.restarts.as_slice() else {
            panic!("{:?}", status.restarts);
        };
        assert_eq!((restart.round, restart.restart), (1, 1));
        assert_eq!(restart.node_name.as_deref(), Some("gpu-1"));
        assert_eq!(restart.reason, reason);
        assert_eq!(status.node_name.as_deref(), Some("gpu-2"));
        for engine in &status.engines {
            assert_eq!(engine.phase, EnginePhase::Succeeded);
            assert_eq!(engine.reason, None);
        }
        let warnings = world.notices.iter().filter(|notice| notice.is_warning);
        let warnings: Vec<&str> = warnings.map(|notice| notice.reason.as_str()).collect();
        assert_eq!(warnings, [reason, "RoundRestarted"]);
        // Under names of their own, and told that they begin anew.
        for name in ["Pod duel-alpha-r1n2-0f1e2", "Job duel-load-beta-r1n2-0f1e2"] {
            assert!(
                world.log.contains(&format!("made {name}")),
                "{:#?}",
                world.log
            );
        }
        let job = world.observed.job("duel-load-alpha-r1n2-0f1e2").unwrap();
        let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        let words = pod.containers[0].args.clone().unwrap();
        assert!(
            words.windows(2).any(|pair| pair == ["--restart", "1"]),
            "{words:?}"
        );
        assert_eq!(world.observed.pods_of(labels::COMPONENT_HOLDER).count(), 0);
    }
}

#[test]
fn nodes_that_go_one_after_another_end_the_turn_at_last() {
    let mut world = World::two_by_two().with_fault("alpha", 1, Fault::NodeLostUnderLoad);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "PartialFailure");
    assert_eq!(world.status().restarts.len(), MAX_RESTARTS as usize);
    let alpha = &world.status().engines[0];
    assert_eq!(alpha.reason.as_deref(), Some("NodeLost"));
    let message = &world.condition(condition::COMPLETE).unwrap().message;
    assert!(message.starts_with("3 of 4 turns"), "{message}");
}

#[test]
fn the_operator_can_be_killed_at_any_step_of_it() {
    for survivors in 0..4 {
        let mut world = World::two_by_two().with_fault("beta", 1, Fault::NodeLostOnce);
        for _ in 0..300 {
            world.cut_step(survivors);
            // One step alone, so that it is killed after each.
            world.step();
            if has_ended(world.status()) {
                break;
            }
            world.pass(1);
            world.cluster_acts();
        }
        assert_eq!(
            world.reason(condition::COMPLETE),
            "Succeeded",
            "{survivors}"
        );
        assert_eq!(counted(&world), MOVED, "{survivors}");
        assert_eq!(superseded(&world).len(), 2, "{survivors}");
        assert_eq!(world.status().restarts.len(), 1, "{survivors}");
    }
}

#[test]
fn a_node_that_goes_between_two_engines_is_noticed() {
    let mut world = World::two_by_two();
    world.play_until(|world| turn_is(world, 0, EnginePhase::Freeing));
    // Its pods went with it, and their objects too.
    node_is(&mut world, NodeState::Missing);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(counted(&world), MOVED);
    assert_eq!(superseded(&world).len(), 1);
    assert!(
        world.status().restarts[0]
            .message
            .contains("between two engines")
    );
}

#[test]
fn a_node_that_goes_between_two_rounds_costs_no_round() {
    let mut world = World::two_by_two();
    world.play_until(|world| turn_is(world, 1, EnginePhase::Freeing));
    node_is(&mut world, NodeState::Missing);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert!(world.status().restarts.is_empty());
    assert!(superseded(&world).is_empty());
}

#[test]
fn a_node_without_a_word_does_not_hold_the_run() {
    let mut world = World::two_by_two();
    world.play_until(|world| turn_is(world, 1, EnginePhase::Measuring));
    // The kubelet is silent; the taint manager deletes the pods, which nobody can confirm.
    node_is(&mut world, NodeState::NotReady);
    world.settle();
    assert_eq!(
        world.status().turns[1].phase,
        EnginePhase::Measuring,
        "it may come back"
    );
    let stuck = pod::name(world.engine()).to_owned();
    world.stuck.insert(stuck.clone());
    let now = Time(world.now);
    world.pod_mut(&stuck).metadata.deletion_timestamp = Some(now);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(counted(&world), MOVED);
    assert!(world.observed.pod(&stuck).is_some(), "it is still there");
}

#[test]
fn an_engine_that_waits_for_a_node_that_is_no_more_does_not_wait_for_its_deadline() {
    let mut world = World::two_by_two();
    world.play_until(|world| {
        turn_is(world, 1, EnginePhase::Scheduling) && !world.engines().is_empty()
    });
    node_is(&mut world, NodeState::Missing);
    let before = world.now;
    world.play_until(|world| world.status().restarts.len() == 1);
    assert!(world.now.as_second() - before.as_second() < 30);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(counted(&world), MOVED);
}

#[test]
fn where_any_node_will_do_the_round_goes_on() {
    let mut world = World::two_by_two().with_fault("beta", 1, Fault::NodeLostUnderLoad);
    world.run.spec.hardware.same_node = SameNode::Preferred;
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "PartialFailure");
    assert!(world.status().restarts.is_empty());
    assert_eq!(world.status().turns.len(), 4);
}

#[test]
fn a_lost_node_is_no_reason_to_abort_while_the_round_may_begin_anew() {
    let mut world = World::two_by_two().with_fault("beta", 1, Fault::NodeLostOnce);
    world.run.spec.policy.on_engine_failure = OnEngineFailure::Abort;
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(counted(&world), MOVED);
}

#[test]
fn an_external_engine_is_not_paid_for_twice() {
    let mut world = World::two_by_two().with_fault("beta", 1, Fault::NodeLostOnce);
    world.run.spec.engines[0].simulated = None;
    world.run.spec.engines[0].external =
        serde_json::from_str(r#"{"url": "https://llm.example", "protocol": "OpenAiChat"}"#)
            .unwrap();
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(
        counted(&world),
        [
            ("alpha", 1, 0, ""),
            ("beta", 1, 1, "gpu-2"),
            ("beta", 2, 0, "gpu-2"),
            ("alpha", 2, 0, ""),
        ]
    );
    let loads = world
        .log
        .iter()
        .filter(|line| line.contains("load-alpha-r1"));
    assert_eq!(loads.count(), 1, "{:#?}", world.log);
}

#[test]
fn a_run_that_was_suspended_finds_another_node() {
    let mut world = World::two_by_two();
    world.play_until(|world| turn_is(world, 1, EnginePhase::Measuring));
    world.edit(|run| run.spec.suspend = true);
    world.settle();
    world.reap();
    world.settle();
    // Nothing held the node any more.
    node_is(&mut world, NodeState::Missing);
    world.edit(|run| run.spec.suspend = false);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(counted(&world), MOVED);
}
