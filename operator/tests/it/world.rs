//! A cluster in memory: takes decisions over as the API server would, and lets a scheduler, a
//! kubelet and a Job controller do their parts, one at a time, well or badly.

use std::collections::BTreeMap;

use bakeoff_crds::{
    manifests::{labels, names},
    plan::{Place, Plan, PlanSettings},
    profile::ProfileSet,
    run::{
        BenchmarkRun, BenchmarkRunStatus,
        status::{Headline, VerdictStatus, condition},
    },
    summary::{Failure, PreflightSummary, ReporterSummary, Summary, Termination},
};
use bakeoff_operator::{
    child::{Child, ChildKind},
    decide::{Decision, decide, has_ended},
    events::{self, Notice},
    observed::{Observed, Progress, StoredPlan},
    pod,
    status::conditions,
};
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition, JobStatus},
        core::v1::{
            ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
            ContainerStatus, Pod, PodCondition, PodStatus,
        },
    },
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time},
    jiff::{SignedDuration, Timestamp},
};

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
    RunnerCrash,
    RunnerReports,
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
            now: "2026-11-22T08:00:00Z".parse().unwrap(),
            faults: BTreeMap::new(),
            verdict: VerdictStatus::Valid,
            log: Vec::new(),
            notices: Vec::new(),
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
        for child in &decision.delete {
            self.remove(child);
        }
        let before = self.run.status.clone().unwrap_or_default();
        self.notices
            .extend(events::between(&before, &decision.status));
        self.run.status = Some(decision.status.clone());
        self.check();
        decision
    }

    /// Decides once, and makes only so many of its objects before the operator is killed: nothing is
    /// deleted, no status is written.
    pub fn cut_step(&mut self, survivors: usize) {
        let decision = decide(&self.run, &self.observed, &self.settings, self.now);
        for child in decision.apply.iter().take(survivors) {
            self.make(child);
        }
    }

    /// The runner's pod gets a node and runs.
    pub fn cluster_acts_on_runner_start(&mut self) {
        let now = self.now;
        for found in &mut self.observed.pods {
            if pod::label(found, labels::COMPONENT) == Some(labels::COMPONENT_RUNNER) {
                schedule(found, "cpu-1", now);
                running(found, now);
            }
        }
    }

    /// Steps until nothing more is to do without a change from outside.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            let before = self.run.status.clone();
            let decision = self.step();
            if decision.apply.is_empty()
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
        assert!(engines.len() <= 1, "engines overlap: {:?}", self.log);
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

    fn make(&mut self, child: &Child) {
        self.made += 1;
        let uid = format!("uid-{}", self.made);
        let stamp = |metadata: &ObjectMeta| {
            assert_eq!(metadata.namespace, self.run.metadata.namespace);
            let owner = &metadata.owner_references.as_ref().unwrap()[0];
            assert_eq!(Some(&owner.uid), self.run.metadata.uid.as_ref());
            assert_eq!(
                metadata.labels.as_ref().unwrap()[labels::RUN_UID],
                *self.run.metadata.uid.as_ref().unwrap()
            );
            ObjectMeta {
                uid: Some(uid.clone()),
                creation_timestamp: Some(Time(self.now)),
                ..metadata.clone()
            }
        };
        match child {
            Child::Pod(pod) => {
                let metadata = stamp(&pod.metadata);
                assert!(
                    self.observed.pod(child.name()).is_none(),
                    "{} twice",
                    child.name()
                );
                self.observed.pods.push(Pod {
                    metadata,
                    status: Some(PodStatus::default()),
                    ..pod.clone()
                });
            }
            Child::Job(job) => {
                let metadata = stamp(&job.metadata);
                assert!(
                    self.observed.job(child.name()).is_none(),
                    "{} twice",
                    child.name()
                );
                self.observed.jobs.push(Job {
                    metadata,
                    ..job.clone()
                });
                self.make_job_pod(job);
            }
            Child::ConfigMap(config_map) => {
                stamp(&config_map.metadata);
                if let Some(json) = config_map
                    .data
                    .as_ref()
                    .and_then(|data| data.get("plan.json"))
                {
                    self.observed.plan = StoredPlan::Stored(serde_json::from_str(json).unwrap());
                }
            }
            Child::Service(service) => {
                stamp(&service.metadata);
            }
            Child::Monitoring(_, object) => {
                stamp(&object.metadata);
            }
        }
        self.log.push(format!("made {}", child.describe()));
    }

    fn make_job_pod(&mut self, job: &Job) {
        let template = &job.spec.as_ref().unwrap().template;
        let name = job.metadata.name.as_ref().unwrap();
        let mut labels = template.metadata.clone().unwrap().labels.unwrap();
        labels.insert("batch.kubernetes.io/job-name".into(), name.clone());
        self.observed.pods.push(Pod {
            metadata: ObjectMeta {
                name: Some(format!("{name}-0-abcde")),
                uid: Some(format!("uid-of-{name}-{}", self.made)),
                creation_timestamp: Some(Time(self.now)),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: Some(PodStatus::default()),
        });
    }

    fn remove(&mut self, child: &bakeoff_operator::child::ChildRef) {
        let now = Some(Time(self.now));
        match child.kind {
            ChildKind::Pod => {
                let found = self.pod_mut(&child.name);
                assert_eq!(
                    found.metadata.uid, child.uid,
                    "deletes another pod than it saw"
                );
                assert!(
                    found.metadata.deletion_timestamp.is_none(),
                    "{} twice",
                    child.name
                );
                found.metadata.deletion_timestamp = now;
            }
            ChildKind::Job => {
                let jobs = &mut self.observed.jobs;
                let job = jobs
                    .iter_mut()
                    .find(|job| job.metadata.name.as_ref() == Some(&child.name))
                    .unwrap();
                assert_eq!(
                    job.metadata.uid, child.uid,
                    "deletes another Job than it saw"
                );
                job.metadata.deletion_timestamp = now;
            }
            ChildKind::ConfigMap
            | ChildKind::Service
            | ChildKind::Monitoring(_)
            | ChildKind::Run => {}
        }
        self.log
            .push(format!("deleted {} {}", child.kind.name(), child.name));
    }

    pub fn pod_mut(&mut self, name: &str) -> &mut Pod {
        self.observed
            .pods
            .iter_mut()
            .find(|found| pod::name(found) == name)
            .unwrap_or_else(|| panic!("no pod {name}"))
    }

    /// Scheduler, kubelet, Job controller and garbage collector each do what is next.
    pub fn cluster_acts(&mut self) {
        self.reap();
        let names: Vec<String> = self
            .observed
            .pods
            .iter()
            .map(|found| pod::name(found).to_owned())
            .collect();
        for name in names {
            let component = pod::label(self.observed.pod(&name).unwrap(), labels::COMPONENT)
                .unwrap()
                .to_owned();
            match component.as_str() {
                labels::COMPONENT_ENGINE => self.engine_acts(&name),
                labels::COMPONENT_HOLDER => {}
                _ => self.job_acts(&name, &component),
            }
        }
    }

    /// Pods and Jobs that are being deleted go.
    pub fn reap(&mut self) {
        let deleting: Vec<String> = self
            .observed
            .jobs
            .iter()
            .filter(|job| job.metadata.deletion_timestamp.is_some())
            .filter_map(|job| job.metadata.name.clone())
            .collect();
        self.observed
            .jobs
            .retain(|job| job.metadata.deletion_timestamp.is_none());
        let log = &mut self.log;
        self.observed.pods.retain(|found| {
            let job = pod::label(found, "batch.kubernetes.io/job-name").unwrap_or_default();
            let stays = !pod::is_deleting(found) && !deleting.iter().any(|gone| gone == job);
            if !stays {
                log.push(format!("gone {}", pod::name(found)));
            }
            stays
        });
    }

    fn fault_of(&self, name: &str) -> Option<Fault> {
        let found = self.observed.pod(name).unwrap();
        let engine = pod::label(found, labels::ENGINE)?.to_owned();
        let round = pod::label(found, labels::ROUND)?.parse().unwrap();
        self.faults.get(&(engine, round)).copied()
    }

    fn engine_acts(&mut self, name: &str) {
        let fault = self.fault_of(name);
        let now = self.now;
        let found = self.pod_mut(name);
        if pod::scheduled_at(found).is_none() {
            match fault {
                Some(Fault::NeverScheduled) => unschedulable(
                    found,
                    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                ),
                _ => schedule(found, "gpu-1", now),
            }
        } else if pod::ready_at(found).is_none() {
            match fault {
                Some(Fault::ImagePull) => waiting(
                    found,
                    "ImagePullBackOff",
                    "Back-off pulling image \"x\": ErrImagePull: rpc error: code = NotFound desc = not found",
                ),
                Some(Fault::MissingSecret) => waiting(
                    found,
                    "CreateContainerConfigError",
                    "couldn't find key token in Secret bench/hf",
                ),
                Some(Fault::CrashAtStart) => {
                    terminated(found, 1, "Error", "ValueError: bad flag", now);
                }
                Some(Fault::CudaOutOfMemory) => terminated(
                    found,
                    1,
                    "Error",
                    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
                    now,
                ),
                Some(Fault::NeverReady) => running(found, now),
                _ => {
                    running(found, now);
                    ready(found, now);
                }
            }
        }
    }

    fn job_acts(&mut self, name: &str, component: &str) {
        let now = self.now;
        if pod::scheduled_at(self.pod_mut(name)).is_none() {
            schedule(self.pod_mut(name), "cpu-1", now);
            running(self.pod_mut(name), now);
            return;
        }
        let job = pod::label(
            self.observed.pod(name).unwrap(),
            "batch.kubernetes.io/job-name",
        )
        .unwrap()
        .to_owned();
        if pod::has_ended(self.observed.pod(name).unwrap()) {
            return;
        }
        match component {
            labels::COMPONENT_PREFLIGHT => self.end_job(&job, Ok(preflight_words())),
            labels::COMPONENT_REPORTER => {
                let words = reporter_words(self.verdict);
                self.end_job(&job, Ok(words));
            }
            labels::COMPONENT_RUNNER => self.runner_acts(name, &job),
            other => panic!("{other}"),
        }
    }

    fn runner_acts(&mut self, name: &str, job: &str) {
        let fault = self.fault_of(name);
        let now = self.now;
        // Faults of engines only befall those with a pod.
        let engine = self
            .engines()
            .first()
            .map(|found| pod::name(found).to_owned());
        let engine = engine.unwrap_or_default();
        match fault {
            Some(Fault::OomUnderLoad) => {
                terminated(self.pod_mut(&engine), 137, "OOMKilled", "", now);
            }
            Some(Fault::RestartUnderLoad) => {
                let status = self.pod_mut(&engine).status.as_mut().unwrap();
                status.container_statuses.as_mut().unwrap()[0].restart_count = 1;
            }
            Some(Fault::ReplacedUnderLoad) => {
                self.pod_mut(&engine).metadata.uid = Some("another".into());
            }
            Some(Fault::DeletedUnderLoad) => {
                self.observed
                    .pods
                    .retain(|found| pod::name(found) != engine);
            }
            Some(Fault::NodeLostUnderLoad) => {
                let found = self.pod_mut(&engine);
                set_condition(
                    found,
                    "DisruptionTarget",
                    "DeletionByTaintManager",
                    "node is gone",
                    now,
                );
            }
            Some(Fault::RunnerCrash) => self.end_job(job, Err((137, "OOMKilled".into(), None))),
            Some(Fault::RunnerReports) => {
                let words = Termination {
                    failure: Some(Failure {
                        reason: "WrongModelServed".into(),
                        message: "it serves other/model".into(),
                    }),
                    ..Termination::default()
                };
                self.end_job(job, Err((1, "Error".into(), Some(words))));
            }
            _ => {
                let words = runner_words(VerdictStatus::Valid);
                self.end_job(job, Ok(words));
            }
        }
    }

    /// Ends a Job: with its words, or with exit code, reason and perhaps words.
    pub fn end_job(
        &mut self,
        job: &str,
        end: Result<Termination, (i32, String, Option<Termination>)>,
    ) {
        let now = self.now;
        let pod = self
            .observed
            .pods_of_job(job)
            .find(|found| !pod::has_ended(found))
            .map(|found| pod::name(found).to_owned())
            .unwrap_or_else(|| panic!("no running pod of {job}"));
        let is_success = end.is_ok();
        match end {
            Ok(words) => {
                let words = serde_json::to_string(&words).unwrap();
                terminated(self.pod_mut(&pod), 0, "Completed", &words, now);
            }
            Err((code, reason, words)) => {
                let words = words.map(|words| serde_json::to_string(&words).unwrap());
                terminated(
                    self.pod_mut(&pod),
                    code,
                    &reason,
                    &words.unwrap_or_default(),
                    now,
                );
            }
        }
        let kind = if is_success { "Complete" } else { "Failed" };
        self.set_job_condition(job, kind, "BackoffLimitExceeded");
    }

    pub fn set_job_condition(&mut self, job: &str, kind: &str, reason: &str) {
        let job = self
            .observed
            .jobs
            .iter_mut()
            .find(|found| found.metadata.name.as_deref() == Some(job))
            .unwrap();
        job.status = Some(JobStatus {
            conditions: Some(vec![JobCondition {
                type_: kind.into(),
                status: "True".into(),
                reason: Some(reason.into()),
                message: Some("as the Job controller says".into()),
                ..JobCondition::default()
            }]),
            ..JobStatus::default()
        });
    }

    /// Changes a mutable part of the spec, as an API server would count it.
    pub fn edit(&mut self, change: impl FnOnce(&mut BenchmarkRun)) {
        change(&mut self.run);
        *self.run.metadata.generation.as_mut().unwrap() += 1;
    }

    pub fn preflight(&self) -> String {
        names::preflight(&self.plan().run)
    }

    pub fn set_progress(&mut self, stages_done: u32, stage: &str) {
        self.observed.progress = Some(Progress {
            repetition: 1,
            stage: stage.into(),
            stages_done,
            stages_planned: 3,
        });
    }
}

