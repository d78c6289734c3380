//! Who else is on an engine's node. Pure.

use bakeoff_crds::{manifests::labels, run::status::Neighbours};
use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::pod;

/// Set by the kubelet on what stands for a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Those of a node's pods that are others': not of the run, nor part of the node (DaemonSets, static
/// pods), nor services of the cluster itself, nor a holder, which does nothing; and that request
/// something. `accelerator` is the resource of the run.
pub fn among(pods: &[Pod], run_uid: &str, accelerator: &str) -> Neighbours {
    let mut found = Neighbours::default();
    for other in pods.iter().filter(|other| is_tenant(other, run_uid)) {
        let cpu: u64 = requested(other, "cpu").map(cpu_millis).sum();
        let memory = requested(other, "memory").next().is_some();
        let accelerators: u64 = requested(other, accelerator).map(count).sum();
        if cpu == 0 && !memory && accelerators == 0 {
            continue;
        }
        found.pods = found.pods.saturating_add(1);
        found.cpu_millis = found.cpu_millis.saturating_add(cpu);
        found.accelerators = found.accelerators.saturating_add(accelerators);
        let namespace = other.metadata.namespace.as_deref().unwrap_or_default();
        found
            .names
            .push(format!("{namespace}/{}", pod::name(other)));
    }
    found.names.sort();
    found.names.truncate(Neighbours::MAX_NAMES);
    found
}

/// What was seen until now and what is seen now: the most of each at once, every name while there
/// is room.
pub fn merge(until_now: Option<Neighbours>, now: &Neighbours) -> Neighbours {
    let Some(before) = until_now else {
        return now.clone();
    };
    let mut names = before.names;
    for name in &now.names {
        if names.len() < Neighbours::MAX_NAMES && !names.contains(name) {
            names.push(name.clone());
        }
    }
    Neighbours {
        pods: before.pods.max(now.pods),
        cpu_millis: before.cpu_millis.max(now.cpu_millis),
        accelerators: before.accelerators.max(now.accelerators),
        names,
    }
}

fn is_tenant(other: &Pod, run_uid: &str) -> bool {
    let of_run = pod::label(other, labels::RUN_UID) == Some(run_uid);
    let is_holder = pod::label(other, labels::COMPONENT) == Some(labels::COMPONENT_HOLDER)
        && pod::label(other, labels::MANAGED_BY_KEY) == Some(labels::MANAGED_BY);
    let owners = other
        .metadata
        .owner_references
        .as_deref()
        .unwrap_or_default();
    let of_node = owners
        .iter()
        .any(|owner| matches!(owner.kind.as_str(), "DaemonSet" | "Node"))
        || other
            .metadata
            .annotations
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key(MIRROR));
    let priority = other
        .spec
        .as_ref()
        .and_then(|spec| spec.priority_class_name.as_deref());
    let of_cluster = other.metadata.namespace.as_deref() == Some("kube-system")
        || matches!(
            priority,
            Some("system-cluster-critical" | "system-node-critical")
        );
    !of_run && !is_holder && !of_node && !of_cluster && !pod::has_ended(other)
}

/// What the pod's containers request of a resource.
fn requested<'a>(other: &'a Pod, resource: &'a str) -> impl Iterator<Item = &'a Quantity> {
    let containers = other
        .spec
        .as_ref()
        .map(|spec| spec.containers.as_slice())
        .unwrap_or_default();
    containers.iter().filter_map(move |container: &Container| {
        let requests = container.resources.as_ref()?.requests.as_ref()?;
        requests.get(resource)
    })
}

/// Thousandths of a core, rounded up. As `resource.Quantity` of Kubernetes writes them: `2`, `500m`,
/// `1500000n`.
fn cpu_millis(quantity: &Quantity) -> u64 {
    let text = quantity.0.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match text.get(digits.len()..).unwrap_or_default() {
        "n" => 1e-6,
        "u" => 1e-3,
        "m" => 1.0,
        "k" => 1e6,
        _ => 1e3,
    };
    let millis = digits.parse::<f64>().unwrap_or(0.0) * scale;
    // A float that is no number, or less than nothing, becomes 0 in the cast.
    millis.ceil() as u64
}

