//! Which commit of the model each engine served.

use bakeoff_crds::{
    plan::{EngineSource, Plan},
    report::{EngineReport, FairnessFinding, RevisionSource},
};

use super::{differs, unknown};

/// Engines that tell of another commit than the others or the hub. Files of an engine's own are
/// named with its settings. None where nothing was deployed from a repository.
pub fn weights(plan: &Plan, engines: &[&EngineReport]) -> Option<Vec<FairnessFinding>> {
    // What was fetched for all is one and the same, whether it has a commit or not.
    let is_fetched = plan.prefetch.is_some();
    let from_volume = plan.spec.model.persistent_volume_claim.is_some() && !is_fetched;
    let loads = |engine: &&&EngineReport| {
        let planned = plan.engines.iter().find(|it| it.name == engine.name);
        let deployed = planned.is_some_and(|it| matches!(it.source, EngineSource::Deployed(_)));
        let spec = plan.spec.engines.iter().find(|it| it.name == engine.name);
        let own = spec.is_some_and(|it| it.model.is_some());
        deployed && !own && !from_volume
    };
    let engines: Vec<&&EngineReport> = engines.iter().filter(loads).collect();
    // What most can be held against: the hub's word, else the first engine's.
    let known: Vec<_> = engines.iter().filter_map(|engine| commit(engine)).collect();
    let hub = known.iter().find(|(_, from)| *from == RevisionSource::Hub);
    let expected = hub.or(known.first()).map(|(commit, _)| *commit);
    let finding = |engine: &&EngineReport| {
        let name = Some(engine.name.as_str());
        match (engine.provenance.model_revision.as_deref(), expected) {
            (None, _) if is_fetched => None,
            (None, _) => Some(unknown(
                name,
                "the commit of the weights that it serves is not known",
            )),
            (Some(found), Some(expected)) if found != expected => Some(differs(
                name,
                format!(
                    "it serves the weights of commit {found}, and others those of {expected}; name a commit as model.revision"
                ),
            )),
            _ => None,
        }
    };
    let findings = engines
        .iter()
        .filter_map(|engine| finding(engine))
        .collect();
    (!engines.is_empty()).then_some(findings)
}

fn commit(engine: &EngineReport) -> Option<(&str, RevisionSource)> {
    let provenance = &engine.provenance;
    let commit = provenance.model_revision.as_deref()?;
    Some((commit, provenance.model_revision_from?))
}