pub fn preflight_words() -> Termination {
    Termination {
        preflight: Some(PreflightSummary {
            prompts: 1,
            prompts_sha256: "ab".repeat(32),
            ..PreflightSummary::default()
        }),
        ..Termination::default()
    }
}

pub fn runner_words(verdict: VerdictStatus) -> Termination {
    Termination {
        runner: Some(Summary {
            stages_done: 3,
            stages_planned: 3,
            intended: 30,
            sent: 30,
            succeeded: 30,
            verdict,
            headline: Some(Headline {
                stage: "concurrency-4".into(),
                output_tokens_per_second: 100.0,
                ..Headline::default()
            }),
            ..Summary::default()
        }),
        ..Termination::default()
    }
}

pub fn reporter_words(verdict: VerdictStatus) -> Termination {
    Termination {
        reporter: Some(ReporterSummary {
            report_uri: "s3://results/here/report.json".into(),
            verdict,
            reasons: Vec::new(),
            sentence: "alpha is faster.".into(),
        }),
        ..Termination::default()
    }
}

pub fn schedule(found: &mut Pod, node: &str, now: Timestamp) {
    found.spec.as_mut().unwrap().node_name = Some(node.into());
    set_condition(found, "PodScheduled", "", "", now);
}

pub fn unschedulable(found: &mut Pod, message: &str) {
    let status = found.status.get_or_insert_default();
    status.conditions = Some(vec![PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some("Unschedulable".into()),
        message: Some(message.into()),
        ..PodCondition::default()
    }]);
}

