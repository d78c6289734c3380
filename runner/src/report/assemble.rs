//! From the plan, the stages and what the operator knows to the report. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bakeoff_crds::{
    outcome::Outcome,
    plan::{self, CommonMetric, EngineSource, Plan, PlannedEngine},
    report::{
        AcceleratorDevice, ColdStart, ColdStartStep, EngineFailure, EngineReport, ModelFiles,
        NodeNeighbours, Probe, Provenance, Report, ReportRun, RevisionSource, SCHEMA_VERSION,
        SearchReport, StageReport,
    },
    run::status::{EnginePhase, RoundRestart, TurnStatus},
    summary::PreflightSummary,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    compare::compare, cost, fairness, model_files::model_files, table::names_of_stages, verdict,
};
use crate::scrape::metric_name;

/// What a report needs beside the plan and the stages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What the preflight found.
    pub preflight: PreflightSummary,
    /// What only the operator knows, or, without a cluster, what `bakeoff run` saw of each turn.
    pub outcome: Outcome,
    /// What the engines answered before they were loaded: name of the engine, and its answers.
    pub probes: Vec<(String, Probe)>,
    /// When the report was written, RFC 3339.
    pub end_time: String,
}

/// A stage of one engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Name of the engine in the spec.
    pub engine: String,
    /// What was measured.
    pub stage: StageReport,
}

/// Makes the report of a run.
pub fn assemble(plan: &Plan, facts: &Facts, stages: Vec<Measured>) -> Report {
    let mut by_engine: Vec<Vec<StageReport>> = plan.engines.iter().map(|_| Vec::new()).collect();
    for measured in stages {
        let place = plan
            .engines
            .iter()
            .position(|engine| engine.name == measured.engine);
        if let Some(stages) = place.and_then(|place| by_engine.get_mut(place)) {
            stages.push(measured.stage);
        }
    }
    let mut engines: Vec<EngineReport> = plan
        .engines
        .iter()
        .zip(by_engine)
        .map(|(engine, stages)| engine_report(plan, engine, stages, facts))
        .collect();
    for engine in &mut engines {
        engine.verdict = verdict::of_engine(engine);
    }
    let verdict = verdict::of_run(plan, &facts.outcome, &engines);
    let fairness = fairness::of_run(plan, &facts.outcome, &engines);
    let names = match plan.search {
        Some(_) => names_of_stages(&engines),
        None => plan.stages.iter().map(|stage| stage.name.clone()).collect(),
    };
    let comparison = compare(&engines, &names);
    Report {
        schema_version: SCHEMA_VERSION.to_owned(),
        run: report_run(plan, facts),
        verdict,
        fairness,
        engines,
        comparison,
    }
}

fn report_run(plan: &Plan, facts: &Facts) -> ReportRun {
    let operator = &facts.outcome.operator_version;
    ReportRun {
        identity: plan.run.clone(),
        start_time: facts.outcome.start_time.clone(),
        end_time: facts.end_time.clone(),
        bakeoff_version: env!("CARGO_PKG_VERSION").to_owned(),
        operator_version: (!operator.is_empty()).then(|| operator.clone()),
        // A spec that came in as JSON goes out as JSON.
        spec: serde_json::to_value(&plan.spec).unwrap_or_default(),
        prompts: facts.preflight.prompts,
        prompts_sha256: facts.preflight.prompts_sha256.clone(),
        dataset_sha256: facts.preflight.dataset_sha256.clone(),
        tokenizer_sha256: facts.preflight.tokenizer_sha256.clone(),
        metadata: plan.spec.output.metadata.clone(),
        warnings: warnings(plan, facts),
        model_volume: facts.outcome.model_volume.clone(),
        restarts: facts.outcome.restarts.clone(),
    }
}

