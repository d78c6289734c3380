//! What stays after the end, and for how long.

use bakeoff_crds::run::{CleanupEngines, status::condition};

use crate::world::{Fault, World};

fn one_engine(policy: CleanupEngines) -> World {
    let mut world = World::two_by_two();
    world.run.spec.policy.rounds = 1;
    world.run.spec.engines.truncate(1);
    world.run.spec.cleanup.engines = policy;
    world
}

#[test]
fn the_last_engine_stays_where_the_policy_says_so() {
    use CleanupEngines::{Always, Never, OnSuccess};
    for (policy, fails, stays) in [
        (Always, false, 0),
        (Always, true, 0),
        (OnSuccess, false, 0),
        (OnSuccess, true, 1),
        (Never, false, 1),
        (Never, true, 1),
    ] {
        let mut world = one_engine(policy);
        if fails {
            world = world.with_fault("alpha", 1, Fault::CrashAtStart);
        }
        world.play();
        assert_eq!(world.engines().len(), stays, "{policy:?}, fails: {fails}");
        // The policy can be changed after the end.
        world.edit(|run| run.spec.cleanup.engines = Always);
        world.settle();
        world.reap();
        assert_eq!(world.engines().len(), 0, "{policy:?}, fails: {fails}");
    }
}

#[test]
fn a_kept_failure_makes_way_for_the_next_engine() {
    let mut world = World::two_by_two().with_fault("alpha", 1, Fault::CrashAtStart);
    world.run.spec.cleanup.engines = CleanupEngines::OnSuccess;
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "PartialFailure");
    assert_eq!(world.engines().len(), 0);
}

#[test]
fn a_complete_run_is_deleted_when_its_time_is_over_and_not_before() {
    let mut world = World::two_by_two();
    world.run.spec.cleanup.ttl_after_finished = Some("1h".parse().unwrap());
    world.play();
    let decision = world.step();
    assert!(decision.delete.is_empty());
    assert!(decision.requeue.unwrap().as_secs() <= 3600);
    world.pass(3600);
    world.step();
    assert_eq!(world.log.last().unwrap(), "deleted BenchmarkRun duel");
}

#[test]
fn a_failed_run_is_never_deleted_by_time() {
    let mut world = World::two_by_two();
    world.run.spec.cleanup.ttl_after_finished = Some("1h".parse().unwrap());
    world.run.spec.output.uri = "file:///tmp/x".into();
    world.play();
    world.pass(24 * 3600);
    let decision = world.step();
    assert!(
        decision.delete.is_empty() && decision.requeue.is_none(),
        "{decision:?}"
    );
}

#[test]
fn nothing_is_added_to_a_run_that_is_being_deleted() {
    let mut world = World::two_by_two();
    world.play_until(|world| world.status().turns.len() == 2);
    world.run.metadata.deletion_timestamp = Some(
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now),
    );
    world.reap();
    let decision = world.step();
    assert!(
        decision.apply.is_empty() && decision.delete.is_empty(),
        "{decision:?}"
    );
}
