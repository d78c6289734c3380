//! The only module that reads the API server.
//!
//! Rights that it needs: `benchmarkruns` get, list, watch; `engineprofiles` list; `configmaps` get;
//! `pods` and `jobs` list, watch; `list` of the kinds of objects that engines are ([`objects`]). API groups are discovered, which every account may. Where they are
//! given, also `nodes` get and `pods` list in all namespaces ([`nodes`]), and `events` list
//! ([`pod_events`], [`pulls`]).
//!
//! Everything that a decision is made on is read anew and from the API server, not from a cache: one
//! made on an old status beside new pods would see failures that are none. Two things are older:
//! the stored plan, which is immutable ([`plans`]), and, by seconds, who is on a node and which nodes
//! there are ([`nodes`]).

mod fresh;
pub mod nodes;
pub mod objects;
pub mod plans;
pub mod pod_events;
pub mod pulls;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bakeoff_crds::{
    EngineProfile,
    manifests::{MonitoringApi, labels, names},
    plan::{Plan, RunIdentity},
    profile::ProfileSet,
    run::{
        BenchmarkRun,
        status::{EnginePhase, Neighbours, RunPhase},
    },
};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, Pod},
    },
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::ListParams, core::DeserializeGuard};
use tokio::sync::Mutex;

pub use self::fresh::{Fresh, Heard, Kept, Step};
use self::{nodes::NodeReader, plans::Plans, pod_events::PodEventReader, pulls::PullReader};
use crate::{
    error::Error,
    neighbours,
    observed::{Observed, Progress, StoredPlan},
    pod,
    progress::ProgressReader,
    room, slim,
};

/// How long the list of API groups is good for.
const DISCOVERY_AGE: Duration = Duration::from_secs(300);

/// The pod-monitoring APIs, and when they were discovered.
struct Discovered {
    at: Instant,
    apis: Vec<MonitoringApi>,
}

/// Reads what the cluster shows of a run.
#[derive(Clone)]
pub struct Observer {
    client: Client,
    progress: ProgressReader,
    nodes: NodeReader,
    pod_events: PodEventReader,
    pulls: PullReader,
    plans: Plans,
    monitoring: Arc<Mutex<Option<Discovered>>>,
}

impl Observer {
    /// An observer of this cluster.
    pub fn new(client: Client, progress: ProgressReader, nodes: NodeReader) -> Self {
        Self {
            pod_events: PodEventReader::new(client.clone()),
            pulls: PullReader::new(client.clone()),
            client,
            progress,
            nodes,
            plans: Plans::default(),
            monitoring: Arc::default(),
        }
    }

