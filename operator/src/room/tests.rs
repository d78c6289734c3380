use bakeoff_crds::{
    BenchmarkRun,
    plan::{Place, PlanSettings, resolve},
    profile::ProfileSet,
};
use serde_json::{Value, json};

use super::*;

const POOL: &str = "cloud.google.com/gke-nodepool";

fn plan(hardware: &Value) -> Plan {
    let run = json!({
        "apiVersion": "bakeoff.dev/v1alpha1", "kind": "BenchmarkRun",
        "metadata": {"name": "room", "namespace": "bench"},
        "spec": {
            "model": {"id": "demo/model"},
            "hardware": hardware,
            "engines": [{"name": "one", "profile": "vllm"}],
            "workload": {"prompts": {"inline": ["one"]}, "sweep": {"concurrency": [1]}},
            "output": {"uri": "s3://results"},
        },
    });
    let run: BenchmarkRun = serde_json::from_value(run).unwrap();
    let settings = PlanSettings {
        runner_image: "runner".into(),
        place: Place::Cluster,
    };
    resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
}

fn node(labels: &Value, gpus: u32, spec: &Value) -> Node {
    let allocatable = match gpus {
        0 => json!({"cpu": "8"}),
        gpus => json!({"cpu": "8", "nvidia.com/gpu": gpus.to_string()}),
    };
    serde_json::from_value(json!({
        "metadata": {"name": "node-1", "labels": labels},
        "spec": spec, "status": {"allocatable": allocatable},
    }))
    .unwrap()
}

fn room(hardware: &Value, nodes: Vec<Node>) -> Option<Room> {
    let listed = Listed {
        nodes,
        is_whole: true,
    };
    of(&plan(hardware), &listed)
}

fn waits(found: Option<Room>, expected: &str) {
    match found {
        Some(Room::Waits(words)) => assert!(words.contains(expected), "{words}"),
        other => panic!("{expected}: {other:?}"),
    }
}

#[test]
fn a_node_that_has_all_that_is_asked_fits() {
    let l4 = json!({"cloud.google.com/gke-accelerator": "nvidia-l4"});
    let gpus = json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]);
    let spot =
        json!([{"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}]);
    let rather_not = json!([{"key": "x", "effect": "PreferNoSchedule"}]);
    for (hardware, spec) in [
        (json!({}), json!({})),
        (json!({"nodeSelector": l4}), json!({"taints": gpus})),
        (json!({"nodeSelector": l4}), json!({"taints": rather_not})),
        (
            json!({"tolerations": [{"key": "cloud.google.com/gke-spot", "value": "true"}]}),
            json!({"taints": spot}),
        ),
        (
            json!({"tolerations": [{"operator": "Exists"}]}),
            json!({"taints": spot}),
        ),
    ] {
        let found = room(&hardware, vec![node(&l4, 1, &spec)]);
        assert_eq!(found, Some(Room::Fits), "{hardware} {spec}");
    }
}

#[test]
fn where_no_node_fits_each_cause_is_told_and_a_pool_may_grow() {
    let l4 = json!({"gpu": "l4"});
    let plain = || json!({});
    waits(room(&json!({}), vec![]), "no node has the labels");
    waits(
        room(
            &json!({"nodeSelector": l4}),
            vec![node(&json!({}), 1, &plain())],
        ),
        "no node has the labels",
    );
    waits(
        room(&json!({}), vec![node(&l4, 0, &plain())]),
        "1 without nvidia.com/gpu",
    );
    waits(
        room(
            &json!({"nodeSelector": l4, "accelerator": {"count": 2}}),
            vec![node(&l4, 1, &plain()), node(&l4, 1, &plain())],
        ),
        "2 with only 1 nvidia.com/gpu",
    );
    waits(
        room(
            &json!({}),
            vec![node(&l4, 1, &json!({"unschedulable": true}))],
        ),
        "1 cordoned",
    );
    let spot = json!({"taints": [{"key": "spot", "value": "true", "effect": "NoSchedule"}]});
    for tolerations in [
        json!([]),
        json!([{"key": "spot", "value": "false"}]),
        json!([{"key": "spot", "operator": "Exists", "effect": "NoExecute"}]),
    ] {
        waits(
            room(
                &json!({"tolerations": tolerations}),
                vec![node(&l4, 1, &spot)],
            ),
            "1 with the taint spot",
        );
    }
}

#[test]
fn affinity_counts_as_the_scheduler_has_it() {
    let labels = json!({"zone": "a", "gpus": "4"});
    for (terms, fits) in [
        (
            json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}]),
            true,
        ),
        (
            json!([{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}]),
            false,
        ),
        (
            json!([{"matchExpressions": [{"key": "gpus", "operator": "Gt", "values": ["3"]}]}]),
            true,
        ),
        (
            json!([{"matchExpressions": [{"key": "gpus", "operator": "Lt", "values": ["3"]}]}]),
            false,
        ),
        (
            json!([{"matchExpressions": [{"key": "spot", "operator": "Exists"}]}]),
            false,
        ),
        (
            json!([{"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]}]),
            true,
        ),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]),
            true,
        ),
        (
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-2"]}]}]),
            false,
        ),
        // Alternatives, of which an empty one is none.
        (
            json!([{}, {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]),
            true,
        ),
        (json!([{}]), false),
    ] {
        let affinity = json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
        }});
        let found = room(
            &json!({"affinity": affinity}),
            vec![node(&labels, 4, &json!({}))],
        );
        match fits {
            true => assert_eq!(found, Some(Room::Fits), "{terms}"),
            false => waits(found, "1 outside hardware.affinity"),
        }
    }
}

#[test]
fn only_nodes_made_alike_can_be_too_small_for_ever() {
    let pool = json!({POOL: "l4"});
    let spec = json!({});
    let asking = |selector: &Value| json!({"nodeSelector": selector, "accelerator": {"count": 4}});
    let found = room(
        &asking(&pool),
        vec![node(&pool, 2, &spec), node(&pool, 1, &spec)],
    );
    let Some(Room::TooSmall(words)) = found else {
        panic!("{found:?}")
    };
    assert!(
        words.contains("asks for 4 nvidia.com/gpu") && words.contains("have 2 at the most"),
        "{words}"
    );
    // Another pool may have the same label, and larger machines.
    let model = json!({"cloud.google.com/gke-accelerator": "nvidia-l4"});
    waits(
        room(&asking(&model), vec![node(&model, 2, &spec)]),
        "1 with only 2",
    );
    // Its driver is on the way.
    waits(
        room(&asking(&pool), vec![node(&pool, 0, &spec)]),
        "1 without",
    );
    waits(room(&asking(&pool), vec![]), "no node has the labels");
}

#[test]
fn nothing_is_said_where_nothing_is_asked_or_not_all_was_seen() {
    let listed = Listed {
        nodes: vec![],
        is_whole: true,
    };
    assert_eq!(
        of(&plan(&json!({"accelerator": {"count": 0}})), &listed),
        None
    );
    assert_eq!(
        accelerators(&plan(&json!({"accelerator": {"count": 0}}))),
        0
    );
    assert_eq!(
        accelerators(&plan(&json!({"accelerator": {"count": 2}}))),
        2
    );
    let part = Listed {
        is_whole: false,
        ..listed
    };
    assert_eq!(of(&plan(&json!({})), &part), Some(Room::Fits));
}
