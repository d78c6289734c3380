//! Names and labels: one place, so that observing and building agree.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{Turn, labels};
use crate::plan::{Plan, PlannedEngine, RunIdentity};

/// Most characters of a name: a Job's pods add `-0` for their host name, which has 63.
const MAX_NAME: usize = 52;

/// Most characters of the name of an object whose controller makes names of it: KubeRay takes 47 for
/// a RayService.
const MAX_OBJECT_NAME: usize = 45;

/// Name of an object of a run: the run's name, what it is, and five characters of the run's UID,
/// so that a run made anew under an old name never meets the old one's objects.
pub fn child(run: &RunIdentity, what: &str) -> String {
    limited(run, what, MAX_NAME)
}

fn limited(run: &RunIdentity, what: &str, most: usize) -> String {
    let unique = run.uid.get(..5).unwrap_or(&run.uid);
    let room = most.saturating_sub(what.len() + unique.len() + 2);
    let name = run
        .name
        .get(..room)
        .unwrap_or(&run.name)
        .trim_end_matches('-');
    format!("{name}-{what}-{unique}")
}

/// Name of an engine's pod, or of the object that it is, and of its service, files and monitoring.
pub fn engine(plan: &Plan, turn: Turn) -> String {
    let engine = plan.engines.get(turn.engine);
    let most = match engine.and_then(PlannedEngine::object) {
        Some(_) => MAX_OBJECT_NAME,
        None => MAX_NAME,
    };
    let what = format!("{}-{}", engine_name(plan, turn), round(turn));
    limited(&plan.run, &what, most)
}

/// Name of the Job that loads an engine.
pub fn runner(plan: &Plan, turn: Turn) -> String {
    child(
        &plan.run,
        &format!("load-{}-{}", engine_name(plan, turn), round(turn)),
    )
}

/// `r2`, and `r2n3` on the round's third node: what is left on a node that was lost keeps its name.
fn round(turn: Turn) -> String {
    match turn.restart {
        0 => format!("r{}", turn.round),
        restart => format!("r{}n{}", turn.round, restart.saturating_add(1)),
    }
}

/// Name of the plan's ConfigMap.
pub fn plan(run: &RunIdentity) -> String {
    child(run, "plan")
}

/// Name of the outcome's ConfigMap.
pub fn outcome(run: &RunIdentity) -> String {
    child(run, "outcome")
}

/// Name of the preflight Job.
pub fn preflight(run: &RunIdentity) -> String {
    child(run, "preflight")
}

/// Name of the Job that fetches the model.
pub fn prefetch(run: &RunIdentity) -> String {
    child(run, "prefetch")
}

/// Name of the reporter Job.
pub fn reporter(run: &RunIdentity) -> String {
    child(run, "report")
}

/// Name of the pod that holds the node.
pub fn holder(run: &RunIdentity) -> String {
    child(run, "holder")
}

/// Name of a turn's engine; empty for a turn that is not of this plan.
pub(super) fn engine_name(plan: &Plan, turn: Turn) -> &str {
    plan.engines
        .get(turn.engine)
        .map_or("", |engine| engine.name.as_str())
}

/// Labels of an object of a run.
pub(super) fn labels(plan: &Plan, component: &str, turn: Option<Turn>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        (
            labels::MANAGED_BY_KEY.to_owned(),
            labels::MANAGED_BY.to_owned(),
        ),
        (labels::RUN.to_owned(), plan.run.name.clone()),
        (labels::RUN_UID.to_owned(), plan.run.uid.clone()),
        (labels::COMPONENT.to_owned(), component.to_owned()),
    ]);
    if let Some(turn) = turn {
        labels.insert(
            labels::ENGINE.to_owned(),
            engine_name(plan, turn).to_owned(),
        );
        labels.insert(labels::ROUND.to_owned(), turn.round.to_string());
    }
    labels
}

/// The same for an object that takes room in the cluster: Kueue looks for its queue's name on Jobs,
/// pods and other kinds of workloads
/// (<https://kueue.sigs.k8s.io/docs/reference/labels-and-annotations/>).
pub(super) fn queued(plan: &Plan, mut metadata: ObjectMeta) -> ObjectMeta {
    if let Some(queue) = &plan.spec.queue_name {
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(labels::QUEUE.to_owned(), queue.clone());
    }
    metadata
}

/// Metadata of an object of a run.
pub(super) fn metadata(
    plan: &Plan,
    owner: &OwnerReference,
    name: String,
    component: &str,
    turn: Option<Turn>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(plan.run.namespace.clone()),
        labels: Some(labels(plan, component, turn)),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}