/// A whole number; extended resources have no other.
pub(crate) fn count(quantity: &Quantity) -> u64 {
    cpu_millis(quantity) / 1000
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const RUN: &str = "uid-1";

    fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({
            "metadata": { "name": name, "namespace": "team", "labels": {} },
            "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "500m" } } }] },
            "status": { "phase": "Running" },
        });
        change(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn tenants_are_told_from_what_belongs_to_run_node_and_cluster() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change, bool); 11] = [
            ("plain", |_| {}, true),
            (
                "own",
                |pod| pod["metadata"]["labels"]["bakeoff.dev/run-uid"] = RUN.into(),
                false,
            ),
            (
                "another-run",
                |pod| pod["metadata"]["labels"]["bakeoff.dev/run-uid"] = "uid-2".into(),
                true,
            ),
            (
                "another-holder",
                |pod| {
                    pod["metadata"]["labels"] = json!({
                        "bakeoff.dev/run-uid": "uid-2", "bakeoff.dev/component": "holder",
                        "app.kubernetes.io/managed-by": "bakeoff",
                    });
                },
                false,
            ),
            (
                "daemon",
                |pod| {
                    pod["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d" }]);
                },
                false,
            ),
            (
                "replica",
                |pod| {
                    pod["metadata"]["ownerReferences"] = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "d", "uid": "d" }]);
                },
                true,
            ),
            (
                "static",
                |pod| pod["metadata"]["annotations"] = json!({ MIRROR: "x" }),
                false,
            ),
            (
                "dns",
                |pod| pod["metadata"]["namespace"] = "kube-system".into(),
                false,
            ),
            (
                "critical",
                |pod| pod["spec"]["priorityClassName"] = "system-cluster-critical".into(),
                false,
            ),
            (
                "ended",
                |pod| pod["status"]["phase"] = "Succeeded".into(),
                false,
            ),
            (
                "asks-nothing",
                |pod| pod["spec"]["containers"][0]["resources"] = json!({}),
                false,
            ),
        ];
        for (name, change, counts) in cases {
            let found = among(&[pod(name, change)], RUN, "nvidia.com/gpu");
            assert_eq!(found.pods, u32::from(counts), "{name}");
        }
    }

    #[test]
    fn requests_are_added_up() {
        let requests = |requests: Value| {
            move |pod: &mut Value| pod["spec"]["containers"][0]["resources"]["requests"] = requests
        };
        let pods = [
            pod(
                "b",
                requests(json!({ "cpu": "2", "nvidia.com/gpu": "1", "memory": "1Gi" })),
            ),
            pod("a", requests(json!({ "cpu": "1500000n" }))),
            pod("memory-only", requests(json!({ "memory": "1Gi" }))),
        ];
        let found = among(&pods, RUN, "nvidia.com/gpu");
        assert_eq!(
            (found.pods, found.cpu_millis, found.accelerators),
            (3, 2002, 1)
        );
        assert_eq!(found.names, ["team/a", "team/b", "team/memory-only"]);
        assert!(found.take_part());
        assert!(!among(&pods[2..], RUN, "nvidia.com/gpu").take_part());
        assert_eq!(among(&pods[..1], RUN, "google.com/tpu").accelerators, 0);
    }

    #[test]
    fn the_most_at_once_and_the_first_names_stay() {
        let seen = |pods: u32, names: &[&str]| Neighbours {
            pods,
            cpu_millis: u64::from(pods) * 100,
            accelerators: 0,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let first = merge(None, &seen(2, &["t/a", "t/b"]));
        let second = merge(Some(first), &seen(1, &["t/c"]));
        assert_eq!(
            second,
            Neighbours {
                pods: 2,
                cpu_millis: 200,
                ..seen(3, &["t/a", "t/b", "t/c"])
            }
        );
        let many: Vec<String> = (0..20).map(|n| format!("t/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(merge(Some(second), &seen(20, &many)).names.len(), 8);
    }
}
