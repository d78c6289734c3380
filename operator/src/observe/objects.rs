//! Reads the objects that engines of a plan are, where they are no lone Pods, whatever their kinds.
//!
//! They are listed by the run's label, which tells a kind that is not there from an object that is
//! not there, and needs no other right than `list` of that kind.

use bakeoff_crds::plan::{Plan, PlannedEngine};
use kube::{
    Api, Client,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};

use crate::{
    error::Error,
    observed::{FoundObject, Observed, Unusable, UnusableKind},
};

/// Lists the objects of every kind that the plan has.
///
/// # Errors
/// Where the API server cannot be read; a kind that is not there, or that may not be listed, is no
/// error but noted.
pub async fn read(
    client: &Client,
    namespace: &str,
    own: &ListParams,
    plan: &Plan,
    observed: &mut Observed,
) -> Result<(), Error> {
    for api in kinds(plan) {
        let objects = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &api);
        match objects.list(own).await {
            Ok(list) => observed
                .objects
                .extend(list.items.into_iter().map(|object| FoundObject {
                    api: api.clone(),
                    object,
                })),
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                let is_there = status.code == 403 && is_installed(client, &api).await;
                observed.unusable_kinds.push(UnusableKind {
                    why: match is_there {
                        true => Unusable::Forbidden,
                        false => Unusable::NotInstalled,
                    },
                    api,
                });
            }
            Err(error) => return Err(Error::read("engines' objects")(error)),
        }
    }
    Ok(())
}

/// Whether the API server knows a kind on which the operator has no right: it says no before it
/// looks, and every account may ask what there is. Where even that is not answered, the right is what
/// is missing for sure.
async fn is_installed(client: &Client, api: &ApiResource) -> bool {
    match client.list_api_group_resources(&api.api_version).await {
        Ok(found) => found.resources.iter().any(|it| it.name == api.plural),
        Err(kube::Error::Api(status)) => status.code != 404,
        Err(_) => true,
    }
}

/// The kinds of a plan's engines, each once.
fn kinds(plan: &Plan) -> Vec<ApiResource> {
    let mut kinds = Vec::new();
    for object in plan.engines.iter().filter_map(PlannedEngine::object) {
        let api = object.api();
        if !kinds.contains(&api) {
            kinds.push(api);
        }
    }
    kinds
}
