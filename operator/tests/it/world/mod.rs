//! A cluster in memory: takes decisions over as the API server would, and lets a scheduler, a
//! kubelet and a Job controller do their parts, one at a time, well or badly.

mod cluster;
mod controller;
mod job;
mod objects;
mod pods;

use std::collections::{BTreeMap, BTreeSet};

use bakeoff_crds::{
    manifests::{labels, names},
    plan::{Place, Plan, PlanSettings},
    profile::ProfileSet,
    run::{
        BenchmarkRun, BenchmarkRunStatus,
        status::{VerdictStatus, condition},
    },
};
use bakeoff_operator::{
    decide::{Decision, decide, has_ended},
    events::{self, Notice},
    observed::{FoundObject, Observed, Progress, StoredPlan},
    pod,
    status::conditions,
};
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::{SignedDuration, Timestamp},
};

pub use controller::Controller;
pub use pods::*;

/// When every world begins.
pub fn start() -> Timestamp {
    "2026-11-22T08:00:00Z".parse().unwrap()
}

/// Two simulated engines, two rounds.
pub const TWO_BY_TWO: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: duel, namespace: bench, uid: 0f1e2d3c-aaaa-bbbb-cccc-000000000001, generation: 1}
spec:
  model: {id: acme/tiny}
  engines:
  - {name: alpha, simulated: {protocol: OpenAiCompletions}}
  - {name: beta, simulated: {protocol: Tgi}}
  workload:
    prompts: {inline: ["Hello"]}
    sweep: {concurrency: [1, 2, 4]}
    requestsPerStage: 10
  output: {uri: "s3://results/here"}
  policy: {rounds: 2}
"#;

/// The same with engines that are deployed, and a model that is fetched before.
pub fn prefetched(prefetch: &str) -> String {
    TWO_BY_TWO
        .replace(
            "{id: acme/tiny}",
            &format!("{{id: acme/tiny, prefetch: {prefetch}}}"),
        )
        .replace("simulated: {protocol: OpenAiCompletions}", "profile: vllm")
        .replace("simulated: {protocol: Tgi}", "profile: tgi")
}
/// A RayService and a Pod, two rounds.
pub const OBJECT_AND_POD: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: duel, namespace: bench, uid: 0f1e2d3c-aaaa-bbbb-cccc-000000000001, generation: 1}
spec:
  model: {id: acme/tiny}
  engines:
  - {name: alpha, profile: ray-service}
  - {name: beta, profile: vllm}
  workload:
    prompts: {inline: ["Hello"]}
    sweep: {concurrency: [1, 2, 4]}
    requestsPerStage: 10
  output: {uri: "s3://results/here"}
  policy: {rounds: 2}
"#;

/// Two LeaderWorkerSets over two nodes, one round.
pub const TWO_NODES: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: duel, namespace: bench, uid: 0f1e2d3c-aaaa-bbbb-cccc-000000000001, generation: 1}
spec:
  model: {id: acme/tiny}
  hardware: {nodes: 2}
  engines:
  - {name: alpha, profile: vllm-leader-worker-set}
  - {name: beta, profile: vllm-leader-worker-set, tuning: {prefixCaching: false}}
  workload:
    prompts: {inline: ["Hello"]}
    sweep: {concurrency: [1, 2, 4]}
    requestsPerStage: 10
  output: {uri: "s3://results/here"}
"#;

/// What goes wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    ImagePull,
    MissingSecret,
    CrashAtStart,
    CudaOutOfMemory,
    NeverScheduled,
    NeverReady,
    OomUnderLoad,
    RestartUnderLoad,
    ReplacedUnderLoad,
    DeletedUnderLoad,
    NodeLostUnderLoad,
    /// The same, but only the first node of the round.
    NodeLostOnce,
    Preempted,
    /// A Spot machine is taken back: its kubelet ends the pods before the node goes.
    SpotTakenBack,
    Evicted,
    RunnerCrash,
    RunnerReports,
    RunnerCutOnce,
    RunnerEvictedOften,
}

pub struct World {
    pub run: BenchmarkRun,
    pub observed: Observed,
    pub now: Timestamp,
    /// Faults by engine and round.
    pub faults: BTreeMap<(String, u32), Fault>,
    /// Verdict that the reporter gives.
    pub verdict: VerdictStatus,
    /// What happened, in order: `made Pod x`, `deleted Pod x`, `gone x`.
    pub log: Vec<String>,
    pub notices: Vec<Notice>,
    /// What the controller of engines' objects does.
    pub controller: Controller,
    /// Pods that are never gone, because nobody can tell that they went.
    pub stuck: BTreeSet<String>,
    /// Claims that were made, by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    settings: PlanSettings,
    made: u32,
}

impl World {
    pub fn new(yaml: &str) -> Self {
        let run: BenchmarkRun = serde_saphyr::from_str(yaml).unwrap();
        Self {
            run,
            observed: Observed {
                profiles: Some(ProfileSet::builtin()),
                ..Observed::default()
            },
            now: start(),
            faults: BTreeMap::new(),
            verdict: VerdictStatus::Valid,
            log: Vec::new(),
            notices: Vec::new(),
            controller: Controller::Works,
            stuck: BTreeSet::new(),
            claims: BTreeMap::new(),
            settings: PlanSettings {
                runner_image: "registry.test/bakeoff:1".into(),
                place: Place::Cluster,
            },
            made: 0,
        }
    }

