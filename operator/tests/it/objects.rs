//! Engines that are other objects than Pods: the object says when it is ready, its pods say what goes
//! wrong, and the next engine waits until both are gone.

use bakeoff_crds::{
    manifests::labels,
    run::status::{EnginePhase, TurnStatus, condition},
    summary::reason,
};
use bakeoff_operator::{
    child::Child,
    observed::{Unusable, UnusableKind},
    pod,
};
use kube::core::ApiResource;
use serde_json::json;

use crate::world::{
    Controller, Fault, OBJECT_AND_POD, TWO_NODES, World, running, set_condition, terminated,
};

fn measuring(world: &World) -> bool {
    let last = world.status().turns.last();
    last.is_some_and(|turn| turn.phase == EnginePhase::Measuring)
}

fn failed(world: &World) -> &TurnStatus {
    let mut turns = world.status().turns.iter();
    turns
        .find(|turn| turn.phase == EnginePhase::Failed)
        .unwrap_or_else(|| panic!("nothing failed: {:#?}", world.status().turns))
}

#[test]
fn a_ray_service_and_a_pod_take_turns() {
    let mut world = World::new(OBJECT_AND_POD);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    let status = world.status();
    assert_eq!(status.turns.len(), 4);
    for turn in &status.turns {
        assert_eq!(turn.phase, EnginePhase::Succeeded, "{turn:?}");
        assert_eq!(turn.node_name.as_deref(), Some("gpu-1"));
        assert!(turn.image_id.is_some() && turn.ready_time.is_some());
        assert_eq!(turn.object_name.is_some(), turn.engine == "alpha");
        assert_eq!(turn.pods.len(), usize::from(turn.engine == "alpha"));
    }
    // The object goes, its pods after it, and only then comes the next engine.
    let at = |what: &str| {
        let mut log = world.log.iter();
        log.position(|line| line == what)
            .unwrap_or_else(|| panic!("no {what}: {:#?}", world.log))
    };
    let order = [
        "made Service duel-alpha-r1-0f1e2",
        "made RayService duel-alpha-r1-0f1e2",
        "made Job duel-load-alpha-r1-0f1e2",
        "deleted RayService duel-alpha-r1-0f1e2",
        "gone duel-alpha-r1-0f1e2",
        "gone duel-alpha-r1-0f1e2-0",
        "made Pod duel-beta-r1-0f1e2",
    ];
    let places: Vec<_> = order.iter().map(|what| at(what)).collect();
    assert!(places.is_sorted(), "{places:?}");
    // A controller would only make them anew.
    let deletes_a_part = |line: &String| line.starts_with("deleted Pod duel-alpha");
    assert!(!world.log.iter().any(deletes_a_part), "{:#?}", world.log);
    assert!(world.observed.objects.is_empty());
    assert_eq!(world.observed.pods_of(labels::COMPONENT_HOLDER).count(), 0);
}

#[test]
fn the_object_decides_when_its_engine_is_ready() {
    let mut world = World::new(OBJECT_AND_POD);
    world.controller = Controller::NeverSaysReady;
    world
        .play_until(|world| !world.engines().is_empty() && pod::ready_at(world.engine()).is_some());
    // Its pod is ready, and that says nothing.
    world.settle();
    let job = "duel-load-alpha-r1-0f1e2";
    assert!(world.observed.job(job).is_none());
    assert_eq!(world.status().turns[0].phase, EnginePhase::Starting);
    world.controller = Controller::Works;
    world.cluster_acts();
    world.settle();
    let job = world.observed.job(job).unwrap();
    // A Prometheus knows its pods by names that the controller chose.
    let runner = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let args = runner.containers[0].args.as_ref().unwrap();
    let told = [
        "--engine-pod".to_owned(),
        "duel-alpha-r1-0f1e2-0".to_owned(),
    ];
    assert!(args.ends_with(&told), "{args:?}");
    // And of the two times it is the object's that is written down.
    let ready = &world.status().turns[0].ready_time;
    assert_eq!(ready.as_ref().unwrap().0, world.now);
}

#[test]
fn an_object_that_never_says_so_is_given_up_with_what_it_says() {
    let mut world = World::new(OBJECT_AND_POD);
    world.controller = Controller::NeverSaysReady;
    world
        .play_until(|world| !world.engines().is_empty() && pod::ready_at(world.engine()).is_some());
    world.pass(4 * 3600);
    world.settle();
    world.controller = Controller::Works;
    world.play();
    let turn = failed(&world);
    assert_eq!(turn.reason.as_deref(), Some(reason::READINESS_TIMEOUT));
    let message = turn.message.as_deref().unwrap();
    assert!(
        message
            .contains("RayService duel-alpha-r1-0f1e2 was not ready within policy.timeouts.ready")
            && message.contains("it has no condition Ready yet"),
        "{message}"
    );
    assert_eq!(world.status().turns[1].phase, EnginePhase::Succeeded);
}

