//! A node without a machine: it takes pods as the scheduler gives them, and plays what would become
//! of them, as fast as one can look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use bakeoff_crds::manifests::labels;
use bakeoff_crds::run::status::{Headline, VerdictStatus};
use bakeoff_crds::summary::{
    PrefetchSummary, PreflightSummary, ReporterSummary, Summary, Termination,
};
use bakeoff_e2e::harness::client;
use bakeoff_e2e::settings::Layout;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::runtime;
use tokio::sync::oneshot;

use super::fate::Fate;

/// The node's name.
const NODE: &str = "bakeoff-played";
/// Load on an engine of this name never ends.
pub(super) const ENDLESS: &str = "endless";
/// How often the node looks at its pods.
const LOOK: Duration = Duration::from_millis(150);
/// How long a Job's pod works.
const WORK: Duration = Duration::from_millis(400);
/// Time between two signs of life: the node controller waits 40 s for one.
const BEAT: Duration = Duration::from_secs(5);
/// Pods that are played at once.
const AT_ONCE: usize = 8;

/// What runner pods drove and reporters read, by namespace.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<BTreeMap<String, Account>>>);

/// What happened in one namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Engine and round of each pod that made load, as often as one did.
    pub(super) driven: Vec<String>,
    /// The outcome that each reporter read.
    pub(super) outcomes: Vec<Value>,
}

impl Ledger {
    pub(super) fn of(&self, namespace: &str) -> Account {
        let accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.get(namespace).cloned().unwrap_or_default()
    }

    fn write(&self, namespace: &str, entry: impl FnOnce(&mut Account)) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entry(accounts.entry(namespace.to_owned()).or_default());
    }
}

/// The node, on a thread of its own: several tests share it, and each has a runtime of its own.
pub(super) struct Machine {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Machine {
    /// Registers the node, and begins to play.
    pub(super) fn start(layout: Layout, ledger: Ledger) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let client = client(&layout).await?;
                register(&client).await.context("registering the node")?;
                tokio::select! {
                    () = live(&client, &ledger) => {}
                    _ = stopped => {}
                }
                let nodes = Api::<Node>::all(client);
                nodes.delete(NODE, &DeleteParams::default()).await?;
                Ok(())
            })
        });
        Ok(Self { stop, thread })
    }

    /// Takes the node away.
    pub(super) fn stop(self) -> Result<()> {
        // It may have failed before.
        let _ = self.stop.send(());
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Ends only by being dropped.
async fn live(client: &Client, ledger: &Ledger) {
    let beats = async {
        loop {
            if let Err(error) = beat(client).await {
                tracing::warn!(%error, "no sign of life");
            }
            tokio::time::sleep(BEAT).await;
        }
    };
    let looks = async {
        loop {
            // Pods come and go between looks; the next one sees how it is then.
            if let Err(error) = look_at_pods(client, ledger).await {
                tracing::debug!(%error, "the pods were not seen");
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::join!(beats, looks);
}

async fn register(client: &Client) -> Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    let ours = PatchParams::apply("bakeoff-e2e").force();
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": NODE,
            "labels": { "bakeoff.dev/played": "yes", "kubernetes.io/hostname": NODE },
        },
        "spec": { "taints": [{ "key": "bakeoff.dev/played", "effect": "NoSchedule" }] },
    });
    nodes.patch(NODE, &ours, &Patch::Apply(node)).await?;
    let room = json!({ "cpu": "512", "memory": "4Ti", "pods": "2000", "nvidia.com/gpu": "512" });
    let now = Timestamp::now();
    let status = json!({ "status": {
        "capacity": room, "allocatable": room,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Played", "message": "",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }],
    }});
    nodes
        .patch_status(NODE, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

async fn beat(client: &Client) -> Result<()> {
    let leases = Api::<Lease>::namespaced(client.clone(), "kube-node-lease");
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": NODE },
        "spec": {
            "holderIdentity": NODE, "leaseDurationSeconds": 40,
            "renewTime": format!("{:.6}", Timestamp::now()),
        },
    });
    let ours = PatchParams::apply("bakeoff-e2e").force();
    leases.patch(NODE, &ours, &Patch::Apply(lease)).await?;
    Ok(())
}

async fn look_at_pods(client: &Client, ledger: &Ledger) -> Result<()> {
    let here = ListParams::default().fields(&format!("spec.nodeName={NODE}"));
    let pods = Api::<Pod>::all(client.clone()).list(&here).await?;
    stream::iter(&pods)
        .for_each_concurrent(AT_ONCE, async |pod| {
            if let Err(error) = play(client, ledger, pod).await {
                tracing::debug!(%error, pod = pod.name_any(), "not played");
            }
        })
        .await;
    Ok(())
}

