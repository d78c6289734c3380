//! Metrics of the operator itself.

use std::{sync::Arc, time::Duration};

use bakeoff_crds::run::status::RunPhase;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

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

/// Metrics of the operator itself.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    reconciliations: Counter,
    errors: Family<ErrorLabels, Counter>,
    duration: Histogram,
    runs: Family<PhaseLabels, Gauge>,
    leader: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let reconciliations = Counter::default();
        let errors = Family::<ErrorLabels, Counter>::default();
        let duration = Histogram::new(exponential_buckets(0.005, 2.0, 12));
        let runs = Family::<PhaseLabels, Gauge>::default();
        let mut registry = Registry::with_prefix("bakeoff");
        registry.register(
            "reconciliations",
            "Reconciliations begun",
            reconciliations.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Reconciliations that failed, by step",
            errors.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a reconciliation",
            Unit::Seconds,
            duration.clone(),
        );
        registry.register("runs", "Benchmark runs, by phase", runs.clone());
        let leader = Gauge::default();
        registry.register(
            "leader",
            "Whether this operator acts (1) or waits for another's Lease to end (0)",
            leader.clone(),
        );
        Self {
            registry: Arc::new(registry),
            reconciliations,
            errors,
            duration,
            runs,
            leader,
        }
    }
}

impl Metrics {
    /// Counts a reconciliation, with the category of its error where it failed.
    pub fn reconciled(&self, took: Duration, error: Option<&'static str>) {
        self.reconciliations.inc();
        self.duration.observe(took.as_secs_f64());
        if let Some(reason) = error {
            self.errors.get_or_create(&ErrorLabels { reason }).inc();
        }
    }

    /// Says whether this operator acts.
    pub fn set_leader(&self, is_leader: bool) {
        self.leader.set(i64::from(is_leader));
    }

    /// Text in the OpenMetrics format, with the runs that are there now.
    ///
    /// # Errors
    /// Where the text cannot be written, which is never for a string.
    pub fn render(
        &self,
        phases: impl Iterator<Item = RunPhase>,
    ) -> Result<String, std::fmt::Error> {
        let phases: Vec<RunPhase> = phases.collect();
        for phase in PHASES {
            let count = phases.iter().filter(|found| **found == phase).count();
            self.runs
                .get_or_create(&PhaseLabels { phase: name(phase) })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
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
mod tests {
    use super::*;

    #[test]
    fn metrics_have_stable_names_and_bounded_labels() {
        let metrics = Metrics::default();
        metrics.reconciled(Duration::from_millis(7), None);
        metrics.reconciled(Duration::from_millis(7), Some("apply"));
        metrics.set_leader(true);
        let text = metrics
            .render([RunPhase::Running, RunPhase::Running, RunPhase::Failed].into_iter())
            .unwrap();
        for line in [
            "bakeoff_reconciliations_total 2",
            "bakeoff_reconcile_errors_total{reason=\"apply\"} 1",
            "bakeoff_reconcile_duration_seconds_count 2",
            "bakeoff_runs{phase=\"Running\"} 2",
            "bakeoff_runs{phase=\"Failed\"} 1",
            "bakeoff_runs{phase=\"Complete\"} 0",
            "bakeoff_leader 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let later = metrics.render(std::iter::empty()).unwrap();
        assert!(
            later.contains("bakeoff_runs{phase=\"Running\"} 0"),
            "{later}"
        );
    }
}