#[test]
fn without_a_controller_nothing_comes_of_an_object() {
    let mut world = World::new(OBJECT_AND_POD);
    world.controller = Controller::IsAway;
    world.play_until(|world| !world.observed.objects.is_empty());
    world.pass(4 * 3600);
    world.settle();
    world.controller = Controller::Works;
    world.play();
    let turn = failed(&world);
    assert_eq!(turn.reason.as_deref(), Some(reason::UNSCHEDULABLE));
    let message = turn.message.as_deref().unwrap();
    assert!(
        message.contains("had no pod within") && message.contains("controller runs"),
        "{message}"
    );
    assert!(world.observed.objects.is_empty(), "it stays behind");
}

#[test]
fn a_kind_that_cannot_be_used_is_told_before_anything_is_spent() {
    for (why, expected, remedy) in [
        (
            Unusable::NotInstalled,
            reason::ENGINE_KIND_NOT_INSTALLED,
            "the cluster has no RayService of ray.io/v1. Install",
        ),
        (
            Unusable::Forbidden,
            reason::ENGINE_KIND_FORBIDDEN,
            "rbac.engineKinds=[{group: ray.io, resource: rayservices}]",
        ),
    ] {
        let mut world = World::new(OBJECT_AND_POD);
        world.step();
        let object = world.plan().engines[0].object().unwrap();
        let api: ApiResource = object.api();
        world.observed.unusable_kinds = vec![UnusableKind { api, why }];
        world.play();
        assert_eq!(world.reason(condition::FAILED), expected);
        let message = &world.condition(condition::FAILED).unwrap().message;
        assert!(message.contains(remedy), "{message}");
        let made = world.log.iter().filter(|line| line.starts_with("made"));
        assert_eq!(made.count(), 1, "more than the plan: {:#?}", world.log);
    }
}

#[test]
fn what_was_there_and_can_no_longer_be_listed_is_not_taken_for_gone() {
    let mut world = World::new(OBJECT_AND_POD);
    world.play_until(measuring);
    let api = world.plan().engines[0].object().unwrap().api();
    let objects = std::mem::take(&mut world.observed.objects);
    world.observed.unusable_kinds = vec![UnusableKind {
        api,
        why: Unusable::Forbidden,
    }];
    world.settle();
    let turn = &world.status().turns[0];
    assert_eq!(turn.reason.as_deref(), Some(reason::ENGINE_KIND_FORBIDDEN));
    assert_eq!(turn.phase, EnginePhase::Freeing);
    // The right is back, and the run goes on.
    world.observed.objects = objects;
    world.observed.unusable_kinds.clear();
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "PartialFailure");
}

