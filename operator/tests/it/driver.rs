//! Reconcile against a scripted API server: exactly these calls, in this order.

pub mod script;

use std::time::Duration;

use bakeoff_crds::run::status::{EnginePhase, condition};
use bakeoff_operator::{lease::Leadership, observe::nodes::NodeRights, pod};
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use self::script::{Call, against, against_with, call, empty, failing, not_found};
use crate::world::{World, schedule, waiting};

pub const RUN: &str = "/apis/bakeoff.dev/v1alpha1/namespaces/bench/benchmarkruns/duel";
pub const PLAN: &str = "/api/v1/namespaces/bench/configmaps/duel-plan-0f1e2";
pub const PODS: &str = "/api/v1/namespaces/bench/pods";
pub const JOBS: &str = "/apis/batch/v1/namespaces/bench/jobs";
const POD_EVENTS: &str = "/api/v1/namespaces/bench/events";
pub const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/bench/events";

fn as_json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[tokio::test]
async fn a_fresh_run_is_planned_and_says_so() {
    let mut world = World::two_by_two();
    world.run.metadata.resource_version = Some("41".into());
    let run = as_json(&world.run);
    let (result, bodies) = against(vec![
        call("GET", RUN, run.clone()),
        not_found(PLAN),
        empty("/apis/bakeoff.dev/v1alpha1/engineprofiles"),
        empty(PODS),
        empty(JOBS),
        call(
            "PATCH",
            PLAN,
            json!({ "metadata": { "name": "duel-plan-0f1e2" } }),
        ),
        call("PATCH", &format!("{RUN}/status"), run),
        call("POST", EVENTS, json!({})),
    ])
    .await;
    assert_eq!(result, Ok(Action::requeue(Duration::from_secs(10))));
    let config_map = &bodies[5];
    assert_eq!(config_map["immutable"], true);
    assert_eq!(
        config_map["metadata"]["ownerReferences"][0]["kind"],
        "BenchmarkRun"
    );
    let status = &bodies[6];
    assert_eq!(
        status["metadata"]["uid"],
        "0f1e2d3c-aaaa-bbbb-cccc-000000000001"
    );
    // It holds for the run as it was read, and for no later one.
    assert_eq!(status["metadata"]["resourceVersion"], "41");
    assert_eq!(status["status"]["conditions"][0]["type"], "Accepted");
    assert_eq!(bodies[7]["reason"], "Accepted");
}

#[tokio::test]
async fn nothing_is_written_when_nothing_changed() {
    let mut world = World::two_by_two();
    world.settle();
    let (result, _) = against(vec![
        call("GET", RUN, as_json(&world.run)),
        call("GET", PLAN, plan_config_map(&world)),
        call("GET", "/apis", json!({ "groups": [] })),
        call(
            "GET",
            PODS,
            json!({ "metadata": {}, "items": world.observed.pods }),
        ),
        call(
            "GET",
            JOBS,
            json!({ "metadata": {}, "items": world.observed.jobs }),
        ),
    ])
    .await;
    assert_eq!(result, Ok(Action::requeue(Duration::from_secs(10))));
}

#[tokio::test]
async fn a_refused_object_is_told_in_the_status_and_tried_again() {
    let mut world = World::two_by_two();
    world.step();
    let refusal = "exceeded quota: count/jobs.batch";
    let (result, bodies) = against(vec![
        call("GET", RUN, as_json(&world.run)),
        call("GET", PLAN, plan_config_map(&world)),
        call("GET", "/apis", json!({ "groups": [] })),
        empty(PODS),
        empty(JOBS),
        failing(
            "PATCH",
            &format!("{JOBS}/duel-preflight-0f1e2"),
            403,
            "Forbidden",
            refusal,
        ),
        call("PATCH", &format!("{RUN}/status"), as_json(&world.run)),
        call("POST", EVENTS, json!({})),
    ])
    .await;
    assert!(result.unwrap_err().contains(refusal));
    let conditions = bodies[6]["status"]["conditions"].as_array().unwrap();
    let progressing = conditions
        .iter()
        .find(|found| found["type"] == condition::PROGRESSING)
        .unwrap();
    assert_eq!(progressing["reason"], "ApplyFailed");
    assert!(progressing["message"].as_str().unwrap().contains(refusal));
    assert_eq!(
        bodies[6]["status"]["phase"], "Pending",
        "it did not get further"
    );
}

