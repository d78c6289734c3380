//! An engine's pod, its service and its files.
//!
//! The pod is never restarted behind the run's back: `restartPolicy: Never`, and no controller
//! above it but the operator.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        ConfigMap, Container, ContainerPort, HTTPGetAction, Pod, PodSpec, Probe, Service,
        ServicePort, ServiceSpec, Volume, VolumeMount,
    },
    apimachinery::pkg::{
        api::resource::Quantity, apis::meta::v1::OwnerReference, util::intstr::IntOrString,
    },
};
use kube::core::DynamicObject;
use serde::Serialize;

use super::{
    Turn,
    container::{
        config_map_volume, empty_volume, engine_pod, pull_secrets, read_only, restricted_container,
        restricted_pod, writable,
    },
    engine_containers::Shared,
    labels,
    model::{BUILDS, build_volume, model_volume},
    names, object,
    placement::{self, placed_pod},
};
use crate::{
    plan::{Deployment, EngineSource, Plan, PlannedEngine, PlannedObject, object::SERVING_POD},
    run::SimulatedEngine,
};

/// What holds an engine's containers.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one per turn
pub enum Workload {
    /// A Pod.
    Pod(Pod),
    /// An object whose controller makes the pods.
    Object(DynamicObject),
}

impl Workload {
    /// The Pod, where it is one.
    pub fn pod(self) -> Option<Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Object(_) => None,
        }
    }

    /// The object, where it is one.
    pub fn object(self) -> Option<DynamicObject> {
        match self {
            Self::Pod(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

impl Serialize for Workload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pod(pod) => pod.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

/// What an engine's turn puts into the cluster, beside its monitoring.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineObjects {
    /// Files of the profile, where it has any.
    pub files: Option<ConfigMap>,
    /// The engine.
    pub workload: Workload,
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
    engine_objects_on(plan, owner, turn, node.as_slice())
}

/// As [`engine_objects`], held to the nodes of the first engine where an engine spans several.
pub fn engine_objects_on(
    plan: &Plan,
    owner: &OwnerReference,
    turn: Turn,
    nodes: &[&str],
) -> Option<EngineObjects> {
    let engine = plan.engines.get(turn.engine)?;
    let pod_spec = match &engine.source {
        EngineSource::External(_) => return None,
        EngineSource::Deployed(deployment) => deployed_pod(plan, turn, engine, deployment, nodes),
        EngineSource::Simulated(simulated) => simulated_pod(plan, engine, simulated, nodes),
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
    let object = match &engine.source {
        EngineSource::Deployed(deployment) => deployment.object.as_ref().map(|planned| {
            let pods = pods_of_object(plan, turn, deployment, planned, &pod_spec, nodes);
            object::engine_object(plan, owner, turn, planned, &pods)
        }),
        EngineSource::External(_) | EngineSource::Simulated(_) => None,
    };
    let mut pod = Pod {
        metadata: names::queued(plan, metadata(&name)),
        spec: Some(pod_spec),
        status: None,
    };
    pod.metadata.annotations = Some(object::stays());
    Some(EngineObjects {
        files: files(engine).map(|data| ConfigMap {
            metadata: metadata(&name),
            data: Some(data),
            immutable: Some(true),
            ..ConfigMap::default()
        }),
        workload: match object {
            Some(object) => Workload::Object(object),
            None => Workload::Pod(pod),
        },
        service: Service {
            metadata: metadata(&name),
            spec: Some(ServiceSpec {
                selector: Some(object::serving_labels(plan, turn, engine)),
                publish_not_ready_addresses: Some(true),
                ports: Some(
                    ports(engine)
                        .into_iter()
                        .map(|(name, port)| ServicePort {
                            name: Some(name.into()),
                            port,
                            target_port: Some(IntOrString::String(
                                engine.port_name(port, name).to_owned(),
                            )),
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

/// The specs of an object's pods by name. Whether a container that ended is started anew is for its
/// controller to say, and some allow nothing else; a second life costs the turn all the same.
fn pods_of_object<'a>(
    plan: &Plan,
    turn: Turn,
    deployment: &Deployment,
    planned: &'a PlannedObject,
    serving: &PodSpec,
    nodes: &[&str],
) -> BTreeMap<&'a str, PodSpec> {
    let (volumes, mounts) = volumes(plan, turn, deployment);
    let shared = Shared {
        plan,
        deployment,
        mounts,
    };
    let of_object = |mut spec: PodSpec| {
        spec.restart_policy = None;
        if plan.spec.hardware.nodes() > 1 {
            placement::keep_apart(plan, &mut spec);
        }
        spec
    };
    let further = planned.pods.iter().map(|pod| {
        let spec = PodSpec {
            containers: vec![shared.container(pod)],
            init_containers: None,
            ..pod_without_containers(plan, deployment, volumes.clone(), nodes)
        };
        (pod.name.as_str(), of_object(spec))
    });
    let mut serving = of_object(serving.clone());
    if let Some(container) = serving.containers.first_mut() {
        if !planned.probe {
            container.readiness_probe = None;
        }
        let own = container.ports.get_or_insert_default();
        for (name, port) in &planned.ports {
            let port = i32::from(*port);
            if own.iter().all(|other| other.container_port != port) {
                own.push(ContainerPort {
                    name: Some(name.clone()),
                    container_port: port,
                    ..ContainerPort::default()
                });
            }
        }
    }
    further.chain([(SERVING_POD, serving)]).collect()
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
    nodes: &[&str],
) -> PodSpec {
    let (volumes, volume_mounts) = volumes(plan, turn, deployment);
    let shared = Shared {
        plan,
        deployment,
        mounts: volume_mounts,
    };
    let own = Container {
        ports: Some(container_ports(engine)),
        readiness_probe: Some(readiness(engine, &deployment.readiness_path)),
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
        ..pod_without_containers(plan, deployment, volumes, nodes)
    }
}

/// What an engine's pods have in common, without containers.
fn pod_without_containers(
    plan: &Plan,
    deployment: &Deployment,
    volumes: Vec<Volume>,
    nodes: &[&str],
) -> PodSpec {
    let hardware = &plan.spec.hardware;
    PodSpec {
        volumes: Some(volumes),
        security_context: Some(engine_pod(deployment.pod_security)),
        image_pull_secrets: pull_secrets(&hardware.image_pull_secrets),
        runtime_class_name: hardware.runtime_class_name.clone(),
        ..placed_pod(hardware, nodes)
    }
}

fn simulated_pod(
    plan: &Plan,
    engine: &PlannedEngine,
    simulated: &SimulatedEngine,
    nodes: &[&str],
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
        readiness_probe: Some(readiness(engine, path)),
        resources: plan.spec.hardware.resources.clone(),
        security_context: Some(restricted_container()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    };
    PodSpec {
        containers: vec![container],
        security_context: Some(restricted_pod()),
        image_pull_secrets: pull_secrets(&plan.spec.runner.image_pull_secrets),
        ..placed_pod(&plan.spec.hardware, nodes)
    }
}

fn container_ports(engine: &PlannedEngine) -> Vec<ContainerPort> {
    ports(engine)
        .into_iter()
        .map(|(name, port)| ContainerPort {
            name: Some(engine.port_name(port, name).to_owned()),
            container_port: port,
            ..ContainerPort::default()
        })
        .collect()
}

fn readiness(engine: &PlannedEngine, path: &str) -> Probe {
    let port = engine.port_name(i32::from(engine.endpoint.port), "http");
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
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
    if let Some(path) = &deployment.build_path {
        volumes.push(build_volume(plan));
        mounts.push(writable(BUILDS, path, None));
    }
    if let Some((volume, of_model)) = model_volume(plan) {
        volumes.push(volume);
        mounts.extend(of_model);
    }
    (volumes, mounts)
}