pub fn ready(found: &mut Pod, now: Timestamp) {
    set_condition(found, "Ready", "", "", now);
}

fn set_condition(found: &mut Pod, kind: &str, reason: &str, message: &str, now: Timestamp) {
    let status = found.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != kind);
    conditions.push(PodCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    });
}

pub fn running(found: &mut Pod, now: Timestamp) {
    let state = ContainerState {
        running: Some(ContainerStateRunning {
            started_at: Some(Time(now)),
        }),
        ..ContainerState::default()
    };
    set_state(found, state, "Running");
    let status = found.status.as_mut().unwrap();
    status.pod_ip = Some("10.0.0.7".into());
}

pub fn waiting(found: &mut Pod, reason: &str, message: &str) {
    let state = ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.into()),
            message: Some(message.into()),
        }),
        ..ContainerState::default()
    };
    set_state(found, state, "Pending");
}

pub fn terminated(found: &mut Pod, exit_code: i32, reason: &str, message: &str, now: Timestamp) {
    let state = ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code,
            reason: Some(reason.into()),
            message: Some(message.into()),
            finished_at: Some(Time(now)),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    };
    set_state(
        found,
        state,
        if exit_code == 0 {
            "Succeeded"
        } else {
            "Failed"
        },
    );
}

fn set_state(found: &mut Pod, state: ContainerState, phase: &str) {
    let container = &found.spec.as_ref().unwrap().containers[0];
    let container_status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: "registry.test/engine@sha256:abc".into(),
        state: Some(state),
        ..ContainerStatus::default()
    };
    let status = found.status.get_or_insert_default();
    status.phase = Some(phase.into());
    status.container_statuses = Some(vec![container_status]);
}
