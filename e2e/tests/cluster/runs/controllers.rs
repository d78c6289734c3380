//! The part of KubeRay and of LeaderWorkerSet's controller, as far as an engine needs it: pods made of
//! an object's templates, and a status that says when they are ready. The garbage collector does the rest.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bakeoff_e2e::harness::Namespace;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The two kinds.
pub(super) const KINDS: &str = include_str!("kinds.yaml");

/// Which pod of an object a pod is.
const PART: &str = "bakeoff-e2e/part";
/// Which object a pod belongs to.
const OBJECT: &str = "bakeoff-e2e/object";

/// One of the two, at work until it is dropped.
#[derive(Debug)]
pub(super) struct Controller {
    _at_work: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    RayService,
    LeaderWorkerSet,
}

impl Kind {
    fn api(self, namespace: &Namespace) -> Api<DynamicObject> {
        let (group, version, kind, plural) = match self {
            Self::RayService => ("ray.io", "v1", "RayService", "rayservices"),
            Self::LeaderWorkerSet => (
                "leaderworkerset.x-k8s.io",
                "v1",
                "LeaderWorkerSet",
                "leaderworkersets",
            ),
        };
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(namespace.client.clone(), &namespace.name, &resource)
    }
}

impl Controller {
    /// Begins to act on the objects of this kind in a namespace.
    pub(super) fn start(namespace: &Namespace, kind: Kind) -> Self {
        let mut at_work = JoinSet::new();
        let namespace = namespace.clone();
        at_work.spawn(async move {
            let config = watcher::Config::default;
            let objects = watcher(kind.api(&namespace), config());
            let objects = objects.default_backoff().map(|_| ());
            let pods = watcher(namespace.api::<Pod>(), config());
            let pods = pods.default_backoff().map(|_| ());
            let mut changes = futures::stream::select(objects, pods).boxed();
            while changes.next().await.is_some() {
                // A change between the look and the write brings another turn.
                if let Err(error) = act(&namespace, kind).await {
                    tracing::warn!("the stand-in for {kind:?}: {error:#}");
                }
            }
        });
        Self { _at_work: at_work }
    }
}

async fn act(namespace: &Namespace, kind: Kind) -> Result<()> {
    let api = kind.api(namespace);
    for object in api.list(&ListParams::default()).await? {
        if object.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let wanted = pods(namespace, kind, &object).await?;
        let of_object = ListParams::default().labels(&format!("{OBJECT}={}", object.name_any()));
        let there = namespace.api::<Pod>().list(&of_object).await?.items;
        for pod in &wanted {
            let name = pod.name_any();
            if there.iter().all(|other| other.name_any() != name) {
                create(&namespace.api(), pod).await?;
            }
        }
        let ready = there.iter().filter(|pod| is_ready(pod)).count();
        let status = status(kind, ready == wanted.len());
        let before = object.data.pointer("/status/readyReplicas");
        if before != status.pointer("/status/readyReplicas") {
            let patch = Patch::Merge(&status);
            api.patch_status(&object.name_any(), &PatchParams::default(), &patch)
                .await?;
        }
    }
    Ok(())
}

