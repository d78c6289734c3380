//! The containers of an engine's pod.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, EnvVar, Probe, ResourceRequirements, TCPSocketAction, VolumeMount},
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};

use super::container::{env, hub_env, secret_env, unprivileged};
use crate::{
    plan::{Deployment, Plan, PlannedContainer},
    run::Hardware,
};

/// What all containers of one engine's pod share.
pub(super) struct Shared<'a> {
    pub(super) plan: &'a Plan,
    pub(super) deployment: &'a Deployment,
    pub(super) mounts: Vec<VolumeMount>,
}

impl Shared<'_> {
    /// The engine's own container, without ports and readiness.
    pub(super) fn engine(&self) -> Container {
        let deployment = self.deployment;
        self.container(&PlannedContainer {
            name: "engine".into(),
            image: deployment.image.clone(),
            command: deployment.command.clone(),
            args: deployment.args.clone(),
            env: deployment.env.clone(),
            accelerator: deployment.accelerator,
            ready_port: None,
        })
    }

    /// A container of the pod; none is less guarded than another.
    pub(super) fn container(&self, planned: &PlannedContainer) -> Container {
        Container {
            name: planned.name.clone(),
            image: Some(planned.image.clone()),
            command: (!planned.command.is_empty()).then(|| planned.command.clone()),
            args: (!planned.args.is_empty()).then(|| planned.args.clone()),
            env: Some(self.environment(&planned.env)),
            readiness_probe: planned.ready_port.map(opens),
            resources: planned
                .accelerator
                .then(|| resources(&self.plan.spec.hardware)),
            volume_mounts: Some(self.mounts.clone()),
            security_context: Some(unprivileged()),
            termination_message_policy: Some("FallbackToLogsOnError".into()),
            ..Container::default()
        }
    }

    fn environment(&self, profile: &BTreeMap<String, String>) -> Vec<EnvVar> {
        let profile = profile.iter().map(|(name, value)| env(name, value));
        let extra = self.deployment.extra_env.iter();
        let own = extra.map(|variable| match &variable.secret_key_ref {
            Some(secret) => secret_env(&variable.name, secret, false),
            None => env(&variable.name, variable.value.clone().unwrap_or_default()),
        });
        let mut all = hub_env(&self.plan.spec.model);
        // The API server keeps the last of two variables of one name, and warns; so only one is
        // given.
        for variable in profile.chain(own) {
            all.retain(|earlier: &EnvVar| earlier.name != variable.name);
            all.push(variable);
        }
        all
    }
}

fn opens(port: u16) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(port.into()),
            host: None,
        }),
        period_seconds: Some(2),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn resources(hardware: &Hardware) -> ResourceRequirements {
    let mut resources = hardware.resources.clone().unwrap_or_default();
    let accelerator = &hardware.accelerator;
    if accelerator.count > 0 {
        resources.limits.get_or_insert_with(BTreeMap::new).insert(
            accelerator.resource.clone(),
            Quantity(accelerator.count.to_string()),
        );
    }
    resources
}