/// Takes a pod one step further.
async fn play(client: &Client, ledger: &Ledger, pod: &Pod) -> Result<()> {
    let namespace = pod.namespace().context("a pod without a namespace")?;
    let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
    if pod.metadata.deletion_timestamp.is_some() {
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        pods.delete(&pod.name_any(), &at_once).await?;
        return Ok(());
    }
    let component = pod
        .labels()
        .get(labels::COMPONENT)
        .map_or("", String::as_str);
    let engine = pod.labels().get(labels::ENGINE).map_or("", String::as_str);
    let status = pod.status.clone().unwrap_or_default();
    let is_engine = component == labels::COMPONENT_ENGINE;
    let works = !is_engine && component != labels::COMPONENT_HOLDER;
    let fate = Fate::find(component, engine);
    let now = match (status.phase.as_deref(), fate) {
        (Some("Pending"), Some(fate)) if !fate.is_late => (fate.status)(pod),
        (Some("Pending"), _) => running(pod),
        (Some("Running"), Some(fate)) if has_worked(pod) && !is_disrupted(pod) => {
            (fate.status)(pod)
        }
        (Some("Running"), None) if engine == ENDLESS => return Ok(()),
        (Some("Running"), None) if works && has_worked(pod) => {
            let words = match component {
                labels::COMPONENT_RUNNER => {
                    let round = pod.labels().get(labels::ROUND).map_or("", String::as_str);
                    let turn = format!("{engine}, round {round}");
                    ledger.write(&namespace, |account| account.driven.push(turn));
                    runner_words()
                }
                labels::COMPONENT_REPORTER => {
                    let outcome = outcome(client, &namespace).await?;
                    ledger.write(&namespace, |account| account.outcomes.push(outcome));
                    reporter_words()
                }
                labels::COMPONENT_PREFETCH => prefetch_words(),
                _ => preflight_words(),
            };
            ended(pod, 0, &serde_json::to_string(&words)?)
        }
        _ => return Ok(()),
    };
    let status = json!({ "metadata": { "uid": pod.uid() }, "status": now });
    pods.patch_status(
        &pod.name_any(),
        &PatchParams::default(),
        &Patch::Strategic(status),
    )
    .await?;
    Ok(())
}

fn is_disrupted(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let mut conditions = conditions.flatten();
    conditions.any(|condition| condition.type_ == "DisruptionTarget")
}

fn has_worked(pod: &Pod) -> bool {
    let began = pod.status.as_ref().and_then(|status| {
        let container = status.container_statuses.as_ref()?.first()?;
        let running = container.state.as_ref()?.running.as_ref()?;
        Some(running.started_at.as_ref()?.0)
    });
    let work = k8s_openapi::jiff::SignedDuration::try_from(WORK).unwrap_or_default();
    // Whole seconds is all that an object keeps.
    began.is_some_and(|began| Timestamp::now().duration_since(began) >= work)
}

pub(super) fn running(pod: &Pod) -> Value {
    let now = Timestamp::now();
    let mut status = container(pod, json!({ "running": { "startedAt": now } }));
    status["phase"] = "Running".into();
    status["startTime"] = json!(now);
    status["conditions"] = json!([
        { "type": "Ready", "status": "True", "lastTransitionTime": now },
        { "type": "ContainersReady", "status": "True", "lastTransitionTime": now },
    ]);
    status
}

pub(super) fn ended(pod: &Pod, code: i32, words: &str) -> Value {
    let now = Timestamp::now();
    let (phase, reason) = match code {
        0 => ("Succeeded", "Completed"),
        _ => ("Failed", "Error"),
    };
    let mut status = container(
        pod,
        json!({ "terminated": {
            "exitCode": code, "reason": reason, "message": words,
            "startedAt": now, "finishedAt": now,
        }, "running": null }),
    );
    status["phase"] = phase.into();
    status["conditions"] = json!([
        { "type": "Ready", "status": "False", "lastTransitionTime": now },
        { "type": "ContainersReady", "status": "False", "lastTransitionTime": now },
    ]);
    status
}

pub(super) fn container(pod: &Pod, state: Value) -> Value {
    let first = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let (name, image) = first.map_or(("", ""), |container| {
        (
            &*container.name,
            container.image.as_deref().unwrap_or_default(),
        )
    });
    json!({ "containerStatuses": [{
        "name": name, "image": image, "imageID": "registry.test/bakeoff@sha256:played",
        "ready": state.get("terminated").is_none(), "restartCount": 0, "state": state,
    }]})
}

fn preflight_words() -> Termination {
    Termination {
        preflight: Some(PreflightSummary {
            prompts: 1,
            prompts_sha256: "ab".repeat(32),
            ..PreflightSummary::default()
        }),
        ..Termination::default()
    }
}

fn prefetch_words() -> Termination {
    Termination {
        prefetch: Some(PrefetchSummary {
            commit: Some("c0ffee".into()),
            files: 3,
            bytes: 4096,
            fetched_bytes: 4096,
            seconds: 1.0,
            content_sha256: "cd".repeat(32),
        }),
        ..Termination::default()
    }
}

fn runner_words() -> Termination {
    Termination {
        runner: Some(Summary {
            stages_done: 2,
            stages_planned: 2,
            intended: 20,
            sent: 20,
            succeeded: 20,
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

fn reporter_words() -> Termination {
    Termination {
        reporter: Some(ReporterSummary {
            report_uri: "s3://results/here/report.json".into(),
            verdict: VerdictStatus::Valid,
            reasons: Vec::new(),
            sentence: "alpha is faster.".into(),
        }),
        ..Termination::default()
    }
}

/// The outcome, as the reporter of this namespace finds it.
async fn outcome(client: &Client, namespace: &str) -> Result<Value> {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    for map in maps.list(&ListParams::default()).await? {
        if let Some(json) = map.data.as_ref().and_then(|data| data.get("outcome.json")) {
            return Ok(serde_json::from_str(json)?);
        }
    }
    anyhow::bail!("no outcome")
}