/// What the plan warned of, what the data set lost, and which rounds began anew.
fn warnings(plan: &Plan, facts: &Facts) -> Vec<String> {
    let mut warnings = plan.warnings.clone();
    let preflight = &facts.preflight;
    if preflight.left_out > 0 {
        warnings.push(format!(
            "{} requests of the data set were left out: they are longer than workload.limits.maxInputTokens",
            preflight.left_out
        ));
    }
    warnings.extend(moved_branch(plan, facts));
    warnings.extend(facts.outcome.restarts.iter().map(began_anew));
    warnings
}

/// A volume that was filled before keeps the commit that it was filled with.
fn moved_branch(plan: &Plan, facts: &Facts) -> Option<String> {
    let held = facts
        .outcome
        .model_volume
        .as_ref()?
        .content
        .commit
        .as_ref()?;
    let model = &plan.spec.model;
    let mut resolved = facts.preflight.repositories.iter();
    let of_model = resolved.find(|it| it.id == model.id && it.revision == model.revision)?;
    let now = of_model.commit.as_ref().filter(|now| *now != held)?;
    Some(format!(
        "The model's volume was filled with commit {held}, and revision {} is {now} at the hub by now. The engines served the former; delete the claim to fetch the latter",
        model.revision
    ))
}

fn began_anew(restart: &RoundRestart) -> String {
    format!(
        "Round {} began anew on another node, because {} was lost: {}. What was measured of the \
         round before is stored, and counts for nothing",
        restart.round,
        restart.node_name.as_deref().unwrap_or("its node"),
        restart.message
    )
}

fn engine_report(
    plan: &Plan,
    engine: &PlannedEngine,
    mut stages: Vec<StageReport>,
    facts: &Facts,
) -> EngineReport {
    let outcome = &facts.outcome;
    let turns: Vec<&TurnStatus> = outcome
        .turns
        .iter()
        .filter(|turn| turn.engine == engine.name && !turn.superseded)
        .collect();
    sort(&mut stages, plan);
    verdict::mark_superseded(&mut stages, &turns, &outcome.restarts);
    verdict::mark_cut_attempts(&mut stages);
    verdict::mark_broken_turns(&mut stages, &turns);
    let price = cost::price(plan, engine);
    for stage in &mut stages {
        stage.cost = price.and_then(|price| cost::of_stage(price, stage));
    }
    let searches = searches(plan, &stages);
    let probes = probes(engine, &facts.probes);
    EngineReport {
        name: engine.name.clone(),
        profile: engine.profile.clone(),
        display_name: engine.display_name.clone(),
        cold_start: turns
            .iter()
            .filter_map(|turn| {
                let model_files = model_files(plan, engine, turn, outcome);
                cold_start(turn, &probes, model_files, &stages)
            })
            .collect(),
        provenance: Provenance {
            accelerators: accelerators(&stages),
            ..provenance(plan, engine, &turns, &probes, facts)
        },
        probes,
        capabilities: engine.capabilities.clone(),
        deviations: engine.deviations.clone(),
        cautions: engine.cautions.clone(),
        failures: turns.iter().filter_map(|turn| failure(turn)).collect(),
        stages,
        searches,
        price_per_hour: match price {
            Some(cost::Price::Hour(price)) => Some(price),
            _ => None,
        },
        price_per_million_tokens: match &engine.source {
            EngineSource::External(external) => external.price_per_million_tokens,
            EngineSource::Deployed(_) | EngineSource::Simulated(_) => None,
        },
        ..EngineReport::default()
    }
}

/// The engine's last probe of each round.
fn probes(engine: &PlannedEngine, probes: &[(String, Probe)]) -> Vec<Probe> {
    let of_engine = probes.iter().filter(|(name, _)| *name == engine.name);
    let mut last: BTreeMap<u32, &Probe> = BTreeMap::new();
    for (_, probe) in of_engine {
        let known = last.entry(probe.round).or_insert(probe);
        if probe.restart >= known.restart {
            *known = probe;
        }
    }
    last.into_values().cloned().collect()
}

