//! Runs that have not ended, one by one: where each is and how far.

use std::collections::BTreeMap;

use bakeoff_crds::{
    manifests::{Turn, names},
    plan::Plan,
    run::{
        BenchmarkRunStatus,
        status::{EnginePhase, RunPhase, TurnStatus, condition},
    },
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    observed::{Observed, StoredPlan},
    status::{conditions, engines},
};

/// Most runs that are told of one by one, the first by namespace and name; all count by phase. Each has
/// a dozen series.
pub const MOST_RUNS: usize = 200;

/// A run's namespace and name.
pub type RunKey = (String, String);

/// How far a run was when it was last looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// What is under way: the reason of its condition Progressing.
    step: String,
    /// When it was taken up, in seconds since 1970.
    started: Option<f64>,
    /// The turn under way.
    turn: Option<TurnFigures>,
    /// Turns of the plan, by their state.
    turns: [(&'static str, u32); 4],
    /// Stages of the turn under way, as the runner tells them.
    stages: Option<[(&'static str, u32); 2]>,
}

/// The engine whose turn it is.
#[derive(Clone, Debug, Default, PartialEq)]
struct TurnFigures {
    engine: String,
    round: u32,
    engine_pod: String,
    runner_job: String,
}

impl Figures {
    /// From what the cluster showed of a run and what was concluded from it.
    pub fn new(observed: &Observed, status: &BenchmarkRunStatus) -> Self {
        let plan = match &observed.plan {
            StoredPlan::Stored(plan) => Some(plan),
            StoredPlan::Missing | StoredPlan::Unreadable(_) => None,
        };
        let counts: Vec<&TurnStatus> = status.turns.iter().filter(|it| !it.superseded).collect();
        let of = |phase| {
            let found = counts.iter().filter(|turn| turn.phase == phase);
            u32::try_from(found.count()).unwrap_or(u32::MAX)
        };
        let planned = plan.map_or(0, |plan| {
            let engines = u32::try_from(plan.engines.len()).unwrap_or(u32::MAX);
            engines.saturating_mul(plan.spec.policy.rounds)
        });
        let under_way = counts.iter().find(|turn| !engines::is_over(turn.phase));
        let progress = observed.progress.as_ref();
        let step = conditions::get(&status.conditions, condition::PROGRESSING);
        Self {
            step: step.map(|found| found.reason.clone()).unwrap_or_default(),
            started: status
                .start_time
                .as_ref()
                .map(|time| time.0.as_second() as f64),
            turn: under_way
                .zip(plan)
                .map(|(turn, plan)| turn_figures(plan, turn)),
            turns: [
                ("Planned", planned),
                ("Succeeded", of(EnginePhase::Succeeded)),
                ("Failed", of(EnginePhase::Failed)),
                ("Skipped", of(EnginePhase::Skipped)),
            ],
            stages: progress.map(|progress| {
                [
                    ("Planned", progress.stages_planned),
                    ("Done", progress.stages_done),
                ]
            }),
        }
    }
}

fn turn_figures(plan: &Plan, turn: &TurnStatus) -> TurnFigures {
    let engine = plan.engines.iter().position(|it| it.name == turn.engine);
    let place = engine.map(|engine| Turn {
        engine,
        round: turn.round,
        restart: turn.restart,
    });
    TurnFigures {
        engine: turn.engine.clone(),
        round: turn.round,
        engine_pod: turn.pod_name.clone().unwrap_or_default(),
        runner_job: place
            .map(|turn| names::runner(plan, turn))
            .unwrap_or_default(),
    }
}

/// Gauges of runs that have not ended. Clones share them.
///
/// No label is called `namespace`, `pod` or `job`: a Prometheus gives every series those of its target,
/// and renames a series' own.
#[derive(Clone, Debug)]
pub(super) struct Active {
    info: Family<InfoLabels, Gauge>,
    started: Family<RunLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
    turn: Family<TurnLabels, Gauge>,
    turns: Family<StateLabels, Gauge>,
    stages: Family<StateLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    run_namespace: String,
    run: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InfoLabels {
    run_namespace: String,
    run: String,
    phase: &'static str,
    step: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    run_namespace: String,
    run: String,
    engine: String,
    round: u32,
    engine_pod: String,
    runner_job: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    run_namespace: String,
    run: String,
    state: &'static str,
}

impl Active {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let active = Self {
            info: Family::default(),
            started: Family::default(),
            turn: Family::default(),
            turns: Family::default(),
            stages: Family::default(),
        };
        registry.register(
            "run_active",
            "A run that has not ended, its phase, and what is under way",
            active.info.clone(),
        );
        registry.register_with_unit(
            "run_start_time",
            "When a run that has not ended was taken up, since 1970",
            Unit::Seconds,
            active.started.clone(),
        );
        registry.register(
            "run_turn",
            "The engine whose turn it is in a run, its pod, and the Job that loads it",
            active.turn.clone(),
        );
        registry.register(
            "run_turns",
            "Turns of engines in a run that has not ended, all rounds together, by state",
            active.turns.clone(),
        );
        registry.register(
            "run_stages",
            "Stages of the turn under way, by state, as its runner tells them",
            active.stages.clone(),
        );
        active
    }

    /// Sets what is there now, and nothing else. `runs` are those that have not ended.
    pub(super) fn set<'a>(
        &self,
        runs: impl Iterator<Item = (&'a RunKey, &'static str)>,
        figures: &BTreeMap<RunKey, Figures>,
    ) {
        self.info.clear();
        self.started.clear();
        self.turn.clear();
        self.turns.clear();
        self.stages.clear();
        for ((namespace, name), phase) in runs.take(MOST_RUNS) {
            let (run_namespace, run) = (namespace.clone(), name.clone());
            let found = figures.get(&(run_namespace.clone(), run.clone()));
            self.info
                .get_or_create(&InfoLabels {
                    run_namespace: run_namespace.clone(),
                    run: run.clone(),
                    phase,
                    step: found.map(|found| found.step.clone()).unwrap_or_default(),
                })
                .set(1);
            if let Some(found) = found {
                self.set_one(&RunLabels { run_namespace, run }, found);
            }
        }
    }

    fn set_one(&self, run: &RunLabels, found: &Figures) {
        if let Some(started) = found.started {
            self.started.get_or_create(run).set(started);
        }
        if let Some(turn) = found.turn.clone() {
            self.turn
                .get_or_create(&TurnLabels {
                    run_namespace: run.run_namespace.clone(),
                    run: run.run.clone(),
                    engine: turn.engine,
                    round: turn.round,
                    engine_pod: turn.engine_pod,
                    runner_job: turn.runner_job,
                })
                .set(1);
        }
        let with = |state| StateLabels {
            run_namespace: run.run_namespace.clone(),
            run: run.run.clone(),
            state,
        };
        for (state, count) in found.turns {
            self.turns.get_or_create(&with(state)).set(count.into());
        }
        for (state, count) in found.stages.into_iter().flatten() {
            self.stages.get_or_create(&with(state)).set(count.into());
        }
    }
}

/// Whether a run in this phase may still change.
pub(super) fn is_active(phase: RunPhase) -> bool {
    !matches!(phase, RunPhase::Complete | RunPhase::Failed)
}
