//! Our own pods: what every agent gets, and the Job around it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{
            Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
        },
        core::v1::{
            Affinity, Container, ContainerPort, EnvVar, PersistentVolumeClaimVolumeSource,
            PodAffinityTerm, PodAntiAffinity, PodSpec, PodTemplateSpec, ResourceRequirements,
            Volume, VolumeMount, WeightedPodAffinityTerm,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference},
    },
};

use super::{
    PLAN_PATH, RUNNER_PORT, Turn,
    container::{
        config_map_volume, empty_volume, field_env, optional_config_map_volume, pull_secrets,
        read_only, restricted_container, restricted_pod, secret_env, text_env, writable,
    },
    labels, names,
};
use crate::{
    common::{ConfigMapKeyRef, FileSource, SecretKeyRef},
    plan::Plan,
    summary::exit_code,
};

/// The one container of our own pods.
const CONTAINER: &str = "bakeoff";
/// Where a claim of `output.uri` is mounted.
const OUTPUT: &str = "/var/lib/bakeoff/output";
/// Where the certificates of `output.caBundleRef` are mounted.
const CA_BUNDLE: &str = "/etc/bakeoff-ca";

/// One of our own pods in the making.
pub(super) struct Agent<'a> {
    plan: &'a Plan,
    args: Vec<String>,
    pub(super) environment: Vec<EnvVar>,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

impl<'a> Agent<'a> {
    /// An agent with the subcommand and arguments `words`, the plan and the rights at the bucket.
    pub(super) fn new(plan: &'a Plan, words: &[&str]) -> Self {
        let mut agent = Self::bare(plan, words);
        agent.credentials();
        agent.certificates();
        agent.results();
        agent
    }

    /// An agent that neither reads nor writes results. It has rights at the bucket where its model
    /// comes from one.
    pub(super) fn of_model(plan: &'a Plan, words: &[&str], from_bucket: bool) -> Self {
        let mut agent = Self::bare(plan, words);
        if from_bucket {
            agent.credentials();
        }
        agent.certificates();
        agent
    }

    fn bare(plan: &'a Plan, words: &[&str]) -> Self {
        let args = ["agent", words[0], "--plan", PLAN_PATH]
            .iter()
            .chain(&words[1..])
            .map(|word| (*word).to_owned())
            .collect();
        Self {
            plan,
            args,
            environment: vec![
                field_env("POD_NAME", "metadata.name"),
                field_env("NODE_NAME", "spec.nodeName"),
            ],
            volumes: vec![
                config_map_volume("plan", &names::plan(&plan.run)),
                empty_volume("temporary", None),
            ],
            mounts: vec![
                read_only("plan", "/etc/bakeoff", None),
                writable("temporary", "/tmp", None),
            ],
        }
    }

    /// Rights at the output's bucket.
    fn credentials(&mut self) {
        let output = &self.plan.spec.output;
        if let Some(secret) = &output.credentials_secret_ref {
            let key = |key: &str| SecretKeyRef {
                name: secret.name.clone(),
                key: key.to_owned(),
            };
            if output.uri.starts_with("gs://") {
                let name = "GOOGLE_SERVICE_ACCOUNT_KEY";
                self.environment.push(secret_env(name, &key(name), false));
            } else {
                for (name, optional) in [
                    ("AWS_ACCESS_KEY_ID", false),
                    ("AWS_SECRET_ACCESS_KEY", false),
                    ("AWS_SESSION_TOKEN", true),
                ] {
                    self.environment
                        .push(secret_env(name, &key(name), optional));
                }
            }
        }
    }

    /// Certificates of a private authority.
    fn certificates(&mut self) {
        if let Some(bundle) = &self.plan.spec.output.ca_bundle_ref {
            let file = format!("{CA_BUNDLE}/{}", bundle.key);
            self.environment.push(text_env("BAKEOFF_CA_BUNDLE", file));
            self.volumes
                .push(optional_config_map_volume("ca", &bundle.name));
            self.mounts.push(read_only("ca", CA_BUNDLE, None));
        }
    }