#[test]
fn a_deleted_or_replaced_object_costs_the_turn() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 3] = [
        ("is gone before its turn was over", |world| {
            world.observed.objects.clear();
        }),
        ("was replaced by another of its name", |world| {
            world.observed.objects[0].object.metadata.uid = Some("another".into());
        }),
        (
            "is gone before its turn was over: its controller",
            |world| {
                let name = pod::name(world.engine()).to_owned();
                world.observed.pods.retain(|found| pod::name(found) != name);
            },
        ),
    ];
    for (says, change) in changes {
        let mut world = World::new(OBJECT_AND_POD);
        world.play_until(measuring);
        change(&mut world);
        world.settle();
        let turn = &world.status().turns[0];
        assert_eq!(turn.reason.as_deref(), Some(reason::ENGINE_RESTARTED));
        let message = turn.message.as_deref().unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_crash_at_the_start_is_the_engines_though_its_controller_starts_it_anew() {
    let mut world = World::new(OBJECT_AND_POD);
    world.controller = Controller::NeverSaysReady;
    world
        .play_until(|world| !world.engines().is_empty() && pod::ready_at(world.engine()).is_some());
    let name = pod::name(world.engine()).to_owned();
    let now = world.now;
    let found = world.pod_mut(&name);
    terminated(found, 1, "Error", "ValueError: bad flag", now);
    let before = found
        .status
        .as_ref()
        .unwrap()
        .container_statuses
        .as_ref()
        .unwrap()[0]
        .clone();
    running(found, now);
    let status = &mut found
        .status
        .as_mut()
        .unwrap()
        .container_statuses
        .as_mut()
        .unwrap()[0];
    status.last_state = before.state;
    status.restart_count = 1;
    world.settle();
    let turn = &world.status().turns[0];
    assert_eq!(turn.reason.as_deref(), Some(reason::ENGINE_CRASHED));
    assert!(turn.message.as_deref().unwrap().contains("bad flag"));
}

#[test]
fn an_engine_over_two_nodes_keeps_both() {
    let mut world = World::new(TWO_NODES);
    world.play_until(measuring);
    let status = world.status();
    assert_eq!(status.node_name.as_deref(), Some("gpu-1"));
    assert_eq!(status.turns[0].nodes(), ["gpu-1", "gpu-2"]);
    world.play_until(|world| {
        world
            .log
            .iter()
            .any(|line| line.contains("made LeaderWorkerSet duel-beta"))
    });
    // The second engine's pods may go to these two and to no other, each to one of its own.
    for found in world.engines() {
        let affinity = found.spec.as_ref().unwrap().affinity.clone().unwrap();
        let terms = json!(affinity.node_affinity)
            .pointer("/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms")
            .cloned()
            .unwrap();
        let node = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        assert_eq!(terms, json!([node("gpu-1"), node("gpu-2")]));
        assert!(affinity.pod_anti_affinity.is_some());
    }
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
}

#[test]
fn the_end_of_a_worker_is_the_engines_failure() {
    let mut world = World::new(TWO_NODES);
    world.play_until(measuring);
    let worker = world.observed.pods_of_object("duel-alpha-r1-0f1e2")[1].clone();
    assert_eq!(pod::label(&worker, labels::POD), Some("worker"));
    let (name, now) = (pod::name(&worker).to_owned(), world.now);
    terminated(world.pod_mut(&name), 137, "OOMKilled", "", now);
    world.settle();
    let turn = &world.status().turns[0];
    assert_eq!(turn.reason.as_deref(), Some(reason::ENGINE_OOM_KILLED));
    assert!(
        turn.message
            .as_deref()
            .unwrap()
            .contains("container worker")
    );
}

#[test]
fn a_workers_lost_node_has_the_round_begin_anew() {
    let mut world = World::new(TWO_NODES);
    world.play_until(measuring);
    let worker = pod::name(world.observed.pods_of_object("duel-alpha-r1-0f1e2")[1]).to_owned();
    let now = world.now;
    let found = world.pod_mut(&worker);
    set_condition(
        found,
        "DisruptionTarget",
        "DeletionByTaintManager",
        "node is gone",
        now,
    );
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    let status = world.status();
    assert_eq!(status.restarts.len(), 1);
    assert_eq!(status.turns[0].reason.as_deref(), Some(reason::NODE_LOST));
    let again: Vec<_> = status.turns[1].nodes();
    assert_eq!(again, ["gpu-11", "gpu-12"]);
}

#[test]
fn a_kept_engine_stays_with_its_object() {
    let yaml = OBJECT_AND_POD.replace(
        "policy: {rounds: 2}",
        "policy: {rounds: 2}\n  cleanup: {engines: OnSuccess}",
    );
    let mut world = World::new(&yaml).with_fault("alpha", 2, Fault::RunnerCrash);
    world.play();
    let last = world.status().turns.last().unwrap();
    assert_eq!(
        (last.engine.as_str(), last.phase),
        ("alpha", EnginePhase::Failed)
    );
    assert_eq!(world.observed.objects.len(), 1, "{:#?}", world.log);
}

#[test]
fn suspension_frees_the_object_and_its_pods() {
    let mut world = World::new(OBJECT_AND_POD);
    world.play_until(measuring);
    world.edit(|run| run.spec.suspend = true);
    world.settle();
    for _ in 0..3 {
        world.cluster_acts();
        world.settle();
    }
    assert!(world.observed.objects.is_empty() && world.engines().is_empty());
    world.edit(|run| run.spec.suspend = false);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
}

#[test]
fn an_object_is_applied_as_its_kind() {
    let mut world = World::new(OBJECT_AND_POD);
    let mut applied = None;
    for _ in 0..200 {
        let decision = world.step();
        applied = decision.apply.into_iter().find_map(|child| match child {
            Child::Object(api, object) => Some((api, object)),
            _ => None,
        });
        if applied.is_some() {
            break;
        }
        world.pass(1);
        world.cluster_acts();
    }
    let (api, object) = applied.unwrap();
    assert_eq!(
        (api.group.as_str(), api.plural.as_str()),
        ("ray.io", "rayservices")
    );
    let types = object.types.unwrap();
    assert_eq!(
        (types.api_version.as_str(), types.kind.as_str()),
        ("ray.io/v1", "RayService")
    );
    let template = object
        .data
        .pointer("/spec/rayClusterConfig/headGroupSpec/template")
        .unwrap();
    assert_eq!(template["metadata"]["labels"][labels::POD], "engine");
    assert_eq!(template["spec"]["containers"][0]["name"], "engine");
}
