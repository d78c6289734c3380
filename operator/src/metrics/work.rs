//! The operator's own work: reconciliations, and what it asks of the API server.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// What a reconciliation looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Everything, read from the API server.
    Full,
    /// At most a pod of the run.
    None,
}

impl Look {
    const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

/// Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Work {
    reconciliations: Counter,
    errors: Family<ErrorLabels, Counter>,
    duration: Histogram,
    own: Family<LookLabels, Histogram>,
    requests: Family<RequestLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookLabels {
    look: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: String,
}

impl Work {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let work = Self {
            reconciliations: Counter::default(),
            errors: Family::default(),
            duration: Histogram::new(exponential_buckets(0.005, 2.0, 12)),
            own: Family::new_with_constructor(|| {
                Histogram::new([
                    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
                ])
            }),
            requests: Family::default(),
        };
        registry.register(
            "reconciliations",
            "Reconciliations begun",
            work.reconciliations.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Reconciliations that failed, by step",
            work.errors.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Time of a reconciliation",
            Unit::Seconds,
            work.duration.clone(),
        );
        registry.register_with_unit(
            "reconcile_own",
            "Time of a reconciliation in which the operator itself was at work, without waiting for \
             answers, by whether everything was read (full) or nothing (none)",
            Unit::Seconds,
            work.own.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API server, as rights name them; a watch counts once for as long as it lasts",
            work.requests.clone(),
        );
        work
    }

    pub(super) fn reconciled(
        &self,
        took: Duration,
        worked: Duration,
        look: Look,
        error: Option<&'static str>,
    ) {
        self.reconciliations.inc();
        self.duration.observe(took.as_secs_f64());
        let look = LookLabels { look: look.name() };
        self.own.get_or_create(&look).observe(worked.as_secs_f64());
        if let Some(reason) = error {
            self.errors.get_or_create(&ErrorLabels { reason }).inc();
        }
    }

    pub(super) fn requested(&self, verb: &'static str, resource: String) {
        let labels = RequestLabels { verb, resource };
        self.requests.get_or_create(&labels).inc();
    }
}
