//! Whether some node would take the engines, before any is made.

use std::sync::Arc;

use bakeoff_crds::run::status::{RunPhase, condition};
use bakeoff_operator::room::Listed;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use crate::driver::script::{against, call, empty};
use crate::world::{TWO_BY_TWO, World};

/// Two engines that ask for four GPUs each, of one node pool.
fn world() -> World {
    let hardware =
        "hardware: {accelerator: {count: 4}, nodeSelector: {cloud.google.com/gke-nodepool: l4}}";
    let yaml = TWO_BY_TWO
        .replace("  engines:\n", &format!("  {hardware}\n  engines:\n"))
        .replace("simulated: {protocol: OpenAiCompletions}", "profile: vllm")
        .replace("simulated: {protocol: Tgi}", "profile: tgi");
    World::new(&yaml)
}

fn node(gpus: &str) -> Value {
    json!({
        "metadata": {"name": "gpu-1", "labels": {"cloud.google.com/gke-nodepool": "l4"}},
        "status": {"allocatable": {"nvidia.com/gpu": gpus}},
    })
}

fn listed(nodes: &[Value]) -> Option<Arc<Listed>> {
    let node = |node: &Value| serde_json::from_value::<Node>(node.clone()).unwrap();
    Some(Arc::new(Listed {
        nodes: nodes.iter().map(node).collect(),
        is_whole: true,
    }))
}

#[test]
fn a_pool_without_a_node_is_told_of_and_waited_for() {
    let mut world = world();
    world.observed.room = listed(&[]);
    world.play();
    assert_eq!(world.status().phase, RunPhase::Complete);
    let passed = world.condition(condition::PREFLIGHT_PASSED).unwrap();
    assert_eq!((&*passed.status, &*passed.reason), ("True", "NoNodeYet"));
    let says = "no node has the labels of hardware.nodeSelector. The first engine waits for the \
                autoscaler, for policy.timeouts.scheduling (30m) at the most";
    assert!(passed.message.contains(says), "{}", passed.message);
    let told = world
        .notices
        .iter()
        .find(|it| it.reason == "PreflightPassed");
    assert!(told.unwrap().note.contains(says));
}

#[test]
fn a_node_that_fits_is_nothing_to_tell() {
    for room in [listed(&[node("4")]), None] {
        let mut world = world();
        world.observed.room = room;
        world.play();
        assert_eq!(world.reason(condition::PREFLIGHT_PASSED), "Passed");
        assert_eq!(world.status().phase, RunPhase::Complete);
    }
}

#[test]
fn a_pool_whose_nodes_are_too_small_ends_the_run_before_anything_is_made() {
    let mut world = world();
    world.observed.room = listed(&[node("2")]);
    world.play();
    assert_eq!(world.reason(condition::FAILED), "NodesTooSmall");
    let failed = world.condition(condition::FAILED).unwrap();
    let says = "asks for 4 nvidia.com/gpu (hardware.accelerator.count)";
    assert!(failed.message.contains(says), "{}", failed.message);
    let preflight = world.condition(condition::PREFLIGHT_PASSED).unwrap();
    let found = (&*preflight.status, &*preflight.reason);
    assert_eq!(found, ("False", "NodesTooSmall"));
    let pods = world.log.iter().filter(|line| line.starts_with("made Pod"));
    assert_eq!(pods.count(), 0, "{:?}", world.log);
    assert!(world.observed.jobs.is_empty(), "{:?}", world.log);
}

#[tokio::test]
async fn nodes_are_listed_by_the_runs_selector_until_the_preflight_is_done() {
    let mut world = world();
    world.step();
    let (result, bodies) = against(vec![
        call(
            "GET",
            crate::driver::RUN,
            serde_json::to_value(&world.run).unwrap(),
        ),
        call(
            "GET",
            crate::driver::PLAN,
            crate::driver::plan_config_map(&world),
        ),
        call("GET", "/apis", json!({ "groups": [] })),
        empty(crate::driver::PODS),
        empty(crate::driver::JOBS),
        call(
            "GET",
            "/api/v1/nodes?&labelSelector=cloud.google.com%2Fgke-nodepool%3Dl4&limit=500",
            json!({ "metadata": {}, "items": [node("2")] }),
        ),
        call(
            "PATCH",
            &format!("{}/status", crate::driver::RUN),
            serde_json::to_value(&world.run).unwrap(),
        ),
        call("POST", crate::driver::EVENTS, json!({})),
    ])
    .await;
    assert_eq!(
        result,
        Ok(Action::requeue(std::time::Duration::from_secs(1)))
    );
    let conditions = bodies[6]["status"]["conditions"].as_array().unwrap();
    let failed = conditions.iter().find(|it| it["type"] == condition::FAILED);
    assert_eq!(failed.unwrap()["reason"], "NodesTooSmall");
}