/// The answer of each round and repetition that was begun, from the stages that ran to their end.
fn searches(plan: &Plan, stages: &[StageReport]) -> Vec<SearchReport> {
    let mut parts: Vec<(u32, u32)> = stages
        .iter()
        .map(|stage| (stage.round, stage.repetition))
        .collect();
    parts.dedup();
    let answer = |(round, repetition)| {
        let of_it: Vec<&StageReport> = stages
            .iter()
            .filter(|stage| (stage.round, stage.repetition) == (round, repetition))
            .filter(|stage| verdict::is_whole(stage))
            .collect();
        plan::search::answer(plan, round, repetition, &of_it)
    };
    parts.into_iter().filter_map(answer).collect()
}

/// Round by round, repetition by repetition, in the order of the plan; of a search, in that of the
/// load.
fn sort(stages: &mut [StageReport], plan: &Plan) {
    let place = |stage: &StageReport| match plan.search {
        Some(_) => stage.load.level().unwrap_or_default(),
        None => {
            let mut planned = plan.stages.iter();
            let place = planned.position(|planned| planned.name == stage.name);
            place.map_or(-1.0, |place| place as f64)
        }
    };
    stages.sort_by(|a, b| {
        let turn = |stage: &StageReport| (stage.round, stage.repetition);
        turn(a)
            .cmp(&turn(b))
            .then(place(a).total_cmp(&place(b)))
            .then(a.attempt.cmp(&b.attempt))
    });
}

fn provenance(
    plan: &Plan,
    engine: &PlannedEngine,
    turns: &[&TurnStatus],
    probes: &[Probe],
    facts: &Facts,
) -> Provenance {
    let revision = revision(plan, engine, probes, facts);
    let last = |value: fn(&TurnStatus) -> Option<&String>| {
        turns.iter().rev().find_map(|turn| value(turn)).cloned()
    };
    let (image, command_line, url) = match &engine.source {
        EngineSource::Deployed(deployment) => {
            let words = deployment.command.iter().chain(&deployment.args);
            (
                Some(deployment.image.clone()),
                words.cloned().collect(),
                None,
            )
        }
        EngineSource::External(external) => (None, Vec::new(), Some(external.url.clone())),
        EngineSource::Simulated(_) => (None, Vec::new(), None),
    };
    let mut nodes = Vec::new();
    for turn in turns {
        nodes.extend(turn.node_name.clone());
    }
    Provenance {
        image,
        image_id: last(|turn| turn.image_id.as_ref()),
        command_line,
        engine_version: last(|turn| turn.summary.as_ref()?.engine_version.as_ref()),
        model: Some(model(plan, engine)),
        model_revision: revision.as_ref().map(|(commit, _)| commit.clone()),
        model_revision_from: revision.map(|(_, from)| from),
        protocol: serde_json::to_value(engine.endpoint.protocol)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned)),
        url,
        hardware: facts
            .outcome
            .nodes
            .iter()
            .filter(|node| nodes.contains(&node.name))
            .cloned()
            .collect(),
        nodes,
        accelerators: Vec::new(),
        neighbours: turns
            .iter()
            .filter_map(|turn| {
                Some(NodeNeighbours {
                    round: turn.round,
                    neighbours: turn.neighbours.clone()?,
                })
            })
            .collect(),
    }
}

/// The commit of the model: as the engine tells, else as its volume does, else as the hub did before.
fn revision(
    plan: &Plan,
    engine: &PlannedEngine,
    probes: &[Probe],
    facts: &Facts,
) -> Option<(String, RevisionSource)> {
    let told = probes
        .iter()
        .rev()
        .find_map(|probe| probe.model_revision.clone());
    if let Some(told) = told {
        return Some((told, RevisionSource::Engine));
    }
    if !matches!(engine.source, EngineSource::Deployed(_)) {
        return None;
    }
    let spec = plan.spec.engines.iter();
    let own = spec.filter(|spec| spec.name == engine.name);
    let own = own
        .filter_map(|spec| spec.model.as_ref()?.id.as_ref())
        .next();
    if let (None, Some(_)) = (own, &plan.prefetch) {
        let volume = facts.outcome.model_volume.as_ref()?;
        let commit = volume.content.commit.clone()?;
        return Some((commit, RevisionSource::Volume));
    }
    let id = own.unwrap_or(&plan.spec.model.id);
    let mut resolved = facts.preflight.repositories.iter();
    let of_model = resolved.find(|it| it.id == *id && it.revision == plan.spec.model.revision)?;
    Some((of_model.commit.clone()?, RevisionSource::Hub))
}