    pub fn two_by_two() -> Self {
        Self::new(TWO_BY_TWO)
    }

    pub fn with_fault(mut self, engine: &str, round: u32, fault: Fault) -> Self {
        self.faults.insert((engine.to_owned(), round), fault);
        self
    }

    pub fn plan(&self) -> &Plan {
        match &self.observed.plan {
            StoredPlan::Stored(plan) => plan,
            other => panic!("no plan: {other:?}"),
        }
    }

    pub fn status(&self) -> &BenchmarkRunStatus {
        self.run.status.as_ref().unwrap()
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        conditions::get(&self.status().conditions, kind)
    }

    /// The reason of a condition that is True.
    pub fn reason(&self, kind: &str) -> &str {
        let found = self.condition(kind).unwrap_or_else(|| panic!("no {kind}"));
        assert_eq!(
            found.status, "True",
            "{kind}: {} {}",
            found.reason, found.message
        );
        &found.reason
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub fn engines(&self) -> Vec<&Pod> {
        self.observed.pods_of(labels::COMPONENT_ENGINE).collect()
    }

    pub fn engine(&self) -> &Pod {
        match self.engines().as_slice() {
            [engine] => engine,
            other => panic!("{} engine pods", other.len()),
        }
    }

    /// Decides once, and takes the decision over.
    pub fn step(&mut self) -> Decision {
        let decision = decide(&self.run, &self.observed, &self.settings, self.now);
        for child in &decision.apply {
            self.make(child);
        }
        for child in &decision.sweep {
            self.remove(child);
        }
        let before = self.run.status.clone().unwrap_or_default();
        self.notices
            .extend(events::between(&before, &decision.status));
        self.run.status = Some(decision.status.clone());
        for child in &decision.delete {
            self.remove(child);
        }
        self.check();
        decision
    }

    /// Decides once, and does only so many of its writes before the operator is killed.
    pub fn cut_step(&mut self, writes: usize) {
        let decision = decide(&self.run, &self.observed, &self.settings, self.now);
        for child in decision.apply.iter().take(writes) {
            self.make(child);
        }
        let swept = writes.saturating_sub(decision.apply.len());
        for child in decision.sweep.iter().take(swept) {
            self.remove(child);
        }
        let Some(left) = swept.checked_sub(decision.sweep.len() + 1) else {
            return;
        };
        self.run.status = Some(decision.status);
        for child in decision.delete.iter().take(left) {
            self.remove(child);
        }
    }

    /// Steps until nothing more is to do without a change from outside.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            let before = self.run.status.clone();
            let decision = self.step();
            if decision.apply.is_empty()
                && decision.sweep.is_empty()
                && decision.delete.is_empty()
                && before.as_ref() == Some(&decision.status)
            {
                return;
            }
        }
        panic!("never settles: {:#?}", self.run.status);
    }

    /// Settles and lets the cluster do its part, until `until` holds.
    pub fn play_until(&mut self, until: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            self.settle();
            if until(self) {
                return;
            }
            self.pass(1);
            self.cluster_acts();
        }
        panic!(
            "never came about; log: {:#?}\nstatus: {:#?}",
            self.log, self.run.status
        );
    }

    pub fn play(&mut self) {
        self.play_until(|world| has_ended(world.status()));
        // What is left to free after the end.
        for _ in 0..5 {
            self.cluster_acts();
            self.settle();
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let engines = self.engines();
        // All pods of one object are one engine.
        let holding: BTreeSet<_> = engines
            .iter()
            .filter(|found| !self.observed.is_lost(found))
            .map(|found| pod::label(found, labels::OBJECT).unwrap_or(pod::name(found)))
            .chain(self.observed.objects.iter().map(FoundObject::name))
            .collect();
        assert!(holding.len() <= 1, "engines overlap: {:?}", self.log);
        let is = |kind| conditions::is_true(&self.status().conditions, kind);
        assert!(!(is(condition::COMPLETE) && is(condition::FAILED)));
        let generation = self.run.metadata.generation;
        assert_eq!(self.status().observed_generation, generation);
        for condition in &self.status().conditions {
            assert_eq!(
                condition.observed_generation, generation,
                "{}",
                condition.type_
            );
            assert!(!condition.reason.is_empty());
        }
    }

    pub fn pod_mut(&mut self, name: &str) -> &mut Pod {
        self.observed
            .pods
            .iter_mut()
            .find(|found| pod::name(found) == name)
            .unwrap_or_else(|| panic!("no pod {name}"))
    }

    /// Changes a mutable part of the spec, as an API server would count it.
    pub fn edit(&mut self, change: impl FnOnce(&mut BenchmarkRun)) {
        change(&mut self.run);
        *self.run.metadata.generation.as_mut().unwrap() += 1;
    }

    pub fn preflight(&self) -> String {
        names::preflight(&self.plan().run)
    }

    pub fn prefetch(&self) -> String {
        names::prefetch(&self.plan().run)
    }

    pub fn set_progress(&mut self, stages_done: u32, stage: &str) {
        self.observed.progress = Some(Progress {
            repetition: 1,
            stage: stage.into(),
            stages_done,
            stages_planned: 3,
            ..Progress::default()
        });
    }
}
