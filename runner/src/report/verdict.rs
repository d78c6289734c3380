//! Verdicts on engines and on the whole run, from those of the stages and from what only shows on
//! the whole.

use std::collections::BTreeMap;

use bakeoff_crds::{
    outcome::Outcome,
    plan::Plan,
    report::{EngineReport, SearchEnd, SearchReport, StageReport, Verdict, VerdictReason},
    run::status::{RoundRestart, TurnStatus, VerdictStatus},
    summary::reason::{
        ENGINE_EVICTED, ENGINE_PREEMPTED, ENGINE_RESTARTED, NODE_LOST, ROUND_RESTARTED,
    },
};

use super::{spread::counts, table::names_of_stages};

/// Share by which engines' answers may differ in length before a comparison of their throughput is
/// doubtful.
const OUTPUT_LENGTH_TOLERANCE: f64 = 0.05;

/// Marks what was measured of a round before it began anew on another node: the other engines'
/// figures that count come from there. `turns` are those of the engine that count.
pub fn mark_superseded(
    stages: &mut [StageReport],
    turns: &[&TurnStatus],
    restarts: &[RoundRestart],
) {
    for stage in stages {
        let counted = turns.iter().filter(|turn| turn.round == stage.round);
        let last = counted.map(|turn| turn.restart).max().unwrap_or_default();
        if stage.restart >= last {
            continue;
        }
        let node = restarts
            .iter()
            .find(|known| known.round == stage.round && known.restart == stage.restart + 1)
            .and_then(|known| known.node_name.as_deref())
            .unwrap_or("a node that was lost");
        add(
            stage,
            ROUND_RESTARTED,
            format!("measured on {node}, before the round began anew on another node"),
        );
    }
}

/// Marks attempts that were cut: of several attempts at one stage, only the last counts.
pub fn mark_cut_attempts(stages: &mut [StageReport]) {
    let mut last: BTreeMap<(u32, u32, String), u32> = BTreeMap::new();
    let key = |stage: &StageReport| (stage.round, stage.repetition, stage.name.clone());
    for stage in stages.iter() {
        let attempt = last.entry(key(stage)).or_default();
        *attempt = stage.attempt.max(*attempt);
    }
    for stage in stages {
        let counted = last.get(&key(stage)).copied().unwrap_or_default();
        if stage.attempt < counted && !was_cut(stage) {
            add(
                stage,
                "AttemptCut",
                format!("the stage was cut and driven again as attempt {counted}"),
            );
        }
    }
}

/// Marks the stages of turns during which the engine was replaced or its node was lost: which of
/// their requests met which engine cannot be told.
pub fn mark_broken_turns(stages: &mut [StageReport], turns: &[&TurnStatus]) {
    for turn in turns {
        let Some(reason @ (ENGINE_RESTARTED | NODE_LOST | ENGINE_PREEMPTED | ENGINE_EVICTED)) =
            turn.reason.as_deref()
        else {
            continue;
        };
        let of_turn =
            |stage: &&mut StageReport| (stage.round, stage.restart) == (turn.round, turn.restart);
        for stage in stages.iter_mut().filter(of_turn) {
            let message = turn.message.clone().unwrap_or_default();
            add(stage, reason, message);
        }
    }
}

fn add(stage: &mut StageReport, reason: &str, message: String) {
    let mut reasons = std::mem::take(&mut stage.verdict.reasons);
    if reasons.iter().all(|known| known.reason != reason) {
        reasons.push(VerdictReason {
            reason: reason.to_owned(),
            message,
            status: VerdictStatus::Invalid,
        });
    }
    stage.verdict = Verdict::of(reasons);
}