/// The model as the engine was told: its own files where the spec gives it others.
fn model(plan: &Plan, engine: &PlannedEngine) -> String {
    let spec = plan
        .spec
        .engines
        .iter()
        .find(|spec| spec.name == engine.name);
    let own = spec.and_then(|spec| spec.model.as_ref());
    let own = own.and_then(|model| model.id.clone().or_else(|| model.path.clone()));
    match (&engine.source, own) {
        (_, Some(own)) => own,
        (EngineSource::External(_), None) => engine.endpoint.model.clone(),
        _ => format!("{}@{}", plan.spec.model.id, plan.spec.model.revision),
    }
}

/// The accelerators of all stages.
fn accelerators(stages: &[StageReport]) -> Vec<AcceleratorDevice> {
    let all: BTreeSet<&AcceleratorDevice> = stages
        .iter()
        .flat_map(|stage| &stage.accelerators)
        .collect();
    all.into_iter().cloned().collect()
}

/// How long the weights took to load in a round, as the engine tells.
fn weight_loading(stages: &[StageReport], round: u32) -> Option<f64> {
    let of_round = stages.iter().filter(|stage| stage.round == round);
    let name = metric_name(CommonMetric::WeightLoading);
    let mut told = of_round.filter_map(|stage| {
        let metric = stage.engine_metrics.get(name)?;
        metric.direct.as_ref().or(metric.prometheus.as_ref())?.mean
    });
    // An engine that has not loaded anything itself says 0.
    told.find(|seconds| *seconds > 0.0)
}

fn cold_start(
    turn: &TurnStatus,
    probes: &[Probe],
    model_files: Option<ModelFiles>,
    stages: &[StageReport],
) -> Option<ColdStart> {
    let begun = turn.start_time.as_ref()?;
    let since = |moment: Timestamp| moment.duration_since(begun.0).as_secs_f64();
    let until = |moment: &Option<Time>| moment.as_ref().map(|moment| since(moment.0));
    let of_turn = |probe: &&Probe| (probe.round, probe.restart) == (turn.round, turn.restart);
    let probe = probes.iter().find(of_turn);
    let first_token = probe.and_then(|probe| probe.first_token_time.as_ref()?.parse().ok());
    Some(ColdStart {
        round: turn.round,
        scheduled_seconds: until(&turn.scheduled_time),
        image_pulled_seconds: until(&turn.image_pulled_time),
        image_was_present: turn.image_was_present,
        model_files,
        steps: turn
            .steps
            .iter()
            .map(|step| ColdStartStep {
                name: step.name.clone(),
                started_seconds: since(step.start_time.0),
                seconds: step
                    .end_time
                    .0
                    .duration_since(step.start_time.0)
                    .as_secs_f64(),
                message: step.message.clone(),
            })
            .collect(),
        container_started_seconds: until(&turn.container_started_time),
        weight_loading_seconds: weight_loading(stages, turn.round),
        ready_seconds: until(&turn.ready_time),
        first_token_seconds: first_token.map(since),
        first_request_seconds: probe.and_then(|probe| probe.first_token_seconds),
    })
}

fn failure(turn: &TurnStatus) -> Option<EngineFailure> {
    let ended_badly = matches!(turn.phase, EnginePhase::Failed | EnginePhase::Skipped);
    ended_badly.then(|| EngineFailure {
        round: turn.round,
        reason: turn.reason.clone().unwrap_or_else(|| "Unknown".into()),
        message: turn.message.clone().unwrap_or_default(),
        exit_code: turn.exit_code,
    })
}

#[cfg(test)]
mod tests;
