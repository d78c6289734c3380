//! Whether some node would take the engines, asked before anything is made for them. Pure.
//!
//! A pool that grows from zero has no node to show, and another pool with the same labels may have
//! larger ones; so that no node fits is a word in the status and no failure, and the engines' pods wait
//! for the autoscaler until their deadline. Only where the selector names one group of nodes that are
//! all made alike, and those that are there have too few accelerators, will no growth ever help.

use std::collections::BTreeMap;

use bakeoff_crds::{
    manifests::{Turn, engine_objects},
    plan::Plan,
};
use k8s_openapi::{
    api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use crate::neighbours::count;

/// Labels each value of which stands for nodes made from one template: a single node, and node groups of
/// GKE, EKS and AKS.
const MADE_ALIKE: [&str; 4] = [
    "kubernetes.io/hostname",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
];

/// What the nodes that there are say of a run's engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// Some would take them, were they free.
    Fits,
    /// None would now; a pool may grow. What keeps each of them from it.
    Waits(String),
    /// None ever will. Why, and what to do.
    TooSmall(String),
}

/// Nodes of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// Those with the labels of `hardware.nodeSelector`.
    pub nodes: Vec<Node>,
    /// Whether these are all of them.
    pub is_whole: bool,
}

/// What an engine's pod asks of a node.
struct Asked {
    spec: PodSpec,
    accelerators: u64,
}

/// What keeps a node from taking a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Misfit {
    Affinity,
    Unschedulable,
    Taint(String),
    /// How many it offers.
    Accelerators(u64),
}

/// The accelerators that the engine which needs the most of them asks for; 0 where none needs one.
pub fn accelerators(plan: &Plan) -> u64 {
    most(plan).map_or(0, |asked| asked.accelerators)
}

/// What these nodes say of a run's engines; none where no engine of it needs an accelerator.
pub fn of(plan: &Plan, listed: &Listed) -> Option<Room> {
    let asked = most(plan).filter(|asked| asked.accelerators > 0)?;
    let resource = &plan.spec.hardware.accelerator.resource;
    let misfits: Vec<Option<Misfit>> = listed
        .nodes
        .iter()
        .filter(|node| has_labels(node, asked.spec.node_selector.as_ref()))
        .map(|node| misfit(node, &asked, resource))
        .collect();
    if misfits.iter().any(Option::is_none) || !listed.is_whole {
        // Of more nodes than were listed, the others may fit.
        return Some(Room::Fits);
    }
    let misfits: Vec<Misfit> = misfits.into_iter().flatten().collect();
    if let Some(most) = too_small(listed, &asked, resource) {
        return Some(Room::TooSmall(format!(
            "an engine asks for {} {resource} (hardware.accelerator.count), and the nodes of \
             hardware.nodeSelector, which are all made alike, have {most} at the most. Ask for fewer, \
             or choose nodes that have as many",
            asked.accelerators
        )));
    }
    Some(Room::Waits(words(&misfits, resource)))
}

/// The pod that needs the most accelerators. They differ in nothing else that places them. Pods that
/// the controller of an object makes are its own, and not judged.
fn most(plan: &Plan) -> Option<Asked> {
    let owner = OwnerReference::default();
    let resource = &plan.spec.hardware.accelerator.resource;
    let specs = (0..plan.engines.len()).filter_map(|engine| {
        let turn = Turn {
            round: 1,
            engine,
            restart: 0,
        };
        engine_objects(plan, &owner, turn, None)?
            .workload
            .pod()?
            .spec
    });
    let asked = specs.map(|spec| Asked {
        accelerators: asked_by(&spec, resource),
        spec,
    });
    asked.max_by_key(|asked| asked.accelerators)
}

fn asked_by(spec: &PodSpec, resource: &str) -> u64 {
    let limits = spec.containers.iter().filter_map(|container| {
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        limits.get(resource).map(count)
    });
    limits.sum()
}

fn labels(node: &Node) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    node.metadata.labels.as_ref().unwrap_or(&NONE)
}

fn has_labels(node: &Node, selector: Option<&BTreeMap<String, String>>) -> bool {
    let mut wanted = selector.into_iter().flatten();
    wanted.all(|(key, value)| labels(node).get(key) == Some(value))
}

