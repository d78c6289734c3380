//! The runs: applied one as another ends, so that as many are unfinished at any moment as asked.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use bakeoff_crds::manifests::labels;
use bakeoff_crds::run::{BenchmarkRun, status::condition};
use bakeoff_e2e::harness::Namespace;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::Size;
use super::fleet::{LABEL, namespace};
use super::kwok::{HELD, LET_GO, UNDER_LOAD};

const RUN: &str = include_str!("run.yaml");

pub(super) struct Runs {
    client: Client,
    size: Size,
    changes: BoxStream<'static, Result<BenchmarkRun, watcher::Error>>,
    /// How many there are.
    applied: usize,
    under_load: BTreeSet<String>,
    ended: BTreeSet<String>,
    /// The last word of each that is unfinished.
    last: BTreeMap<String, String>,
}

impl Runs {
    /// Applies the first of them, whose load goes on until [`Self::let_go`].
    pub(super) async fn begin(of: &Namespace, size: Size) -> Result<Self> {
        let client = of.client.clone();
        let ours = watcher::Config::default().labels(&format!("{LABEL}=yes"));
        let changes = watcher(Api::all(client.clone()), ours)
            .default_backoff()
            .touched_objects()
            .boxed();
        let mut runs = Self {
            client,
            size,
            changes,
            applied: 0,
            under_load: BTreeSet::new(),
            ended: BTreeSet::new(),
            last: BTreeMap::new(),
        };
        while runs.applied < size.at_once {
            runs.apply(HELD).await?;
        }
        Ok(runs)
    }

    /// How far they are, for whoever asks why they are not done.
    pub(super) fn summary(&self) -> String {
        let (applied, ended) = (self.applied, self.ended.len());
        format!("{applied} applied, {ended} ended; {:#?}", self.last)
    }

    async fn apply(&mut self, engine: &str) -> Result<()> {
        let number = self.applied;
        let yaml = RUN
            .replace("NAME", &format!("run-{number}"))
            .replace("ENGINE", engine);
        let run: BenchmarkRun = serde_saphyr::from_str(&yaml)?;
        let place = namespace(number % self.size.namespaces);
        Api::<BenchmarkRun>::namespaced(self.client.clone(), &place)
            .create(&PostParams::default(), &run)
            .await
            .with_context(|| format!("applying run {number}"))?;
        self.applied += 1;
        Ok(())
    }

    pub(super) async fn until_all_are_under_load(&mut self) -> Result<()> {
        while self.under_load.len() < self.applied {
            self.change().await?;
        }
        Ok(())
    }

    /// Has the first runs' load end.
    pub(super) async fn let_go(&self) -> Result<()> {
        let runner = format!("{}={}", labels::COMPONENT, labels::COMPONENT_RUNNER);
        let held = ListParams::default().labels(&format!("{runner},{}={HELD}", labels::ENGINE));
        let over = json!({ "metadata": { "annotations": { LET_GO: "yes" } } });
        for pod in Api::<Pod>::all(self.client.clone()).list(&held).await? {
            let place = pod.namespace().unwrap_or_default();
            Api::<Pod>::namespaced(self.client.clone(), &place)
                .patch(
                    &pod.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(&over),
                )
                .await?;
        }
        Ok(())
    }

    /// Applies the others as runs end.
    pub(super) async fn until_all_have_ended(&mut self) -> Result<()> {
        while self.ended.len() < self.size.runs {
            self.change().await?;
            while self.applied < self.size.runs
                && self.applied - self.ended.len() < self.size.at_once
            {
                self.apply("vllm").await?;
            }
        }
        Ok(())
    }

    /// Takes note of one change.
    async fn change(&mut self) -> Result<()> {
        let run = self.changes.next().await.context("the watch ended")??;
        let name = run.name_any();
        let Some(status) = &run.status else {
            return Ok(());
        };
        let is_true = |kind: &str| {
            let mut conditions = status.conditions.iter();
            conditions.any(|found| found.type_ == kind && found.status == "True")
        };
        if is_true(condition::FAILED) {
            bail!("{name} failed: {:#?}", status.conditions);
        }
        let progress = status.progress.as_deref().unwrap_or_default();
        if progress.contains(UNDER_LOAD) {
            self.under_load.insert(name.clone());
        }
        if is_true(condition::COMPLETE) {
            self.last.remove(&name);
            self.ended.insert(name);
        } else {
            self.last
                .insert(name, format!("{:?} {progress}", status.phase));
        }
        Ok(())
    }
}
