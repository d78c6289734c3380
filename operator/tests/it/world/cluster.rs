//! The scheduler's, the kubelet's and the Job controller's part, with the faults of the test.

use bakeoff_crds::{
    manifests::labels,
    run::status::VerdictStatus,
    summary::{Failure, Termination, exit_code},
};
use bakeoff_operator::pod;

use super::{
    Fault, World, prefetch_words, preflight_words, ready, reporter_words, runner_words, running,
    schedule, set_condition, terminated, unschedulable, waiting,
};

impl World {
    /// Scheduler, kubelet, Job controller and garbage collector each do what is next.
    pub fn cluster_acts(&mut self) {
        self.reap();
        self.controller_acts();
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

    fn disrupt(&mut self, name: &str, reason: &str, message: &str) {
        let now = self.now;
        set_condition(self.pod_mut(name), "DisruptionTarget", reason, message, now);
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
        let node = match self.node_of_part(name) {
            Some(part) => part,
            None => self.free_node(),
        };
        let found = self.pod_mut(name);
        if pod::scheduled_at(found).is_none() {
            match fault {
                Some(Fault::NeverScheduled) => unschedulable(
                    found,
                    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                ),
                _ => schedule(found, &node, now),
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
            labels::COMPONENT_PREFETCH => self.end_job(&job, Ok(prefetch_words(7_000_000_000))),
            labels::COMPONENT_REPORTER => {
                let words = reporter_words(self.verdict);
                self.end_job(&job, Ok(words));
            }
            labels::COMPONENT_RUNNER => self.runner_acts(name, &job),
            other => panic!("{other}"),
        }
    }

    /// The node with an accelerator that is not lost: another one after each.
    fn free_node(&self) -> String {
        let lost = self.observed.nodes.len();
        format!("gpu-{}", 1 + lost.max(self.status().restarts.len()))
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
                self.disrupt(&engine, "DeletionByTaintManager", "node is gone");
            }
            Some(Fault::NodeLostOnce) if self.status().restarts.is_empty() => {
                self.disrupt(&engine, "DeletionByPodGC", "node is gone");
            }
            Some(Fault::Preempted) if self.status().restarts.is_empty() => {
                self.disrupt(&engine, "PreemptionByScheduler", "more important");
            }
            Some(Fault::SpotTakenBack) if self.status().restarts.is_empty() => {
                terminated(self.pod_mut(&engine), 143, "Error", "", now);
                self.disrupt(&engine, "TerminationByKubelet", SHUTDOWN);
                let status = self.pod_mut(&engine).status.as_mut().unwrap();
                status.phase = Some("Failed".into());
                status.reason = Some("Terminated".into());
                status.message = Some(SHUTDOWN.into());
            }
            Some(Fault::Evicted) => {
                let status = self.pod_mut(&engine).status.as_mut().unwrap();
                status.phase = Some("Failed".into());
                status.reason = Some("Evicted".into());
                status.message = Some("The node was low on resource: memory.".into());
            }
            Some(Fault::RunnerCrash) => self.fail_pod(job, 137, "OOMKilled", None),
            Some(Fault::RunnerReports) => {
                let words = failure("WrongModelServed", "it serves other/model", false);
                self.fail_pod(job, exit_code::FINAL, "Error", Some(words));
            }
            Some(Fault::RunnerCutOnce) if self.ended_pods(job) == 0 => {
                let words = failure("Aborted", "the runner was told to stop", true);
                self.fail_pod(job, exit_code::MAY_PASS, "Error", Some(words));
            }
            // Oftener than the Job's backoff limit.
            Some(Fault::RunnerEvictedOften) if self.ended_pods(job) < 5 => {
                set_condition(
                    self.pod_mut(name),
                    "DisruptionTarget",
                    "EvictionByEvictionAPI",
                    "Eviction API: evicting",
                    now,
                );
                self.fail_pod(job, 143, "Error", None);
            }
            _ => {
                let words = runner_words(VerdictStatus::Valid);
                self.end_job(job, Ok(words));
            }
        }
    }
}

/// What a kubelet says of the pods that it ends with its node
/// (<https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown>).
const SHUTDOWN: &str = "Pod was terminated in response to imminent node shutdown.";

fn failure(reason: &str, message: &str, may_pass: bool) -> Termination {
    Termination {
        failure: Some(Failure {
            reason: reason.into(),
            message: message.into(),
            may_pass,
        }),
        ..Termination::default()
    }
}