    /// The run and what the cluster shows of it; `None` where there is no such run.
    ///
    /// # Errors
    /// Where the API server cannot be read.
    pub async fn observe(
        &self,
        namespace: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Fresh>, Error> {
        let runs = Api::<BenchmarkRun>::namespaced(self.client.clone(), namespace);
        let Some(mut run) = runs.get_opt(name).await.map_err(Error::read("the run"))? else {
            return Ok(None);
        };
        slim::metadata(&mut run.metadata);
        let mut observed = Observed {
            plan: self.plan(namespace, &run).await?,
            ..Observed::default()
        };
        if matches!(observed.plan, StoredPlan::Missing) {
            self.read_profiles(&mut observed).await?;
        } else {
            observed.monitoring = self.monitoring_apis().await;
        }
        let own = format!("{}={}", labels::RUN_UID, run.uid().unwrap_or_default());
        let own = ListParams::default().labels(&own);
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        observed.pods = pods.list(&own).await.map_err(Error::read("pods"))?.items;
        let jobs = Api::<Job>::namespaced(self.client.clone(), namespace);
        if let StoredPlan::Stored(plan) = observed.plan.clone() {
            objects::read(&self.client, namespace, &own, &plan, &mut observed).await?;
        }
        observed.jobs = jobs.list(&own).await.map_err(Error::read("jobs"))?.items;
        for found in &mut observed.pods {
            slim::metadata(&mut found.metadata);
        }
        for found in &mut observed.jobs {
            slim::metadata(&mut found.metadata);
        }
        observed.pod_troubles = self.pod_events.troubles(namespace, &observed, now).await;
        observed.progress = self.progress_of(&observed).await;
        let phase = run.status.as_ref().map(|status| status.phase);
        if matches!(phase, Some(RunPhase::Pending | RunPhase::Preflight))
            && let StoredPlan::Stored(plan) = &observed.plan
            && room::accelerators(plan) > 0
        {
            let selector = &plan.spec.hardware.node_selector;
            observed.room = self.nodes.with_labels(selector).await;
        }
        if phase == Some(RunPhase::Running) {
            if let Some(status) = &run.status {
                self.pulls.read(namespace, status, &mut observed).await;
            }
            self.look_at_nodes(&run, &mut observed).await;
        }
        Ok(Some(Fresh::new(run, observed)))
    }

    /// What is to be heard of a run between two looks: what its pod at work says of itself, which asks
    /// nothing of the API server, and, as a stage begins, who else is on the node of the engine under
    /// load, which no watch tells.
    pub async fn hear(&self, kept: &Kept) -> Heard {
        let progress = self.progress_of(kept.observed()).await;
        let before = kept.observed().progress.as_ref();
        let begins = progress.as_ref().zip(before).is_some_and(|(now, before)| {
            (now.repetition, &now.stage) != (before.repetition, &before.stage)
        });
        let neighbours = match begins {
            true => self.neighbours(kept.run()).await,
            false => None,
        };
        Heard {
            progress,
            neighbours,
        }
    }

    async fn progress_of(&self, observed: &Observed) -> Option<Progress> {
        let ip = pod::ip(fresh::speaker(observed)?)?;
        self.progress.read(ip).await
    }

    /// The nodes of the run's engine and of pods that are to go, and the one that it is held to; and,
    /// while an engine is under load, who else is on its node.
    async fn look_at_nodes(&self, run: &BenchmarkRun, observed: &mut Observed) {
        let Some(status) = &run.status else {
            return;
        };
        let is_engine =
            |found: &Pod| pod::label(found, labels::COMPONENT) == Some(labels::COMPONENT_ENGINE);
        let alive = observed.pods.iter().filter(|found| !pod::has_ended(found));
        let alive = alive.filter(|found| is_engine(found) || pod::is_deleting(found));
        let mut names: Vec<String> = alive
            .filter_map(pod::node)
            .map(str::to_owned)
            .chain(status.node_name.clone())
            .collect();
        names.sort();
        names.dedup();
        for name in names {
            let resource = &run.spec.hardware.accelerator.resource;
            if let Some((state, facts)) = self.nodes.look(&name, resource).await {
                observed
                    .node_facts
                    .extend(facts.map(|facts| (name.clone(), facts)));
                observed.nodes.insert(name, state);
            }
        }
        observed.neighbours = self.neighbours(run).await;
    }

    /// Who else is on the node of the engine under load; `None` where none is, or it cannot be seen.
    async fn neighbours(&self, run: &BenchmarkRun) -> Option<Neighbours> {
        let mut turns = run.status.iter().flat_map(|status| &status.turns);
        let node = turns.find(|turn| turn.phase == EnginePhase::Measuring);
        let mut there = None;
        for node in node.iter().flat_map(|turn| turn.nodes()) {
            if let Some(pods) = self.nodes.pods(node).await {
                there
                    .get_or_insert_with(Vec::new)
                    .extend(pods.iter().cloned());
            }
        }
        let uid = run.uid().unwrap_or_default();
        let accelerator = &run.spec.hardware.accelerator.resource;
        Some(neighbours::among(&there?, &uid, accelerator))
    }

    async fn plan(&self, namespace: &str, run: &BenchmarkRun) -> Result<StoredPlan, Error> {
        let uid = run.uid().unwrap_or_default();
        if let Some(known) = self.plans.get(&uid) {
            return Ok(StoredPlan::Stored(known));
        }
        let identity = RunIdentity {
            name: run.name_any(),
            namespace: namespace.to_owned(),
            uid: uid.clone(),
        };
        let config_maps = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let stored = config_maps
            .get_opt(&names::plan(&identity))
            .await
            .map_err(Error::read("the plan"))?;
        let Some(stored) = stored else {
            return Ok(StoredPlan::Missing);
        };
        let json = stored.data.unwrap_or_default().remove("plan.json");
        Ok(match json.map(|json| Plan::read(json.as_bytes())) {
            Some(Ok(plan)) => StoredPlan::Stored(self.plans.keep(&uid, plan)),
            Some(Err(error)) => StoredPlan::Unreadable(error.to_string()),
            None => StoredPlan::Unreadable("it has no plan.json".into()),
        })
    }

    /// The built-in profiles and the cluster's own. An installation that may not read
    /// EngineProfiles goes by the built-in ones.
    async fn read_profiles(&self, observed: &mut Observed) -> Result<(), Error> {
        let mut profiles = ProfileSet::builtin();
        let api = Api::<DeserializeGuard<EngineProfile>>::all(self.client.clone());
        match api.list(&ListParams::default()).await {
            Ok(list) => {
                for guarded in list {
                    match guarded.0 {
                        Ok(profile) => profiles = profiles.with(profile.name_any(), profile.spec),
                        Err(invalid) => observed
                            .unreadable_profiles
                            .push((invalid.metadata.name.unwrap_or_default(), invalid.error)),
                    }
                }
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                tracing::warn!(%status, "EngineProfiles cannot be read; only built-in profiles are known");
            }
            Err(error) => return Err(Error::read("engine profiles")(error)),
        }
        observed.profiles = Some(profiles);
        Ok(())
    }

    /// The pod-monitoring APIs of this cluster. Scraping is an extra, so a failure counts as none.
    async fn monitoring_apis(&self) -> Vec<MonitoringApi> {
        let mut cached = self.monitoring.lock().await;
        if let Some(discovered) = &*cached
            && discovered.at.elapsed() < DISCOVERY_AGE
        {
            return discovered.apis.clone();
        }
        let groups = match self.client.list_api_groups().await {
            Ok(groups) => groups,
            Err(error) => {
                tracing::warn!(%error, "API groups cannot be discovered; engines get no PodMonitoring");
                return Vec::new();
            }
        };
        let apis: Vec<MonitoringApi> = [
            MonitoringApi::GoogleManaged,
            MonitoringApi::PrometheusOperator,
        ]
        .into_iter()
        .filter(|api| {
            groups
                .groups
                .iter()
                .any(|group| group.name == api.resource().group)
        })
        .collect();
        *cached = Some(Discovered {
            at: Instant::now(),
            apis: apis.clone(),
        });
        apis
    }
}