/// The verdict on an engine's figures: the reasons of its stages, each once, with the stages that
/// it holds for. Cut attempts count for nothing.
pub fn of_engine(engine: &EngineReport) -> Verdict {
    if engine.stages.iter().all(was_cut) {
        return Verdict::of(vec![VerdictReason {
            reason: "NoResult".into(),
            message: "no stage was measured".into(),
            status: VerdictStatus::Invalid,
        }]);
    }
    let mut found: Vec<(VerdictReason, Vec<&str>)> = Vec::new();
    for stage in engine.stages.iter().filter(|stage| !was_cut(stage)) {
        for reason in &stage.verdict.reasons {
            let known = found
                .iter_mut()
                .find(|(known, _)| known.reason == reason.reason && known.status == reason.status);
            match known {
                Some((_, stages)) if !stages.contains(&stage.name.as_str()) => {
                    stages.push(&stage.name);
                }
                Some(_) => {}
                None => found.push((reason.clone(), vec![&stage.name])),
            }
        }
    }
    let reasons = found.into_iter().map(|(mut reason, stages)| {
        let at = match stages.as_slice() {
            [one] => (*one).to_owned(),
            [first, .., last] => format!("{first} and {} more up to {last}", stages.len() - 1),
            [] => String::new(),
        };
        reason.message = format!("{at}: {}", reason.message);
        reason
    });
    Verdict::of(reasons.collect())
}

/// The verdict on the whole run: those of the engines that were measured, and what only shows on
/// the whole.
pub fn of_run(plan: &Plan, outcome: &Outcome, engines: &[EngineReport]) -> Verdict {
    let mut reasons = Vec::new();
    let measured = || {
        engines
            .iter()
            .filter(|engine| !engine.stages.iter().all(was_cut))
    };
    for engine in measured() {
        reasons.extend(engine.verdict.reasons.iter().map(|reason| VerdictReason {
            message: format!("{}, {}", engine.name, reason.message),
            ..reason.clone()
        }));
    }
    if measured().next().is_none() {
        reasons.push(VerdictReason {
            reason: "NoResult".into(),
            message: "no engine was measured".into(),
            status: VerdictStatus::Invalid,
        });
    }
    let failed = engines.iter().filter_map(engine_failed);
    let missing = engines
        .iter()
        .filter_map(|engine| stages_missing(plan, engine));
    let turns: Vec<&TurnStatus> = outcome
        .turns
        .iter()
        .filter(|turn| !turn.superseded)
        .collect();
    let whole = [
        node_changed(&turns),
        runner_on_engine_node(&turns),
        node_shared(&turns),
    ];
    let lengths = names_of_stages(engines)
        .iter()
        .find_map(|stage| output_lengths(engines, stage));
    let suspect = failed
        .chain(missing)
        .chain(whole.into_iter().flatten())
        .chain(lengths);
    reasons.extend(suspect.map(|(reason, message)| VerdictReason {
        reason: reason.to_owned(),
        message,
        status: VerdictStatus::Suspect,
    }));
    Verdict::of(reasons)
}