#[tokio::test]
async fn an_event_that_cannot_be_published_stops_nothing() {
    let run = as_json(&World::two_by_two().run);
    let (result, _) = against(vec![
        call("GET", RUN, run.clone()),
        not_found(PLAN),
        // Without the right to read EngineProfiles, the built-in ones serve.
        failing(
            "GET",
            "/apis/bakeoff.dev/v1alpha1/engineprofiles",
            403,
            "Forbidden",
            "no",
        ),
        empty(PODS),
        empty(JOBS),
        call(
            "PATCH",
            PLAN,
            json!({ "metadata": { "name": "duel-plan-0f1e2" } }),
        ),
        call("PATCH", &format!("{RUN}/status"), run),
        failing("POST", EVENTS, 403, "Forbidden", "no events here"),
    ])
    .await;
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test]
async fn deletes_name_the_object_that_was_seen() {
    let mut world = World::two_by_two();
    world.play_until(|world| {
        world
            .observed
            .pods
            .iter()
            .any(|pod| pod.spec.as_ref().unwrap().node_name.is_some())
    });
    world.edit(|run| run.spec.suspend = true);
    let job = world.preflight();
    let uid = world.observed.job(&job).unwrap().metadata.uid.clone();
    let (result, bodies) = against(vec![
        call("GET", RUN, as_json(&world.run)),
        call("GET", PLAN, plan_config_map(&world)),
        call("GET", "/apis", json!({ "groups": [] })),
        // Without an address, no progress is asked for.
        empty(PODS),
        call(
            "GET",
            JOBS,
            json!({ "metadata": {}, "items": world.observed.jobs }),
        ),
        // What is deleted is in the status first.
        call("PATCH", &format!("{RUN}/status"), as_json(&world.run)),
        call("POST", EVENTS, json!({})),
        // Gone already, or replaced: both count as deleted.
        failing(
            "DELETE",
            &format!("{JOBS}/{job}"),
            409,
            "Conflict",
            "uid differs",
        ),
    ])
    .await;
    // Should nothing be heard of what was deleted, it is looked for.
    assert_eq!(result, Ok(Action::requeue(Duration::from_secs(10))));
    assert_eq!(bodies[7]["preconditions"]["uid"], json!(uid));
    assert_eq!(bodies[7]["propagationPolicy"], "Background");
}

/// The calls of a look at a run whose first engine is under load, up to those for its nodes. No
/// runner has an address, so that no progress is asked for.
fn look_under_load(world: &World) -> Vec<Call> {
    let engines = world.observed.pods_of("engine").collect::<Vec<_>>();
    vec![
        call("GET", RUN, as_json(&world.run)),
        call("GET", PLAN, plan_config_map(world)),
        call("GET", "/apis", json!({ "groups": [] })),
        call("GET", PODS, json!({ "metadata": {}, "items": engines })),
        call(
            "GET",
            JOBS,
            json!({ "metadata": {}, "items": world.observed.jobs }),
        ),
    ]
}

fn under_load() -> World {
    let mut world = World::two_by_two();
    world.play_until(|world| {
        let turn = world.status().turns.first();
        turn.is_some_and(|turn| turn.phase == EnginePhase::Measuring)
    });
    world
}

#[tokio::test]
async fn who_shares_the_node_of_an_engine_under_load_is_recorded() {
    let world = under_load();
    let tenant = json!({
        "metadata": { "name": "batch-0", "namespace": "team" },
        "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1500m" } } }] },
    });
    let mut script = look_under_load(&world);
    script.extend([
        call("GET", "/api/v1/nodes/gpu-1", ready_node()),
        call(
            "GET",
            "/api/v1/pods",
            json!({ "metadata": {}, "items": [tenant] }),
        ),
        // The holder is not in this look, so it is made again.
        call(
            "PATCH",
            &format!("{PODS}/duel-holder-0f1e2"),
            json!({ "metadata": { "name": "h" } }),
        ),
        call("PATCH", &format!("{RUN}/status"), as_json(&world.run)),
    ]);
    let status = script.len() - 1;
    let (result, bodies) = against(script).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(
        bodies[status]["status"]["turns"][0]["neighbours"],
        json!({ "pods": 1, "cpuMillis": 1500, "accelerators": 0, "names": ["team/batch-0"] })
    );
    assert_eq!(
        bodies[status]["status"]["nodes"],
        json!([{ "name": "gpu-1", "accelerator": "NVIDIA-L4" }])
    );
}

