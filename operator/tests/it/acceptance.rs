//! From a spec to a plan, or to a reason why not.

use bakeoff_crds::run::status::{RunPhase, condition};
use bakeoff_operator::observed::StoredPlan;

use crate::world::World;

#[test]
fn the_plan_is_stored_before_anything_else() {
    let mut world = World::two_by_two();
    world.step();
    assert_eq!(world.log, ["made ConfigMap duel-plan-0f1e2"]);
    assert_eq!(world.reason(condition::ACCEPTED), "Planned");
    assert_eq!(
        world.status().plan_config_map.as_deref(),
        Some("duel-plan-0f1e2")
    );
    assert_eq!(world.status().engines.len(), 2);
    assert_eq!(world.plan().runner_image, "registry.test/bakeoff:1");
}

#[test]
fn a_stored_plan_outlives_changes_of_the_operator_and_of_profiles() {
    let mut world = World::two_by_two();
    world.cut_step(1);
    world.observed.profiles = None;
    world.step();
    assert_eq!(world.reason(condition::ACCEPTED), "Planned");
    assert_eq!(
        world.log,
        ["made ConfigMap duel-plan-0f1e2"],
        "not planned anew"
    );
}

#[test]
fn an_unknown_profile_is_named() {
    let mut world = World::two_by_two();
    world.run.spec.engines[1].simulated = None;
    world.run.spec.engines[1].profile = Some("warp-drive".into());
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "ProfileNotFound");
    assert_eq!(
        world.condition(condition::ACCEPTED).unwrap().status,
        "False"
    );
    let message = &world.condition(condition::FAILED).unwrap().message;
    assert!(
        message.contains("warp-drive") && message.contains("spec.engines[1]"),
        "{message}"
    );
    assert!(world.log.is_empty());
}

#[test]
fn a_malformed_profile_is_not_a_missing_one() {
    let mut world = World::two_by_two();
    world.run.spec.engines[1].simulated = None;
    world.run.spec.engines[1].profile = Some("vllm".into());
    world.observed.unreadable_profiles = vec![("vllm".into(), "missing field `port`".into())];
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "InvalidSpec");
    let message = &world.condition(condition::FAILED).unwrap().message;
    assert!(message.contains("missing field `port`"), "{message}");
}

#[test]
fn a_rule_that_the_schema_cannot_say_is_refused() {
    let mut world = World::two_by_two();
    world.run.spec.output.uri = "file:///tmp/x".into();
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "InvalidSpec");
    assert_eq!(world.status().phase, RunPhase::Failed);
}

#[test]
fn a_run_never_goes_on_without_its_plan() {
    for (plan, reason) in [
        (StoredPlan::Missing, "ConfigMapNotFound"),
        (StoredPlan::Unreadable("bad JSON".into()), "InvalidSpec"),
    ] {
        let mut world = World::two_by_two();
        world.play_until(|world| world.status().phase == RunPhase::Running);
        world.observed.plan = plan;
        world.settle();
        assert_eq!(world.reason(condition::FAILED), reason);
    }
}