type Found = (&'static str, String);

/// Whether a stage ran to its end, however well.
pub(super) fn is_whole(stage: &StageReport) -> bool {
    let cut = ["AttemptCut", "RunnerLost", "Cancelled", ROUND_RESTARTED];
    let reasons = &stage.verdict.reasons;
    !reasons
        .iter()
        .any(|reason| cut.contains(&reason.reason.as_str()))
}

fn was_cut(stage: &StageReport) -> bool {
    stage
        .verdict
        .reasons
        .iter()
        .any(|reason| reason.reason == "AttemptCut" || reason.reason == ROUND_RESTARTED)
}

fn engine_failed(engine: &EngineReport) -> Option<Found> {
    let failure = engine.failures.first()?;
    Some((
        "EngineFailed",
        format!(
            "{}, round {}, {}: {}",
            engine.name, failure.round, failure.reason, failure.message
        ),
    ))
}

/// An engine of which some was measured, but not all that was planned.
fn stages_missing(plan: &Plan, engine: &EngineReport) -> Option<Found> {
    let rounds = plan.spec.policy.rounds as usize;
    if plan.search.is_some() {
        return search_missing(plan, engine);
    }
    let planned = plan.stages.len() * plan.spec.workload.repetitions as usize * rounds;
    let done = engine.stages.iter().filter(|stage| !was_cut(stage)).count();
    (done > 0 && done < planned).then(|| {
        (
            "StagesMissing",
            format!(
                "{}: {done} of {planned} planned stages were measured",
                engine.name
            ),
        )
    })
}

/// An engine of which some was measured, but not every search to its end. How many stages that takes
/// is not known before.
fn search_missing(plan: &Plan, engine: &EngineReport) -> Option<Found> {
    let planned = plan.spec.policy.rounds * plan.spec.workload.repetitions;
    let ended = |search: &&SearchReport| search.end != SearchEnd::Incomplete;
    let done = engine.searches.iter().filter(ended).count();
    (!engine.stages.is_empty() && done < planned as usize).then(|| {
        (
            "StagesMissing",
            format!(
                "{}: {done} of {planned} searches came to their end",
                engine.name
            ),
        )
    })
}

fn node_changed(turns: &[&TurnStatus]) -> Option<Found> {
    let mut nodes: Vec<&str> = Vec::new();
    for node in turns.iter().filter_map(|turn| turn.node_name.as_deref()) {
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    (nodes.len() > 1).then(|| {
        (
            "NodeChanged",
            format!(
                "the engines did not all run on one node, but on {}",
                nodes.join(", ")
            ),
        )
    })
}

fn runner_on_engine_node(turns: &[&TurnStatus]) -> Option<Found> {
    let shared = turns
        .iter()
        .find(|turn| turn.node_name.is_some() && turn.node_name == turn.runner_node_name)?;
    let node = shared.node_name.as_deref().unwrap_or_default();
    Some((
        "RunnerOnEngineNode",
        format!(
            "the load for {} came from the engine's own node {node}, whose CPU they shared; \
             give the runner another node (spec.runner.nodeSelector)",
            shared.engine
        ),
    ))
}

/// Who else may have taken CPU, memory bandwidth or an accelerator's share while an engine was
/// loaded. The engine with the most of them is named.
fn node_shared(turns: &[&TurnStatus]) -> Option<Found> {
    let (turn, neighbours) = turns
        .iter()
        .filter_map(|turn| Some((turn, turn.neighbours.as_ref()?)))
        .filter(|(_, neighbours)| neighbours.take_part())
        .max_by_key(|(_, neighbours)| (neighbours.accelerators, neighbours.cpu_millis))?;
    let names = neighbours.names.join(", ");
    let more = match (neighbours.pods as usize).saturating_sub(neighbours.names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some((
        "NodeShared",
        format!(
            "in round {}, {} shared {} with pods of others ({names}{more}), which had asked for {} \
             CPUs and {} accelerators; give the run a node of its own (a taint and \
             spec.hardware.tolerations, or spec.hardware.nodeSelector)",
            turn.round,
            turn.engine,
            turn.node_name.as_deref().unwrap_or("its node"),
            neighbours.cpu_millis as f64 / 1000.0,
            neighbours.accelerators,
        ),
    ))
}

/// Engines whose answers differ in length do different work, so that their throughputs do not
/// compare.
fn output_lengths(engines: &[EngineReport], stage: &str) -> Option<Found> {
    let mut lengths: Vec<(&str, f64)> = engines
        .iter()
        .filter_map(|engine| {
            let stages = engine
                .stages
                .iter()
                .filter(|one| one.name == stage && counts(one));
            let means: Vec<f64> = stages
                .filter_map(|one| Some(one.output_tokens.as_ref()?.distribution.mean))
                .collect();
            let sum: f64 = means.iter().sum();
            (!means.is_empty()).then(|| (engine.name.as_str(), sum / means.len() as f64))
        })
        .collect();
    lengths.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (shortest, longest) = (lengths.first()?, lengths.last()?);
    let differ = longest.1 > shortest.1 * (1.0 + OUTPUT_LENGTH_TOLERANCE);
    differ.then(|| {
        (
            "OutputLengthsDiffer",
            format!(
                "at {stage} the answers of {} have {:.1} tokens on average and those of {} {:.1}; \
                 set workload.sampling.ignoreEos where every engine can, so that all do the same work",
                shortest.0, shortest.1, longest.0, longest.1
            ),
        )
    })
}
