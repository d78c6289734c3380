//! Several runner pods that act as one client: the pods of an indexed Job, of which the first leads
//! and is found by name.

use k8s_openapi::{
    api::{
        batch::v1::{Job, SuccessPolicy, SuccessPolicyRule},
        core::v1::{EnvVar, Service, ServicePort, ServiceSpec},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use super::{RUNNER_PORT, Turn, container::field_env, labels, names};
use crate::plan::Plan;

/// How often each pod of a Job may be made anew.
const RETRIES_PER_POD: i32 = 2;

/// Where the first pod of a turn's runner Job is, for the others.
pub(super) fn leader(plan: &Plan, turn: Turn) -> String {
    let job = names::runner(plan, turn);
    format!(
        "http://{job}-0.{job}.{}.svc:{RUNNER_PORT}",
        plan.run.namespace
    )
}

/// What the pods of one Job know each other by: the Job's UID, which Kubernetes writes onto each of
/// them. It keeps out pods that an earlier Job of the same name left, and is no secret.
pub(super) fn token() -> EnvVar {
    field_env(
        "BAKEOFF_SHARD_TOKEN",
        "metadata.labels['batch.kubernetes.io/controller-uid']",
    )
}

/// Makes a runner Job one of several pods. Each is tried again by itself, so that one that is lost
/// costs the others no try; the first speaks for all, so when it is done the Job is.
pub(super) fn act_as_one(job: &mut Job, shards: u32) {
    let subdomain = job.metadata.name.clone();
    let Some(spec) = &mut job.spec else {
        return;
    };
    let pods = i32::try_from(shards).ok();
    spec.completions = pods;
    spec.parallelism = pods;
    spec.backoff_limit = None;
    spec.backoff_limit_per_index = Some(RETRIES_PER_POD);
    spec.max_failed_indexes = Some(0);
    spec.success_policy = Some(SuccessPolicy {
        rules: vec![SuccessPolicyRule {
            succeeded_indexes: Some("0".into()),
            succeeded_count: None,
        }],
    });
    if let Some(pod) = &mut spec.template.spec {
        pod.subdomain = subdomain;
    }
}

/// Gives the pods of a turn's runner Job their names. None where there is one pod.
pub fn runner_service(plan: &Plan, owner: &OwnerReference, turn: Turn) -> Option<Service> {
    if plan.spec.runner.parallelism <= 1 {
        return None;
    }
    let component = labels::COMPONENT_RUNNER;
    let name = names::runner(plan, turn);
    Some(Service {
        metadata: names::metadata(plan, owner, name, component, Some(turn)),
        spec: Some(ServiceSpec {
            // Headless: a record for each pod, and no address of its own.
            cluster_ip: Some("None".into()),
            selector: Some(names::labels(plan, component, Some(turn))),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some("http".into()),
                port: RUNNER_PORT,
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}