    /// The output's volume, where it is one.
    fn results(&mut self) {
        if let Some(claim) = self.plan.spec.output.uri.strip_prefix("pvc://") {
            let (claim, path) = claim.split_once('/').unwrap_or((claim, ""));
            let path = path.trim_matches('/');
            let folder = if path.is_empty() {
                OUTPUT.to_owned()
            } else {
                format!("{OUTPUT}/{path}")
            };
            self.environment
                .push(text_env("BAKEOFF_OUTPUT_DIR", folder));
            self.volumes.push(Volume {
                name: "output".into(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim.to_owned(),
                    read_only: None,
                }),
                ..Volume::default()
            });
            self.mounts.push(writable("output", OUTPUT, None));
        }
    }

    /// A file from a ConfigMap, whose path the program finds in `variable`.
    pub(super) fn file(&mut self, name: &str, variable: &str, source: Option<&FileSource>) {
        let Some(ConfigMapKeyRef {
            name: config_map,
            key,
        }) = source.and_then(|source| source.config_map_ref.as_ref())
        else {
            return;
        };
        let folder = format!("/etc/bakeoff-files/{name}");
        self.environment
            .push(text_env(variable, format!("{folder}/{key}")));
        self.volumes
            .push(optional_config_map_volume(name, config_map));
        self.mounts.push(read_only(name, &folder, None));
    }

    /// The Job that runs it. Only runners have a turn.
    pub(super) fn job(
        self,
        owner: &OwnerReference,
        name: String,
        component: &str,
        turn: Option<Turn>,
    ) -> Job {
        let plan = self.plan;
        let runner = &plan.spec.runner;
        let labels = names::labels(plan, component, turn);
        let loads = component == labels::COMPONENT_RUNNER;
        let container = Container {
            name: CONTAINER.into(),
            image: Some(plan.runner_image.clone()),
            args: Some(self.args),
            env: Some(self.environment),
            ports: loads.then(|| {
                vec![ContainerPort {
                    name: Some("http".into()),
                    container_port: RUNNER_PORT,
                    ..ContainerPort::default()
                }]
            }),
            resources: Some(runner.resources.clone().unwrap_or_else(default_resources)),
            volume_mounts: Some(self.mounts),
            security_context: Some(restricted_container()),
            termination_message_policy: Some("FallbackToLogsOnError".into()),
            ..Container::default()
        };
        let pod = PodSpec {
            containers: vec![container],
            volumes: Some(self.volumes),
            restart_policy: Some("Never".into()),
            enable_service_links: Some(false),
            // Rights at the bucket come through the service account, none at the API server.
            automount_service_account_token: Some(false),
            service_account_name: runner.service_account_name.clone(),
            image_pull_secrets: pull_secrets(&runner.image_pull_secrets),
            node_selector: (!runner.node_selector.is_empty()).then(|| runner.node_selector.clone()),
            tolerations: (!runner.tolerations.is_empty()).then(|| runner.tolerations.clone()),
            affinity: runner
                .affinity
                .clone()
                .or_else(|| loads.then(|| away_from_engines(plan))),
            security_context: Some(restricted_pod()),
            termination_grace_period_seconds: Some(30),
            ..PodSpec::default()
        };
        Job {
            metadata: names::queued(plan, names::metadata(plan, owner, name, component, turn)),
            spec: Some(JobSpec {
                backoff_limit: Some(backoff_limit(component)),
                pod_failure_policy: Some(failure_policy()),
                completion_mode: loads.then(|| "Indexed".into()),
                completions: Some(1),
                parallelism: Some(1),
                active_deadline_seconds: deadline(plan, component),
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta {
                        labels: Some(labels),
                        ..ObjectMeta::default()
                    }),
                    spec: Some(pod),
                },
                ..JobSpec::default()
            }),
            status: None,
        }
    }
}

/// What a pod's end means for its Job: one that the cluster took away is made anew and counts for
/// nothing, a failure that would only come again ends the Job, any other counts against
/// `backoffLimit`. The first rule that matches decides. A pod that is made anew waits until the
/// one before it has ended, which Kubernetes sees to wherever there is such a policy.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "FailJob".into(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(CONTAINER.into()),
                    operator: "In".into(),
                    values: vec![exit_code::USAGE, exit_code::FINAL],
                }),
                on_pod_conditions: None,
            },
        ],
    }
}

/// The client shares no core with the engine where another node has room.
fn away_from_engines(plan: &Plan) -> Affinity {
    let mut engines = names::labels(plan, labels::COMPONENT_ENGINE, None);
    engines.remove(labels::RUN);
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![
                WeightedPodAffinityTerm {
                    weight: 100,
                    pod_affinity_term: PodAffinityTerm {
                        label_selector: Some(LabelSelector {
                            match_labels: Some(engines),
                            match_expressions: None,
                        }),
                        topology_key: "kubernetes.io/hostname".into(),
                        ..PodAffinityTerm::default()
                    },
                },
            ]),
            required_during_scheduling_ignored_during_execution: None,
        }),
        ..Affinity::default()
    }
}

/// Requests equal limits, so that the kernel never throttles what others left over.
/// What each pod that makes the load asks for, by resource.
pub fn runner_requests(plan: &Plan) -> BTreeMap<String, String> {
    let runner = &plan.spec.runner;
    let resources = runner.resources.clone().unwrap_or_else(default_resources);
    // What is only limited is asked for as well.
    let mut amounts = resources.limits.unwrap_or_default();
    amounts.extend(resources.requests.unwrap_or_default());
    let amounts = amounts.into_iter();
    amounts
        .map(|(resource, amount)| (resource, amount.0))
        .collect()
}

fn default_resources() -> ResourceRequirements {
    let amounts = BTreeMap::from([
        ("cpu".to_owned(), Quantity("2".into())),
        ("memory".to_owned(), Quantity("1Gi".into())),
    ]);
    ResourceRequirements {
        requests: Some(amounts.clone()),
        limits: Some(amounts),
        ..ResourceRequirements::default()
    }
}

/// How often a pod may fail in a way that may pass. What is fetched is fetched once, so a further try
/// begins where the last one ended.
fn backoff_limit(component: &str) -> i32 {
    match component {
        labels::COMPONENT_RUNNER => 2,
        labels::COMPONENT_PREFETCH => 4,
        _ => 1,
    }
}

fn deadline(plan: &Plan, component: &str) -> Option<i64> {
    let spec = &plan.spec;
    let timeouts = &spec.policy.timeouts;
    let upload = timeouts.upload.get().as_secs();
    let scheduling = timeouts.scheduling.get().as_secs();
    let seconds = if component == labels::COMPONENT_RUNNER {
        let stages = u64::from(plan.stages_at_most()) * u64::from(spec.workload.repetitions);
        let pause = spec.workload.sweep.pause.unwrap_or_default();
        let stage = timeouts.stage.get().as_secs() + pause.get().as_secs() + upload;
        scheduling + stages.saturating_mul(stage)
    } else if component == labels::COMPONENT_PREFETCH {
        scheduling + timeouts.prefetch.get().as_secs()
    } else {
        scheduling + upload
    };
    i64::try_from(seconds).ok()
}
