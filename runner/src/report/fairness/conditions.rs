//! What the plan and the operator know: settings, images, nodes.

use std::collections::{BTreeMap, BTreeSet};

use bakeoff_crds::{
    outcome::Outcome,
    report::{EngineReport, FairnessFinding},
    run::status::TurnStatus,
};

use super::{differs, noted, unknown};

/// Each engine's own settings.
pub fn settings(engines: &[&EngineReport]) -> Vec<FairnessFinding> {
    engines
        .iter()
        .flat_map(|engine| engine.deviations.iter().map(move |what| (engine, what)))
        .map(|(engine, what)| differs(Some(&engine.name), what))
        .collect()
}

fn turns<'a>(
    outcome: &'a Outcome,
    engine: &'a EngineReport,
) -> impl Iterator<Item = &'a TurnStatus> {
    let of_it = |turn: &&TurnStatus| turn.engine == engine.name && !turn.superseded;
    outcome.turns.iter().filter(of_it)
}

/// Engines whose image was another in another round. None where no engine was deployed.
pub fn image(outcome: &Outcome, engines: &[&EngineReport]) -> Option<Vec<FairnessFinding>> {
    let deployed = engines.iter().filter(|it| it.provenance.image.is_some());
    let mut found = Vec::new();
    let mut any = false;
    for engine in deployed {
        any = true;
        let ids: BTreeSet<&str> = turns(outcome, engine)
            .filter_map(|turn| turn.image_id.as_deref())
            .collect();
        let name = Some(engine.name.as_str());
        match ids.len() {
            0 => found.push(unknown(name, "the digest of its image is not known")),
            1 => {}
            _ => {
                let ids: Vec<_> = ids.into_iter().collect();
                let message = format!(
                    "its image was another in another round: {}; name it by digest",
                    ids.join(", ")
                );
                found.push(differs(name, message));
            }
        }
    }
    any.then_some(found)
}

/// Engines on different nodes within a round. None where no engine was on a node of the run's, and
/// none elsewhere either.
pub fn node(outcome: &Outcome, engines: &[&EngineReport]) -> Option<Vec<FairnessFinding>> {
    let on_nodes = |engine: &&&EngineReport| !engine.provenance.nodes.is_empty();
    if !engines.iter().any(|engine| on_nodes(&engine)) {
        return None;
    }
    let mut found: Vec<FairnessFinding> = engines
        .iter()
        .filter(|engine| !on_nodes(engine))
        .map(|engine| {
            let name = Some(engine.name.as_str());
            match &engine.provenance.url {
                Some(_) => differs(name, "it ran elsewhere, on hardware that is not known"),
                None => unknown(name, "its node is not known"),
            }
        })
        .collect();
    let rounds: BTreeSet<u32> = outcome.turns.iter().map(|turn| turn.round).collect();
    for round in rounds {
        let mut places: Vec<(&str, &str)> = Vec::new();
        for engine in engines {
            let of_round = turns(outcome, engine).filter(|turn| turn.round == round);
            let nodes = of_round.filter_map(|turn| turn.node_name.as_deref());
            places.extend(nodes.map(|node| (engine.name.as_str(), node)));
        }
        let nodes: BTreeSet<&str> = places.iter().map(|(_, node)| *node).collect();
        if nodes.len() > 1 {
            let places: Vec<_> = places
                .iter()
                .map(|(engine, node)| format!("{engine} on {node}"))
                .collect();
            found.push(differs(
                None,
                format!("in round {round} {}", places.join(", ")),
            ));
        }
    }
    Some(found)
}

/// Engines that had other accelerators in a round, by their UUIDs. None where fewer than two engines tell.
pub fn accelerators(engines: &[&EngineReport]) -> Option<Vec<FairnessFinding>> {
    let mut rounds: BTreeMap<u32, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for engine in engines {
        for stage in &engine.stages {
            let uuids = stage.accelerators.iter().map(|device| &*device.uuid);
            let known = rounds.entry(stage.round).or_default();
            known.entry(&engine.name).or_default().extend(uuids);
        }
    }
    let mut any = false;
    let mut found = Vec::new();
    for (round, engines) in rounds {
        let told: Vec<(&str, BTreeSet<&str>)> = engines
            .into_iter()
            .filter(|(_, uuids)| !uuids.is_empty())
            .collect();
        any |= told.len() > 1;
        let different: BTreeSet<&BTreeSet<&str>> = told.iter().map(|(_, uuids)| uuids).collect();
        if different.len() > 1 {
            let words: Vec<String> = told
                .iter()
                .map(|(engine, uuids)| {
                    let uuids: Vec<&str> = uuids.iter().copied().collect();
                    format!("{engine} on {}", uuids.join(" and "))
                })
                .collect();
            let message = format!("in round {round} {}", words.join(", "));
            found.push(differs(None, message));
        }
    }
    any.then_some(found)
}

/// What the profiles' authors say of their engines: no difference that was seen, but what a reader of a
/// comparison should know. None where there is nothing.
pub fn cautions(engines: &[&EngineReport]) -> Option<Vec<FairnessFinding>> {
    let noted: Vec<FairnessFinding> = engines
        .iter()
        .flat_map(|engine| engine.cautions.iter().map(move |what| (engine, what)))
        .map(|(engine, what)| noted(&engine.name, what))
        .collect();
    (!noted.is_empty()).then_some(noted)
}
