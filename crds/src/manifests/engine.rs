//! An engine's pod, its service and its files.
//!
//! The pod is never restarted behind the run's back: `restartPolicy: Never`, and no controller
//! above it but the operator.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, ConfigMap, Container, ContainerPort, HTTPGetAction, NodeAffinity, NodeSelector,
        NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PreferredSchedulingTerm, Probe,
        Service, ServicePort, ServiceSpec, Toleration, Volume, VolumeMount,
    },
    apimachinery::pkg::{
        api::resource::Quantity, apis::meta::v1::OwnerReference, util::intstr::IntOrString,
    },
};

use super::{
    Turn,
    container::{
        config_map_volume, empty_volume, engine_pod, pull_secrets, read_only, restricted_container,
        restricted_pod, writable,
    },
    engine_containers::Shared,
    labels,
    model::model_volume,
    names,
};
use crate::{
    plan::{Deployment, EngineSource, Plan, PlannedEngine},
    run::{Hardware, SameNode, SimulatedEngine},
};

/// What an engine's turn puts into the cluster, beside its monitoring.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineObjects {
    /// Files of the profile, where it has any.
    pub files: Option<ConfigMap>,
    /// The engine.
    pub pod: Pod,
    /// Its address. It leads to the pod even when the pod is not ready, so that a readiness probe
    /// that fails under load does not cut the load off.
    pub service: Service,
}

/// Objects of one engine's turn, held to `node` where the first engine has run there; none for an
/// external engine.
pub fn engine_objects(
    plan: &Plan,
    owner: &OwnerReference,
    turn: Turn,
    node: Option<&str>,
) -> Option<EngineObjects> {
    let engine = plan.engines.get(turn.engine)?;
    let pod_spec = match &engine.source {
        EngineSource::External(_) => return None,
        EngineSource::Deployed(deployment) => deployed_pod(plan, turn, engine, deployment, node),
        EngineSource::Simulated(simulated) => simulated_pod(plan, engine, simulated, node),
    };
    let name = names::engine(plan, turn);
    let metadata = |name: &str| {
        names::metadata(
            plan,
            owner,
            name.to_owned(),
            labels::COMPONENT_ENGINE,
            Some(turn),
        )
    };
    let mut pod = Pod {
        metadata: metadata(&name),
        spec: Some(pod_spec),
        status: None,
    };
    // Moving the pod would cost the measurement.
    pod.metadata.annotations = Some(BTreeMap::from([(
        "cluster-autoscaler.kubernetes.io/safe-to-evict".into(),
        "false".into(),
    )]));
    Some(EngineObjects {
        files: files(engine).map(|data| ConfigMap {
            metadata: metadata(&name),
            data: Some(data),
            immutable: Some(true),
            ..ConfigMap::default()
        }),
        pod,
        service: Service {
            metadata: metadata(&name),
            spec: Some(ServiceSpec {
                selector: Some(names::labels(plan, labels::COMPONENT_ENGINE, Some(turn))),
                publish_not_ready_addresses: Some(true),
                ports: Some(
                    ports(engine)
                        .into_iter()
                        .map(|(name, port)| ServicePort {
                            name: Some(name.into()),
                            port,
                            target_port: Some(IntOrString::String(name.into())),
                            ..ServicePort::default()
                        })
                        .collect(),
                ),
                ..ServiceSpec::default()
            }),
            status: None,
        },
    })
}

/// Ports by name: `http`, and `metrics` and `requests` where those are others.
fn ports(engine: &PlannedEngine) -> Vec<(&'static str, i32)> {
    let http = i32::from(engine.endpoint.port);
    let mut ports = vec![("http", http)];
    match &engine.metrics {
        Some(metrics) if i32::from(metrics.port) != http => {
            ports.push(("metrics", i32::from(metrics.port)));
        }
        _ => {}
    }
    if let Some(port) = engine.endpoint.request_port.map(i32::from)
        && ports.iter().all(|(_, other)| *other != port)
    {
        ports.push(("requests", port));
    }
    ports
}

fn files(engine: &PlannedEngine) -> Option<BTreeMap<String, String>> {
    let EngineSource::Deployed(deployment) = &engine.source else {
        return None;
    };
    (!deployment.files.is_empty()).then(|| {
        deployment
            .files
            .iter()
            .map(|(path, content)| (file_key(path), content.clone()))
            .collect()
    })
}

/// Key of a file in its ConfigMap: the path with dashes, `_` doubled so that no two paths meet.
fn file_key(path: &str) -> String {
    path.trim_start_matches('/')
        .replace('_', "__")
        .replace('/', "_-")
}

fn deployed_pod(
    plan: &Plan,
    turn: Turn,
    engine: &PlannedEngine,
    deployment: &Deployment,
    node: Option<&str>,
) -> PodSpec {
    let hardware = &plan.spec.hardware;
    let (volumes, volume_mounts) = volumes(plan, turn, deployment);
    let shared = Shared {
        plan,
        deployment,
        mounts: volume_mounts,
    };
    let own = Container {
        ports: Some(container_ports(engine)),
        readiness_probe: Some(readiness(&deployment.readiness_path)),
        ..shared.engine()
    };
    let further = deployment.containers.iter();
    let before = deployment.init_containers.iter();
    let init_containers: Vec<_> = before.map(|it| shared.container(it)).collect();
    PodSpec {
        // Its own is the first: image, start and restarts of the engine are read from it.
        containers: [own]
            .into_iter()
            .chain(further.map(|it| shared.container(it)))
            .collect(),
        init_containers: (!init_containers.is_empty()).then_some(init_containers),
        volumes: Some(volumes),
        security_context: Some(engine_pod(deployment.pod_security)),
        image_pull_secrets: pull_secrets(&hardware.image_pull_secrets),
        runtime_class_name: hardware.runtime_class_name.clone(),
        ..placed_pod(hardware, node)
    }
}