#[tokio::test]
async fn without_rights_on_nodes_a_run_goes_on() {
    let world = under_load();
    let holder = || {
        call(
            "PATCH",
            &format!("{PODS}/duel-holder-0f1e2"),
            json!({ "metadata": { "name": "h" } }),
        )
    };
    // Refused by the API server.
    let mut script = look_under_load(&world);
    script.extend([
        failing("GET", "/api/v1/nodes/gpu-1", 403, "Forbidden", "no nodes"),
        failing("GET", "/api/v1/pods", 403, "Forbidden", "no pods"),
        holder(),
    ]);
    let (result, _) = against(script).await;
    assert!(result.is_ok(), "{result:?}");
    // Left out by the installation: not even asked for.
    let mut script = look_under_load(&world);
    script.push(holder());
    let rights = NodeRights {
        nodes: false,
        neighbours: false,
    };
    let (result, _) = against_with(script, rights, Leadership::always()).await;
    assert!(result.is_ok(), "{result:?}");
}

/// A preflight whose pod has had a node for years, and does not start.
fn not_set_up() -> (World, Vec<Call>) {
    let mut world = World::two_by_two();
    world.settle();
    let long_ago = "2020-01-01T00:00:00Z".parse().unwrap();
    let name = pod::name(&world.observed.pods[0]).to_owned();
    schedule(world.pod_mut(&name), "cpu-1", long_ago);
    waiting(world.pod_mut(&name), "ContainerCreating", "");
    let script = vec![
        call("GET", RUN, as_json(&world.run)),
        call("GET", PLAN, plan_config_map(&world)),
        call("GET", "/apis", json!({ "groups": [] })),
        call(
            "GET",
            PODS,
            json!({ "metadata": {}, "items": as_json(&world.observed.pods) }),
        ),
    ];
    (world, script)
}

#[tokio::test]
async fn a_pod_that_does_not_start_is_asked_why() {
    let says = "MountVolume.SetUp failed for volume \"results\" : no such export";
    let (world, mut script) = not_set_up();
    let event = json!({ "metadata": {}, "involvedObject": {}, "reason": "FailedMount", "message": says,
        "lastTimestamp": "2020-01-01T00:01:00Z" });
    let status = script.len() + 2;
    script.extend([
        call(
            "GET",
            JOBS,
            json!({ "metadata": {}, "items": as_json(&world.observed.jobs) }),
        ),
        call(
            "GET",
            POD_EVENTS,
            json!({ "metadata": {}, "items": [event] }),
        ),
        call("PATCH", &format!("{RUN}/status"), as_json(&world.run)),
        call("POST", EVENTS, json!({})),
        call("DELETE", &format!("{JOBS}/duel-preflight-0f1e2"), json!({})),
    ]);
    let (_, bodies) = against(script).await;
    let conditions = bodies[status]["status"]["conditions"].as_array().unwrap();
    let failed = conditions.iter().find(|found| found["type"] == "Failed");
    let failed = failed.unwrap();
    assert_eq!(failed["reason"], "VolumeNotMounted");
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("no such export")
    );
}

#[tokio::test]
async fn without_the_right_on_events_a_run_goes_on() {
    let (world, mut script) = not_set_up();
    script.extend([
        call(
            "GET",
            JOBS,
            json!({ "metadata": {}, "items": as_json(&world.observed.jobs) }),
        ),
        failing("GET", POD_EVENTS, 403, "Forbidden", "no events"),
    ]);
    let (result, _) = against(script).await;
    assert!(result.is_ok(), "{result:?}");
}

fn ready_node() -> Value {
    json!({
        "metadata": { "name": "gpu-1", "labels": { "nvidia.com/gpu.product": "NVIDIA-L4" } },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

#[tokio::test]
async fn an_operator_that_is_not_the_leader_writes_nothing() {
    let rights = NodeRights {
        nodes: false,
        neighbours: false,
    };
    // It reads; neither plan nor status nor event is written.
    let script = vec![
        call("GET", RUN, as_json(&World::two_by_two().run)),
        not_found(PLAN),
        empty("/apis/bakeoff.dev/v1alpha1/engineprofiles"),
        empty(PODS),
        empty(JOBS),
    ];
    let (result, _) = against_with(script, rights, Leadership::none()).await;
    assert!(result.unwrap_err().contains("does not hold its Lease"));
}

#[tokio::test]
async fn a_run_that_is_gone_is_no_error() {
    let (result, _) = against(vec![not_found(RUN)]).await;
    assert_eq!(result, Ok(Action::await_change()));
}

pub fn plan_config_map(world: &World) -> Value {
    json!({
        "metadata": { "name": "duel-plan-0f1e2" },
        "data": { "plan.json": serde_json::to_string(world.plan()).unwrap() },
    })
}