/// The first thing that keeps the node from taking the pod.
fn misfit(node: &Node, asked: &Asked, resource: &str) -> Option<Misfit> {
    if !has_affinity(node, &asked.spec) {
        return Some(Misfit::Affinity);
    }
    let offered = offered(node, resource);
    if offered < asked.accelerators {
        return Some(Misfit::Accelerators(offered));
    }
    let spec = node.spec.as_ref();
    if spec.and_then(|spec| spec.unschedulable) == Some(true) {
        return Some(Misfit::Unschedulable);
    }
    let tolerations = asked.spec.tolerations.as_deref().unwrap_or_default();
    let taints = spec.and_then(|spec| spec.taints.as_deref());
    let kept_off = taints.unwrap_or_default().iter().find(|taint| {
        taint.effect != "PreferNoSchedule" && !tolerations.iter().any(|it| bears(it, taint))
    });
    kept_off.map(|taint| Misfit::Taint(taint.key.clone()))
}

fn offered(node: &Node, resource: &str) -> u64 {
    let status = node.status.as_ref();
    let allocatable = status.and_then(|status| status.allocatable.as_ref());
    allocatable
        .and_then(|resources| resources.get(resource))
        .map_or(0, count)
}

/// As the scheduler has it: `ToleratesTaint` of Kubernetes' `core/v1/toleration.go`.
fn bears(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match text(&toleration.operator).as_str() {
        "Exists" => true,
        _ => !key.is_empty() && text(&toleration.value) == text(&taint.value),
    }
}

/// Whether one of the required terms holds, where there are any.
fn has_affinity(node: &Node, spec: &PodSpec) -> bool {
    let affinity = spec.affinity.as_ref();
    let affinity = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|nodes| {
        nodes
            .required_during_scheduling_ignored_during_execution
            .as_ref()
    });
    required.is_none_or(|required| {
        let mut terms = required.node_selector_terms.iter();
        terms.any(|term| holds(term, node))
    })
}

/// Whether a term holds; an empty one holds for no node.
fn holds(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node.metadata.name.as_ref();
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|it| is_met(it, labels(node).get(&it.key)))
        // The only field that there is.
        && fields.iter().all(|it| is_met(it, name))
}

fn is_met(wanted: &NodeSelectorRequirement, found: Option<&String>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let compared = |holds: fn(i64, i64) -> bool| {
        let found = found.and_then(|found| found.parse().ok());
        let bound = values.first().and_then(|bound| bound.parse().ok());
        found
            .zip(bound)
            .is_some_and(|(found, bound)| holds(found, bound))
    };
    match wanted.operator.as_str() {
        "In" => found.is_some_and(|found| values.contains(found)),
        "NotIn" => found.is_none_or(|found| !values.contains(found)),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compared(|found, bound| found > bound),
        "Lt" => compared(|found, bound| found < bound),
        // One of a later Kubernetes, of which nothing is known.
        _ => true,
    }
}

/// The most accelerators of a node where none of its kind can ever have enough. A node without any may
/// still wait for its driver.
fn too_small(listed: &Listed, asked: &Asked, resource: &str) -> Option<u64> {
    let selector = asked.spec.node_selector.as_ref()?;
    if !MADE_ALIKE.iter().any(|key| selector.contains_key(*key)) {
        return None;
    }
    let selected = listed.nodes.iter();
    let selected = selected.filter(|node| has_labels(node, Some(selector)));
    let offered: Vec<u64> = selected.map(|node| offered(node, resource)).collect();
    let most = offered.iter().copied().max()?;
    let is_known = offered.iter().all(|offered| *offered > 0);
    (is_known && most < asked.accelerators).then_some(most)
}

/// What is told of nodes that do not fit.
fn words(misfits: &[Misfit], resource: &str) -> String {
    if misfits.is_empty() {
        return "no node has the labels of hardware.nodeSelector".to_owned();
    }
    let mut counts: BTreeMap<&Misfit, usize> = BTreeMap::new();
    for misfit in misfits {
        *counts.entry(misfit).or_default() += 1;
    }
    let parts = counts.into_iter().map(|(misfit, count)| match misfit {
        Misfit::Affinity => format!("{count} outside hardware.affinity"),
        Misfit::Unschedulable => format!("{count} cordoned"),
        Misfit::Taint(key) => {
            format!("{count} with the taint {key}, which hardware.tolerations does not bear")
        }
        Misfit::Accelerators(0) => format!("{count} without {resource}"),
        Misfit::Accelerators(offered) => format!("{count} with only {offered} {resource}"),
    });
    let parts: Vec<String> = parts.collect();
    format!(
        "no node with the labels of hardware.nodeSelector would take an engine: {}",
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests;