/// The pods of an object: a RayService's head, a group's leader and workers.
async fn pods(namespace: &Namespace, kind: Kind, object: &DynamicObject) -> Result<Vec<Pod>> {
    let template = |pointer: &str| {
        let found = object.data.pointer(pointer).cloned();
        found.with_context(|| format!("no {pointer} in {}", object.name_any()))
    };
    match kind {
        Kind::RayService => {
            let mut head = template("/spec/rayClusterConfig/headGroupSpec/template")?;
            application(namespace, object, &mut head).await?;
            Ok(vec![pod(object, "head", &head)?])
        }
        Kind::LeaderWorkerSet => {
            let size = object
                .data
                .pointer("/spec/leaderWorkerTemplate/size")
                .and_then(Value::as_u64)
                .context("no size")?;
            let mut made = Vec::new();
            for index in 0..size {
                let place = match index {
                    0 => "/spec/leaderWorkerTemplate/leaderTemplate",
                    _ => "/spec/leaderWorkerTemplate/workerTemplate",
                };
                let mut template = template(place)?;
                let variables = [
                    json!({ "name": "LWS_LEADER_ADDRESS", "value": object.name_any() }),
                    json!({ "name": "LWS_GROUP_SIZE", "value": size.to_string() }),
                    json!({ "name": "LWS_WORKER_INDEX", "value": index.to_string() }),
                ];
                for container in containers(&mut template) {
                    let env = container["env"].as_array().cloned().unwrap_or_default();
                    container["env"] = variables.iter().cloned().chain(env).collect();
                }
                made.push(pod(object, &index.to_string(), &template)?);
            }
            Ok(made)
        }
    }
}

fn containers(template: &mut Value) -> impl Iterator<Item = &mut Value> {
    let containers = template.pointer_mut("/spec/containers");
    containers
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// KubeRay hands the application to the head over its API; here it is started with it, from a file.
async fn application(
    namespace: &Namespace,
    object: &DynamicObject,
    head: &mut Value,
) -> Result<()> {
    let name = format!("{}-application", object.name_any());
    let text = object.data.pointer("/spec/serveConfigV2");
    let file: ConfigMap = serde_json::from_value(json!({
        "metadata": { "name": name, "ownerReferences": [owner(object)] },
        "data": { "serve.yaml": text },
    }))?;
    create(&namespace.api(), &file).await?;
    for container in containers(head) {
        container["command"] = json!(["bash", "-c"]);
        container["args"] = json!([
            "ray start --head --metrics-export-port=8080 --num-gpus=1 && exec serve run --address=auto /etc/application/serve.yaml"
        ]);
        if let Some(mounts) = container["volumeMounts"].as_array_mut() {
            mounts.push(json!({ "name": "application", "mountPath": "/etc/application" }));
        }
    }
    if let Some(volumes) = head["spec"]["volumes"].as_array_mut() {
        volumes.push(json!({ "name": "application", "configMap": { "name": name } }));
    }
    Ok(())
}

fn owner(object: &DynamicObject) -> Value {
    let types = object.types.as_ref();
    json!({
        "apiVersion": types.map(|types| types.api_version.as_str()),
        "kind": types.map(|types| types.kind.as_str()),
        "name": object.name_any(),
        "uid": object.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn pod(object: &DynamicObject, part: &str, template: &Value) -> Result<Pod> {
    let mut metadata = template["metadata"].clone();
    metadata["name"] = format!("{}-{part}", object.name_any()).into();
    metadata["ownerReferences"] = json!([owner(object)]);
    metadata["labels"][PART] = part.into();
    metadata["labels"][OBJECT] = object.name_any().into();
    let made = json!({ "metadata": metadata, "spec": template["spec"] });
    serde_json::from_value(made).context("a template is no pod's")
}

/// Makes an object where there is none of its name.
async fn create<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => bail!("{error}"),
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|it| it.type_ == "Ready" && it.status == "True")
}

fn status(kind: Kind, is_ready: bool) -> Value {
    let now = k8s_openapi::jiff::Timestamp::now()
        .round(k8s_openapi::jiff::Unit::Second)
        .unwrap_or_default();
    let (condition, reason) = match kind {
        Kind::RayService => ("Ready", "NonZeroServeEndpoints"),
        Kind::LeaderWorkerSet => ("Available", "AllGroupsReady"),
    };
    json!({ "status": {
        "readyReplicas": u8::from(is_ready),
        "conditions": [{
            "type": condition,
            "status": if is_ready { "True" } else { "False" },
            "reason": reason,
            "message": "said by a stand-in",
            "lastTransitionTime": now.to_string(),
        }],
    }})
}

/// Longest wait for a kind to be served.
pub(super) const KINDS_LIMIT: Duration = Duration::from_secs(60);
