//! What was read of a run, and what may be done upon it: whatever is made, removed or concluded is
//! decided on a look that was just made. What is kept of an older one only tells how far a run is.

use bakeoff_crds::{
    plan::PlanSettings,
    run::{
        BenchmarkRun, BenchmarkRunStatus,
        status::{Neighbours, RunPhase},
    },
};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};

use crate::{
    decide::{Decision, Words, decide},
    idle::Version,
    observed::{Observed, Progress, leads},
    pod, slim,
};

/// What was read of a run just now. Only [`super::Observer::observe`] makes one.
#[derive(Debug)]
pub struct Fresh {
    run: BenchmarkRun,
    observed: Observed,
}

impl Fresh {
    pub(super) fn new(run: BenchmarkRun, observed: Observed) -> Self {
        Self { run, observed }
    }

    /// Decides what to do.
    pub fn decide(self, settings: &PlanSettings, now: Timestamp) -> Step {
        let decision = decide(&self.run, &self.observed, settings, now);
        let before = self.run.status.clone().unwrap_or_default();
        Step {
            fresh: self,
            decision,
            before,
        }
    }
}

/// What was decided on a fresh look. Nothing is made or removed, and no status is written, but upon
/// one of these.
#[derive(Debug)]
pub struct Step {
    fresh: Fresh,
    decision: Decision,
    before: BenchmarkRunStatus,
}

impl Step {
    /// The run: as it was read, or as it was last written.
    pub fn run(&self) -> &BenchmarkRun {
        &self.fresh.run
    }

    /// What was seen.
    pub fn observed(&self) -> &Observed {
        &self.fresh.observed
    }

    /// What is to be done.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The status at the look.
    pub fn before(&self) -> &BenchmarkRunStatus {
        &self.before
    }

    /// Notes how the run is after its status was written.
    pub(crate) fn wrote(&mut self, run: BenchmarkRun) {
        self.fresh.run = run;
    }

    /// Whether nothing is to be done but perhaps to tell how far the run is.
    pub fn is_quiet(&self) -> bool {
        self.decision.is_quiet(&self.before)
    }

    /// Whether a pod of the run says how far it is, and will be asked again before the next look.
    pub fn tells(&self) -> bool {
        tells(&self.fresh.run, &self.fresh.observed)
    }

    /// What is kept of the look once it is over.
    pub fn keep(self) -> Kept {
        let Fresh { run, mut observed } = self.fresh;
        observed.pods.iter_mut().for_each(slim::own_pod);
        observed.jobs.iter_mut().for_each(slim::own_job);
        Kept { run, observed }
    }
}

/// What is kept of a look at which nothing was to be done.
#[derive(Debug)]
pub struct Kept {
    run: BenchmarkRun,
    observed: Observed,
}

/// What was heard of a run since its last look, other than by watches.
#[derive(Debug)]
pub struct Heard {
    /// What the pod at work says of itself.
    pub progress: Option<Progress>,
    /// Who else is on the node of the engine under load.
    pub neighbours: Option<Neighbours>,
}

impl Kept {
    /// The run, as it was read or last written.
    pub fn run(&self) -> &BenchmarkRun {
        &self.run
    }

    /// What was seen.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The version of the run.
    pub fn version(&self) -> Version {
        Version::of(&self.run.metadata)
    }

    /// The versions of its pods and Jobs.
    pub fn seen(&self) -> Vec<Version> {
        let pods = self.observed.pods.iter().map(|found| &found.metadata);
        let jobs = self.observed.jobs.iter().map(|found| &found.metadata);
        pods.chain(jobs).map(Version::of).collect()
    }

    /// Whether a pod of the run says how far it is.
    pub fn tells(&self) -> bool {
        tells(&self.run, &self.observed)
    }

    /// What there is to tell now that this was heard; `None` where that is no longer all that is to be
    /// done, or the pod at work is silent: then everything is to be looked at.
    pub fn hear(&mut self, heard: Heard, settings: &PlanSettings, now: Timestamp) -> Option<Words> {
        self.observed.progress = Some(heard.progress?);
        self.observed.neighbours = heard.neighbours;
        let decision = decide(&self.run, &self.observed, settings, now);
        let before = self.run.status.as_ref()?;
        decision
            .is_quiet(before)
            .then(|| Words::of(&decision.status))
    }

    /// The status with these words.
    pub(crate) fn status_with(&self, told: &Words) -> Option<BenchmarkRunStatus> {
        let mut status = self.run.status.clone()?;
        told.put_into(&mut status);
        Some(status)
    }

    /// Notes how the run is after that was written.
    pub(crate) fn wrote(&mut self, run: BenchmarkRun) {
        self.run = run;
    }
}

/// The pod that tells how far a run is: the runner, or the one that fetches the model.
pub(super) fn speaker(observed: &Observed) -> Option<&Pod> {
    use bakeoff_crds::manifests::labels::{COMPONENT_PREFETCH, COMPONENT_RUNNER};
    observed
        .pods_of(COMPONENT_RUNNER)
        .chain(observed.pods_of(COMPONENT_PREFETCH))
        .find(|found| {
            leads(found)
                && !pod::has_ended(found)
                && !pod::is_deleting(found)
                && pod::ip(found).is_some()
        })
}

fn tells(run: &BenchmarkRun, observed: &Observed) -> bool {
    let phase = run.status.as_ref().map(|status| status.phase);
    let is_under_way = matches!(phase, Some(RunPhase::Running | RunPhase::Prefetching));
    is_under_way && speaker(observed).is_some() && observed.progress.is_some()
}
