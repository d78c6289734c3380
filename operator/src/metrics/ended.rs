//! What has come to an end: runs, engines' turns, rounds that began anew.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use bakeoff_crds::run::{
    BenchmarkRunStatus,
    status::{EnginePhase, TurnStatus, condition},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{
    decide::has_ended,
    status::{conditions, engines},
};

/// Most reasons that are told apart. A runner's come from outside, so that they must not grow without
/// bound; Bakeoff has some forty.
const MOST_REASONS: usize = 64;
/// What every further one is counted as.
const OTHER: &str = "Other";

/// Counters and histograms of what has come to an end. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    runs: Family<EndLabels, Counter>,
    run_duration: Family<OutcomeLabels, Histogram>,
    turns: Family<EndLabels, Counter>,
    steps: Family<StepLabels, Histogram>,
    restarts: Family<ReasonLabels, Counter>,
    reasons: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    outcome: &'static str,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: String,
}

impl Ended {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let ended = Self {
            runs: Family::default(),
            // From half a minute to three days.
            run_duration: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(30.0, 2.0, 14))
            }),
            turns: Family::default(),
            // From a second to two hours.
            steps: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(1.0, 2.0, 14))
            }),
            restarts: Family::default(),
            reasons: Arc::default(),
        };
        registry.register(
            "runs_ended",
            "Benchmark runs that came to their end, by outcome and reason",
            ended.runs.clone(),
        );
        registry.register_with_unit(
            "run_duration",
            "From a run's start to its end",
            Unit::Seconds,
            ended.run_duration.clone(),
        );
        registry.register(
            "turns_ended",
            "Turns of engines that came to their end, by outcome and reason",
            ended.turns.clone(),
        );
        registry.register_with_unit(
            "turn_step_duration",
            "Parts of an engine's turn: waiting for a node, pulling the image, starting, under load until freed",
            Unit::Seconds,
            ended.steps.clone(),
        );
        registry.register(
            "rounds_restarted",
            "Rounds that began anew on another node, by how theirs was lost",
            ended.restarts.clone(),
        );
        ended
    }

    /// Counts what ended between two statuses of a run, both of which were stored.
    pub(super) fn count(&self, before: &BenchmarkRunStatus, after: &BenchmarkRunStatus) {
        if has_ended(after) && !has_ended(before) {
            self.run(after);
        }
        let was_over = |turn: &TurnStatus| {
            before.turns.iter().any(|then| {
                (&then.engine, then.round, then.restart) == (&turn.engine, turn.round, turn.restart)
                    && engines::is_over(then.phase)
            })
        };
        for turn in &after.turns {
            if engines::is_over(turn.phase) && !was_over(turn) {
                self.turn(turn);
            }
        }
        for restart in &after.restarts {
            if !before.restarts.contains(restart) {
                let reason = self.known(&restart.reason);
                self.restarts.get_or_create(&ReasonLabels { reason }).inc();
            }
        }
    }

    fn run(&self, status: &BenchmarkRunStatus) {
        let (kind, outcome) = if conditions::is_true(&status.conditions, condition::COMPLETE) {
            (condition::COMPLETE, "Complete")
        } else {
            (condition::FAILED, "Failed")
        };
        let reason = conditions::get(&status.conditions, kind).map(|found| &*found.reason);
        let reason = self.known(reason.unwrap_or_default());
        self.runs
            .get_or_create(&EndLabels { outcome, reason })
            .inc();
        if let Some(seconds) = between(&status.start_time, &status.completion_time) {
            let labels = OutcomeLabels { outcome };
            self.run_duration.get_or_create(&labels).observe(seconds);
        }
    }

    fn turn(&self, turn: &TurnStatus) {
        let outcome = match turn.phase {
            EnginePhase::Succeeded => "Succeeded",
            EnginePhase::Skipped => "Skipped",
            _ => "Failed",
        };
        let reason = self.known(turn.reason.as_deref().unwrap_or_default());
        self.turns
            .get_or_create(&EndLabels { outcome, reason })
            .inc();
        // What was on the node already was not pulled.
        let pulled = match turn.image_was_present {
            Some(false) => &turn.image_pulled_time,
            _ => &None,
        };
        for (step, seconds) in [
            (
                "Scheduling",
                between(&turn.start_time, &turn.scheduled_time),
            ),
            ("ImagePull", between(&turn.scheduled_time, pulled)),
            (
                "Startup",
                between(&turn.container_started_time, &turn.ready_time),
            ),
            ("Load", between(&turn.ready_time, &turn.end_time)),
        ] {
            if let Some(seconds) = seconds {
                self.steps
                    .get_or_create(&StepLabels { step })
                    .observe(seconds);
            }
        }
    }

    /// The reason as a label: itself, or one for all that are too many.
    fn known(&self, reason: &str) -> String {
        let mut known = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let is_word = reason.len() <= 64 && reason.chars().all(|c| c.is_ascii_alphanumeric());
        if !known.contains(reason) && (!is_word || known.len() >= MOST_REASONS) {
            return OTHER.to_owned();
        }
        known.insert(reason.to_owned());
        reason.to_owned()
    }
}

/// Seconds from one time to the other; none where either is not known or clocks disagree.
fn between(from: &Option<Time>, to: &Option<Time>) -> Option<f64> {
    let seconds = to
        .as_ref()?
        .0
        .duration_since(from.as_ref()?.0)
        .as_secs_f64();
    (seconds >= 0.0).then_some(seconds)
}
