//! Metrics of the operator itself, and of the runs that it brings forward.

mod active;
mod ended;
mod work;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bakeoff_crds::run::{BenchmarkRunStatus, status::RunPhase};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use active::Active;
pub use active::{Figures, MOST_RUNS, RunKey};
use ended::Ended;
pub use work::Look;
use work::Work;

/// Every phase, so that a phase without a run reads 0.
const PHASES: [RunPhase; 8] = [
    RunPhase::Pending,
    RunPhase::Suspended,
    RunPhase::Preflight,
    RunPhase::Prefetching,
    RunPhase::Running,
    RunPhase::Reporting,
    RunPhase::Complete,
    RunPhase::Failed,
];

/// Metrics of the operator itself, and of the runs that it brings forward. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    work: Work,
    runs: Family<PhaseLabels, Gauge>,
    leader: Gauge,
    ended: Ended,
    active: Active,
    /// How far runs were when they were last looked at.
    figures: Arc<Mutex<BTreeMap<RunKey, Figures>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let runs = Family::<PhaseLabels, Gauge>::default();
        let mut registry = Registry::with_prefix("bakeoff");
        let work = Work::register(&mut registry);
        registry.register("runs", "Benchmark runs, by phase", runs.clone());
        let leader = Gauge::default();
        registry.register(
            "leader",
            "Whether this operator acts (1) or waits for another's Lease to end (0)",
            leader.clone(),
        );
        let ended = Ended::register(&mut registry);
        let active = Active::register(&mut registry);
        Self {
            registry: Arc::new(registry),
            work,
            runs,
            leader,
            ended,
            active,
            figures: Arc::default(),
        }
    }
}

impl Metrics {
    /// Counts a reconciliation: all of its time, that in which the operator itself was at work, and the
    /// category of its error where it failed.
    pub fn reconciled(
        &self,
        took: Duration,
        worked: Duration,
        look: Look,
        error: Option<&'static str>,
    ) {
        self.work.reconciled(took, worked, look, error);
    }

    /// Counts a request to the API server.
    pub fn requested(&self, verb: &'static str, resource: String) {
        self.work.requested(verb, resource);
    }

    /// Says whether this operator acts.
    pub fn set_leader(&self, is_leader: bool) {
        self.leader.set(i64::from(is_leader));
    }

    /// Counts what ended between two statuses of a run, both of which were stored, and notes how far the
    /// run is.
    pub fn saw(
        &self,
        run: RunKey,
        before: &BenchmarkRunStatus,
        after: &BenchmarkRunStatus,
        figures: Figures,
    ) {
        self.ended.count(before, after);
        let mut known = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(run, figures);
    }

    /// Text in the OpenMetrics format, with the runs that are there now.
    ///
    /// # Errors
    /// Where the text cannot be written, which is never for a string.
    pub fn render(
        &self,
        runs: impl Iterator<Item = (RunKey, RunPhase)>,
    ) -> Result<String, std::fmt::Error> {
        let runs: BTreeMap<RunKey, RunPhase> = runs.collect();
        for phase in PHASES {
            let count = runs.values().filter(|found| **found == phase).count();
            self.runs
                .get_or_create(&PhaseLabels { phase: name(phase) })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let active = runs.iter().filter(|(_, phase)| active::is_active(**phase));
        // Held until all is written: two that ask at once must not see each other's half.
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.retain(|run, _| runs.get(run).is_some_and(|phase| active::is_active(*phase)));
        self.active
            .set(active.map(|(run, phase)| (run, name(*phase))), &figures);
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        drop(figures);
        Ok(out)
    }
}

const fn name(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Pending => "Pending",
        RunPhase::Suspended => "Suspended",
        RunPhase::Preflight => "Preflight",
        RunPhase::Prefetching => "Prefetching",
        RunPhase::Running => "Running",
        RunPhase::Reporting => "Reporting",
        RunPhase::Complete => "Complete",
        RunPhase::Failed => "Failed",
    }
}

#[cfg(test)]
mod tests;
