//! Where pods go: what the hardware asks, and the nodes that the first engine has run on.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
        PodAffinityTerm, PodAntiAffinity, PodSpec, PreferredSchedulingTerm, Toleration,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::labels;
use crate::{
    plan::Plan,
    run::{Hardware, SameNode},
};

/// A pod without containers, placed as the hardware asks.
pub(super) fn placed_pod(hardware: &Hardware, nodes: &[&str]) -> PodSpec {
    PodSpec {
        restart_policy: Some("Never".into()),
        // VLLM_PORT and its like, made from service names, break engines.
        enable_service_links: Some(false),
        automount_service_account_token: Some(false),
        // An engine has nothing to save, and the next one waits for its accelerator.
        termination_grace_period_seconds: Some(5),
        node_selector: (!hardware.node_selector.is_empty()).then(|| hardware.node_selector.clone()),
        tolerations: Some(tolerations(hardware)),
        affinity: affinity(hardware, nodes),
        ..PodSpec::default()
    }
}

fn tolerations(hardware: &Hardware) -> Vec<Toleration> {
    let accelerator = Toleration {
        key: Some(hardware.accelerator.resource.clone()),
        operator: Some("Exists".into()),
        effect: Some("NoSchedule".into()),
        ..Toleration::default()
    };
    hardware
        .tolerations
        .iter()
        .cloned()
        .chain([accelerator])
        .collect()
}

/// The run's own affinity, and the nodes of the first engine.
fn affinity(hardware: &Hardware, nodes: &[&str]) -> Option<Affinity> {
    if nodes.is_empty() {
        return hardware.affinity.clone();
    }
    // A field's requirement takes one value, so several nodes are as many terms.
    let these = || {
        nodes.iter().map(|node| NodeSelectorRequirement {
            key: "metadata.name".into(),
            operator: "In".into(),
            values: Some(vec![(*node).to_owned()]),
        })
    };
    let mut affinity = hardware.affinity.clone().unwrap_or_default();
    let rules = affinity
        .node_affinity
        .get_or_insert_with(NodeAffinity::default);
    match hardware.same_node {
        SameNode::Required => {
            let selector = rules
                .required_during_scheduling_ignored_during_execution
                .get_or_insert_with(NodeSelector::default);
            if selector.node_selector_terms.is_empty() {
                selector
                    .node_selector_terms
                    .push(NodeSelectorTerm::default());
            }
            // Terms are alternatives, so each must hold the node.
            let terms = std::mem::take(&mut selector.node_selector_terms);
            for term in terms {
                selector.node_selector_terms.extend(these().map(|node| {
                    let mut term = term.clone();
                    term.match_fields.get_or_insert_with(Vec::new).push(node);
                    term
                }));
            }
        }
        SameNode::Preferred => rules
            .preferred_during_scheduling_ignored_during_execution
            .get_or_insert_with(Vec::new)
            .extend(these().map(|node| PreferredSchedulingTerm {
                weight: 100,
                preference: NodeSelectorTerm {
                    match_fields: Some(vec![node]),
                    match_expressions: None,
                },
            })),
    }
    Some(affinity)
}

/// Has each pod of an engine go to a node of its own. No two engines of a run are there at once, so it
/// is enough to tell the run.
pub(super) fn keep_apart(plan: &Plan, spec: &mut PodSpec) {
    let others = PodAffinityTerm {
        label_selector: Some(LabelSelector {
            match_labels: Some(BTreeMap::from([
                (labels::RUN_UID.to_owned(), plan.run.uid.clone()),
                (
                    labels::COMPONENT.to_owned(),
                    labels::COMPONENT_ENGINE.to_owned(),
                ),
            ])),
            match_expressions: None,
        }),
        topology_key: "kubernetes.io/hostname".into(),
        ..PodAffinityTerm::default()
    };
    spec.affinity
        .get_or_insert_default()
        .pod_anti_affinity
        .get_or_insert_with(PodAntiAffinity::default)
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(Vec::new)
        .push(others);
}
