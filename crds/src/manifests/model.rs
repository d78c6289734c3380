//! The volume of the model: its claim, the Job that fills it, and how engines see it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{
            PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource,
            Volume, VolumeMount, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use super::{
    agent::Agent,
    container::{empty_volume, hub_env, read_only, writable},
    labels, names,
    placement::placed_pod,
};
use crate::{
    plan::Plan,
    run::{AccessMode, ModelSpec, Retention},
};

/// Where a model's claim is mounted in an engine.
const MODELS: &str = "/models";
/// Name of the volume of what engines build.
pub(super) const BUILDS: &str = "builds";
/// Where the volume that is to be filled is mounted in our own pod.
const TARGET: &str = "/var/lib/bakeoff/models";
/// Where a claim to copy from is mounted there.
const SOURCE: &str = "/var/lib/bakeoff/source";

/// The claim of the model's volume; none where nothing is fetched, or into a claim that is there.
///
/// One that is deleted with the run belongs to it. One that stays belongs to nobody, and is the same
/// object for every run that would make it.
pub fn model_claim(plan: &Plan, owner: &OwnerReference) -> Option<PersistentVolumeClaim> {
    let planned = plan.prefetch.as_ref()?;
    let prefetch = plan.spec.model.prefetch.as_ref()?;
    let size = prefetch.size.clone()?;
    let name = planned.claim_name.clone();
    let mut metadata = match prefetch.retention {
        Retention::Delete => names::metadata(plan, owner, name, labels::COMPONENT_MODEL, None),
        Retention::Retain => ObjectMeta {
            name: Some(name),
            namespace: Some(plan.run.namespace.clone()),
            labels: Some(BTreeMap::from([
                (
                    labels::MANAGED_BY_KEY.to_owned(),
                    labels::MANAGED_BY.to_owned(),
                ),
                (
                    labels::COMPONENT.to_owned(),
                    labels::COMPONENT_MODEL.to_owned(),
                ),
            ])),
            ..ObjectMeta::default()
        },
    };
    // A label has no room for them.
    let model = &plan.spec.model;
    metadata.annotations = Some(BTreeMap::from([
        (labels::MODEL.to_owned(), model.id.clone()),
        (labels::MODEL_REVISION.to_owned(), model.revision.clone()),
    ]));
    Some(PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![prefetch.access_mode.name().to_owned()]),
            storage_class_name: prefetch.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), size)])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

/// Fills the model's volume; none where nothing is fetched.
pub fn prefetch_job(plan: &Plan, owner: &OwnerReference) -> Option<Job> {
    let planned = plan.prefetch.as_ref()?;
    let model = &plan.spec.model;
    let prefetch = model.prefetch.as_ref()?;
    let mut words = vec!["prefetch", "--into", TARGET];
    let source = source_path(model);
    if let Some(source) = &source {
        words.extend(["--from", source]);
    }
    let mut agent = Agent::of_model(plan, &words, prefetch.uri.is_some());
    agent.environment.extend(hub_env(model));
    agent
        .volumes
        .push(claim_volume("models", &planned.claim_name, false));
    agent.mounts.push(writable("models", TARGET, None));
    if let Some(claim) = &model.persistent_volume_claim {
        agent
            .volumes
            .push(claim_volume("source", &claim.claim_name, true));
        agent.mounts.push(read_only("source", SOURCE, None));
    }
    let name = names::prefetch(&plan.run);
    let mut job = agent.job(owner, name, labels::COMPONENT_PREFETCH, None);
    let pod = job.spec.as_mut().and_then(|it| it.template.spec.as_mut())?;
    if let Some(security) = &mut pod.security_context {
        // A volume that is filled already is not gone through file by file.
        security.fs_group_change_policy = Some("OnRootMismatch".into());
    }
    // A volume for one node at a time may belong to a zone or to a node: the engines'.
    if prefetch.access_mode == AccessMode::ReadWriteOnce {
        let placed = placed_pod(&plan.spec.hardware, &[]);
        pod.node_selector = placed.node_selector;
        pod.tolerations = placed.tolerations;
        pod.affinity = placed.affinity;
    }
    Some(job)
}

/// Folder or file of the claim that is copied from, as our own pod sees it.
fn source_path(model: &ModelSpec) -> Option<String> {
    let claim = model.persistent_volume_claim.as_ref()?;
    let path = format!("{SOURCE}/{}", claim.path);
    Some(path.trim_end_matches('/').to_owned())
}

/// The model as an engine's containers find it: each repository at its path, or the claim as it is.
pub(super) fn model_volume(plan: &Plan) -> Option<(Volume, Vec<VolumeMount>)> {
    if let Some(planned) = &plan.prefetch {
        let volume = claim_volume("models", &planned.claim_name, true);
        let mounts = planned.repositories.iter();
        let mounts = mounts.map(|it| read_only("models", &it.path, Some(it.folder.clone())));
        return Some((volume, mounts.collect()));
    }
    let claim = plan.spec.model.persistent_volume_claim.as_ref()?;
    let volume = claim_volume("models", &claim.claim_name, true);
    Some((volume, vec![read_only("models", MODELS, None)]))
}

/// The volume of what engines build: the run's claim, or an empty one that goes with the pod.
pub(super) fn build_volume(plan: &Plan) -> Volume {
    match &plan.spec.model.builds {
        Some(builds) => claim_volume(BUILDS, &builds.claim_name, false),
        None => empty_volume(BUILDS, None),
    }
}

fn claim_volume(name: &str, claim: &str, read_only: bool) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    }
}
