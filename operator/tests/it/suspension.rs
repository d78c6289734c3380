//! `spec.suspend`, at every phase.

use bakeoff_crds::{
    manifests::labels,
    run::status::{EnginePhase, RunPhase, condition},
};
use bakeoff_operator::pod;

use crate::world::World;

fn suspend(world: &mut World, value: bool) {
    world.edit(|run| run.spec.suspend = value);
}

#[test]
fn a_run_suspended_from_the_start_makes_nothing() {
    let mut world = World::two_by_two();
    world.run.spec.suspend = true;
    world.settle();
    assert!(world.log.is_empty());
    assert_eq!(world.status().phase, RunPhase::Suspended);
    assert_eq!(world.reason(condition::SUSPENDED), "Suspended");
    suspend(&mut world, false);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(
        world.condition(condition::SUSPENDED).unwrap().status,
        "False"
    );
}

#[test]
fn a_suspended_turn_is_freed_and_begins_again() {
    for phase in [
        EnginePhase::Scheduling,
        EnginePhase::Starting,
        EnginePhase::Measuring,
    ] {
        let mut world = World::two_by_two();
        world.play_until(|world| {
            let turns = &world.status().turns;
            turns.len() == 2 && turns[1].phase == phase
        });
        suspend(&mut world, true);
        world.settle();
        world.reap();
        world.settle();
        assert!(world.engines().is_empty(), "{phase:?}");
        assert_eq!(world.observed.pods_of(labels::COMPONENT_HOLDER).count(), 0);
        let at_work = world
            .observed
            .pods_of(labels::COMPONENT_RUNNER)
            .filter(|found| !pod::has_ended(found));
        assert_eq!(at_work.count(), 0, "{phase:?}");
        let turns = &world.status().turns;
        assert_eq!(
            turns.len(),
            1,
            "{phase:?}: what was measured stays, the rest is forgotten"
        );
        assert_eq!(
            world.condition(condition::PROGRESSING).unwrap().status,
            "False"
        );

        world.pass(3600 * 48);
        suspend(&mut world, false);
        world.play();
        assert_eq!(
            world.reason(condition::COMPLETE),
            "Succeeded",
            "a resumed run has all its time"
        );
        let runs_of_beta = world
            .log
            .iter()
            .filter(|line| *line == "made Pod duel-beta-r1-0f1e2");
        assert_eq!(runs_of_beta.count(), 2, "{phase:?}");
    }
}

#[test]
fn a_resumed_turn_waits_for_its_own_earlier_pod_to_go() {
    for phase in [EnginePhase::Starting, EnginePhase::Measuring] {
        let mut world = World::two_by_two();
        world.play_until(|world| {
            let turns = &world.status().turns;
            turns.first().is_some_and(|turn| turn.phase == phase)
        });
        suspend(&mut world, true);
        world.settle();
        suspend(&mut world, false);
        world.settle();
        assert!(pod::is_deleting(world.engine()), "{phase:?}");
        assert_eq!(world.reason(condition::PROGRESSING), "Freeing", "{phase:?}");
        world.play();
        assert_eq!(world.reason(condition::COMPLETE), "Succeeded", "{phase:?}");
    }
}

#[test]
fn a_result_is_not_lost_when_suspended_while_freeing() {
    let mut world = World::two_by_two();
    world.play_until(|world| {
        world
            .status()
            .turns
            .first()
            .is_some_and(|turn| turn.phase == EnginePhase::Freeing)
    });
    suspend(&mut world, true);
    world.settle();
    world.reap();
    suspend(&mut world, false);
    world.play();
    let runs_of_alpha = world
        .log
        .iter()
        .filter(|line| *line == "made Pod duel-alpha-r1-0f1e2");
    assert_eq!(runs_of_alpha.count(), 1, "{:#?}", world.log);
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
}

#[test]
fn preflight_and_reporter_are_cut_and_made_again() {
    for (phase, job) in [
        (RunPhase::Preflight, "made Job duel-preflight-0f1e2"),
        (RunPhase::Reporting, "made Job duel-report-0f1e2"),
    ] {
        let mut world = World::two_by_two();
        world.play_until(|world| world.status().phase == phase);
        suspend(&mut world, true);
        world.settle();
        world.reap();
        suspend(&mut world, false);
        world.play();
        assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
        let times = world.log.iter().filter(|line| *line == job).count();
        assert_eq!(times, 2, "{phase:?}");
    }
}
