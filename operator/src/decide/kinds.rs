//! Kinds of objects that engines are: whether the cluster has them, and the operator may use them.

use bakeoff_crds::{
    plan::{Plan, PlannedEngine, PlannedObject},
    summary::reason,
};

use super::draft::Draft;
use crate::{classify::PodFailure, observed::Unusable};

/// Why one of the plan's engines cannot be made here; told before anything is spent.
pub(super) fn first_unusable(draft: &Draft<'_>, plan: &Plan) -> Option<PodFailure> {
    let mut objects = plan.engines.iter().filter_map(PlannedEngine::object);
    objects.find_map(|object| unusable(draft, object))
}

/// Why objects of this kind cannot be made here.
pub(super) fn unusable(draft: &Draft<'_>, object: &PlannedObject) -> Option<PodFailure> {
    let api = object.api();
    let (kind, group, resource) = (&api.kind, &api.group, &api.plural);
    Some(match draft.observed.unusable(&api)? {
        Unusable::NotInstalled => PodFailure::new(
            reason::ENGINE_KIND_NOT_INSTALLED,
            format!(
                "the cluster has no {kind} of {}. Install what brings it, its controller with it, or leave the engine out, and make a new run",
                api.api_version
            ),
        ),
        Unusable::Forbidden => PodFailure::new(
            reason::ENGINE_KIND_FORBIDDEN,
            format!(
                "the operator may not use {resource}.{group}. Install the chart with rbac.engineKinds=[{{group: {group}, resource: {resource}}}], or leave the engine out, and make a new run"
            ),
        ),
    })
}
