//! A decision in the making.

use std::time::Duration;

use bakeoff_crds::{
    manifests::{MonitoringApi, labels, names},
    plan::{Plan, RunIdentity},
    run::{
        BenchmarkRun, BenchmarkRunStatus,
        status::{RunPhase, condition},
    },
};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
    jiff::Timestamp,
};
use kube::{Resource, ResourceExt};

use super::{Decision, attention};
use crate::{
    child::{Child, ChildKind, ChildRef},
    job,
    observed::{FoundObject, Observed},
    pod,
    status::conditions,
};

/// A decision in the making.
pub(super) struct Draft<'a> {
    pub(super) run: &'a BenchmarkRun,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) status: BenchmarkRunStatus,
    pub(super) apply: Vec<Child>,
    sweep: Vec<ChildRef>,
    delete: Vec<ChildRef>,
    requeue: Option<Duration>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(run: &'a BenchmarkRun, observed: &'a Observed, now: Timestamp) -> Self {
        let mut status = run.status.clone().unwrap_or_default();
        status.start_time.get_or_insert(Time(now));
        Self {
            run,
            observed,
            now,
            status,
            apply: Vec::new(),
            sweep: Vec::new(),
            delete: Vec::new(),
            requeue: None,
        }
    }

    pub(super) fn finish(mut self) -> Decision {
        let generation = self.run.metadata.generation;
        self.status.observed_generation = generation;
        conditions::observe_generation(&mut self.status.conditions, generation);
        let attention = attention::of(&self);
        Decision {
            attention,
            apply: self.apply,
            sweep: self.sweep,
            delete: self.delete,
            status: self.status,
            requeue: self.requeue,
        }
    }

    pub(super) fn owner(&self) -> OwnerReference {
        self.run.controller_owner_ref(&()).unwrap_or_default()
    }

    pub(super) fn identity(&self) -> RunIdentity {
        RunIdentity {
            name: self.run.name_any(),
            namespace: self.run.namespace().unwrap_or_default(),
            uid: self.run.uid().unwrap_or_default(),
        }
    }

    pub(super) fn is_true(&self, kind: &str) -> bool {
        conditions::is_true(&self.status.conditions, kind)
    }

    pub(super) fn condition(&mut self, kind: &str, value: bool, reason: &str, message: &str) {
        conditions::set(
            &mut self.status.conditions,
            kind,
            value,
            reason,
            message,
            self.now,
        );
    }

    /// Says what is under way.
    pub(super) fn progressing(&mut self, phase: RunPhase, reason: &str, message: &str) {
        self.status.phase = phase;
        self.condition(condition::PROGRESSING, true, reason, message);
    }

    /// Looks again after this time at the latest.
    pub(super) fn wake_in(&mut self, span: Duration) {
        let span = span.max(Duration::from_secs(1));
        self.requeue = Some(self.requeue.map_or(span, |before| before.min(span)));
    }

    /// Ends the run without a report, and frees what it holds.
    pub(super) fn fail(&mut self, reason: &str, message: &str) {
        self.condition(condition::FAILED, true, reason, message);
        self.end(RunPhase::Failed, reason, message);
    }

    /// Ends the run with a report.
    pub(super) fn complete(&mut self, reason: &str, message: &str) {
        self.condition(condition::COMPLETE, true, reason, message);
        self.end(RunPhase::Complete, reason, message);
    }

    fn end(&mut self, phase: RunPhase, reason: &str, message: &str) {
        self.status.phase = phase;
        self.status.current_engine = None;
        self.status.progress = None;
        self.status.completion_time = Some(Time(self.now));
        self.condition(condition::PROGRESSING, false, reason, message);
        self.delete_unfinished_jobs();
        self.delete_holder();
        self.wake_in(Duration::from_secs(1));
    }

    pub(super) fn delete_pod(&mut self, found: &Pod) {
        if !pod::is_deleting(found) {
            self.delete.push(ChildRef {
                kind: ChildKind::Pod,
                name: pod::name(found).to_owned(),
                uid: Some(pod::uid(found).to_owned()),
            });
        }
    }

    pub(super) fn delete_job(&mut self, found: &Job) {
        if found.metadata.deletion_timestamp.is_none() {
            self.delete.push(ChildRef {
                kind: ChildKind::Job,
                name: found.name_any(),
                uid: found.uid(),
            });
        }
    }

    pub(super) fn delete_run(&mut self) {
        self.delete.push(ChildRef {
            kind: ChildKind::Run,
            name: self.run.name_any(),
            uid: self.run.uid(),
        });
    }

    /// Deletes an engine's pod and what goes with it. The pod goes last: while it is there, the
    /// rest may be too.
    pub(super) fn delete_engine(&mut self, found: &Pod) {
        if pod::is_deleting(found) {
            return;
        }
        let beside = self.beside_engine(pod::name(found));
        self.delete.extend(beside);
        self.delete_pod(found);
    }

    /// Deletes an engine that is no lone Pod and what goes with it; its pods go with it.
    pub(super) fn delete_object(&mut self, found: &FoundObject) {
        if found.is_deleting() {
            return;
        }
        let beside = self.beside_engine(found.name());
        self.delete.extend(beside);
        self.delete.push(ChildRef {
            kind: ChildKind::Object(found.api.clone()),
            name: found.name().to_owned(),
            uid: found.object.metadata.uid.clone(),
        });
    }

    /// Deletes what goes with an engine's pod, which is gone, and has its name.
    pub(super) fn sweep_engine(&mut self, name: &str) {
        let beside = self.beside_engine(name);
        self.sweep.extend(beside);
    }

    fn beside_engine(&self, name: &str) -> Vec<ChildRef> {
        self.observed
            .monitoring
            .iter()
            .map(|api: &MonitoringApi| ChildKind::Monitoring(*api))
            .chain([ChildKind::Service, ChildKind::ConfigMap])
            .map(|kind| ChildRef {
                kind,
                name: name.to_owned(),
                uid: None,
            })
            .collect()
    }

    /// Deletes a Service by name, where it is there.
    pub(super) fn sweep_service(&mut self, name: String) {
        self.sweep.push(ChildRef {
            kind: ChildKind::Service,
            name,
            uid: None,
        });
    }

    /// Deletes every engine of the run; whether any was left that holds an accelerator.
    pub(super) fn delete_engines(&mut self) -> bool {
        let observed = self.observed;
        let mut any = !observed.objects.is_empty();
        for found in &observed.objects {
            self.delete_object(found);
        }
        for found in observed.pods_of(labels::COMPONENT_ENGINE) {
            any |= !observed.is_lost(found);
            // A controller would only make it anew.
            if !pod::is_of_object(found) {
                self.delete_engine(found);
            }
        }
        any
    }

    pub(super) fn delete_unfinished_jobs(&mut self) {
        let observed = self.observed;
        for found in observed
            .jobs
            .iter()
            .filter(|found| job::is_unfinished(found))
        {
            self.delete_job(found);
        }
    }

    pub(super) fn delete_holder(&mut self) {
        let observed = self.observed;
        for found in observed.pods_of(labels::COMPONENT_HOLDER) {
            self.delete_pod(found);
        }
    }

    /// Where one of the run's Jobs is.
    pub(super) fn job_state(&self, plan: &Plan, name: &str) -> job::JobState {
        let scheduling = plan.spec.policy.timeouts.scheduling.get().as_secs();
        job::state(self.observed, name, scheduling, self.now)
    }

    /// Deletes a Job by name, where it is there.
    pub(super) fn delete_job_named(&mut self, name: &str) {
        let observed = self.observed;
        if let Some(found) = observed.job(name) {
            self.delete_job(found);
        }
    }

    /// The pod that holds the node.
    pub(super) fn holder(&self, plan: &Plan) -> Option<&'a Pod> {
        self.observed.pod(&names::holder(&plan.run))
    }
}