fn simulated_pod(
    plan: &Plan,
    engine: &PlannedEngine,
    simulated: &SimulatedEngine,
    node: Option<&str>,
) -> PodSpec {
    let settings = serde_json::to_string(simulated).unwrap_or_default();
    let path = engine
        .model_check
        .as_ref()
        .map_or("/bakeoff/ready", |check| check.path.as_str());
    let mut args = vec![
        "simulate".into(),
        "--settings".into(),
        settings,
        "--model".into(),
        plan.spec.model.id.clone(),
        "--listen".into(),
        format!("0.0.0.0:{}", engine.endpoint.port),
    ];
    for adapter in &plan.spec.model.adapters {
        args.extend(["--adapter".into(), adapter.name.clone()]);
    }
    let container = Container {
        name: "engine".into(),
        image: Some(plan.runner_image.clone()),
        args: Some(args),
        ports: Some(container_ports(engine)),
        readiness_probe: Some(readiness(path)),
        resources: plan.spec.hardware.resources.clone(),
        security_context: Some(restricted_container()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    };
    PodSpec {
        containers: vec![container],
        security_context: Some(restricted_pod()),
        image_pull_secrets: pull_secrets(&plan.spec.runner.image_pull_secrets),
        ..placed_pod(&plan.spec.hardware, node)
    }
}

/// A pod without containers, placed as the hardware asks.
pub(super) fn placed_pod(hardware: &Hardware, node: Option<&str>) -> PodSpec {
    PodSpec {
        restart_policy: Some("Never".into()),
        // VLLM_PORT and its like, made from service names, break engines.
        enable_service_links: Some(false),
        automount_service_account_token: Some(false),
        // An engine has nothing to save, and the next one waits for its accelerator.
        termination_grace_period_seconds: Some(5),
        node_selector: (!hardware.node_selector.is_empty()).then(|| hardware.node_selector.clone()),
        tolerations: Some(tolerations(hardware)),
        affinity: affinity(hardware, node),
        ..PodSpec::default()
    }
}

fn tolerations(hardware: &Hardware) -> Vec<Toleration> {
    let accelerator = Toleration {
        key: Some(hardware.accelerator.resource.clone()),
        operator: Some("Exists".into()),
        effect: Some("NoSchedule".into()),
        ..Toleration::default()
    };
    hardware
        .tolerations
        .iter()
        .cloned()
        .chain([accelerator])
        .collect()
}

/// The run's own affinity, and the node of the first engine.
fn affinity(hardware: &Hardware, node: Option<&str>) -> Option<Affinity> {
    let Some(node) = node else {
        return hardware.affinity.clone();
    };
    let this_node = NodeSelectorRequirement {
        key: "metadata.name".into(),
        operator: "In".into(),
        values: Some(vec![node.to_owned()]),
    };
    let mut affinity = hardware.affinity.clone().unwrap_or_default();
    let nodes = affinity
        .node_affinity
        .get_or_insert_with(NodeAffinity::default);
    match hardware.same_node {
        SameNode::Required => {
            let selector = nodes
                .required_during_scheduling_ignored_during_execution
                .get_or_insert_with(NodeSelector::default);
            if selector.node_selector_terms.is_empty() {
                selector
                    .node_selector_terms
                    .push(NodeSelectorTerm::default());
            }
            // Terms are alternatives, so each must hold the node.
            for term in &mut selector.node_selector_terms {
                term.match_fields
                    .get_or_insert_with(Vec::new)
                    .push(this_node.clone());
            }
        }
        SameNode::Preferred => nodes
            .preferred_during_scheduling_ignored_during_execution
            .get_or_insert_with(Vec::new)
            .push(PreferredSchedulingTerm {
                weight: 100,
                preference: NodeSelectorTerm {
                    match_fields: Some(vec![this_node]),
                    match_expressions: None,
                },
            }),
    }
    Some(affinity)
}

fn container_ports(engine: &PlannedEngine) -> Vec<ContainerPort> {
    ports(engine)
        .into_iter()
        .map(|(name, port)| ContainerPort {
            name: Some(name.into()),
            container_port: port,
            ..ContainerPort::default()
        })
        .collect()
}

fn readiness(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(2),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn volumes(plan: &Plan, turn: Turn, deployment: &Deployment) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut volumes = vec![empty_volume("cache", None)];
    let mut mounts = vec![writable("cache", &deployment.cache_path, None)];
    let shared_memory = plan
        .spec
        .hardware
        .shared_memory
        .clone()
        .or_else(|| deployment.shared_memory.clone().map(Quantity));
    if let Some(size) = shared_memory {
        volumes.push(empty_volume("shared-memory", Some(size)));
        mounts.push(writable("shared-memory", "/dev/shm", None));
    }
    if !deployment.files.is_empty() {
        volumes.push(config_map_volume("files", &names::engine(plan, turn)));
        mounts.extend(
            deployment
                .files
                .keys()
                .map(|path| read_only("files", path, Some(file_key(path)))),
        );
    }
    if let Some((volume, of_model)) = model_volume(plan) {
        volumes.push(volume);
        mounts.extend(of_model);
    }
    (volumes, mounts)
}
