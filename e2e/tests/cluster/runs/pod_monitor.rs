//! PodMonitors with the real Prometheus operator: it turns the one that Bakeoff makes for an engine
//! into a scrape configuration, a real Prometheus scrapes by it, and the report has its figures.
//!
//! What the config-reloader in a pod of its StatefulSet does is done here: reading the generated
//! configuration out of its Secret, filling in which shard and pod it is for, and telling Prometheus
//! to load it again. One thing is changed in it, how a process outside of the cluster reaches the API
//! server.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::StageReport;
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_e2e::settings::service_address;
use bakeoff_e2e::{tools, wait};
use flate2::read::GzDecoder;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::bakeoff::{nothing_left, report};
use super::complete;
use super::inputs::{Bucket, fill, prepare};
use crate::install;

const RUN: &str = include_str!("sharded.yaml");
/// Where the test's own Prometheus listens.
const PORT: u16 = 19_091;
/// The object of the Prometheus operator's that selects the PodMonitors.
const PROMETHEUS: &str = "bakeoff";
/// Of the kinds of the Prometheus operator those that it needs to begin.
const KINDS: [&str; 5] = [
    "prometheuses",
    "podmonitors",
    "servicemonitors",
    "probes",
    "prometheusrules",
];

#[tokio::test]
#[ignore = "from then on every engine gets a PodMonitor: runs alone, after the others"]
async fn the_prometheus_operator_turns_pod_monitors_into_scrapes() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    with_namespace(async |namespace| {
        let _alone = crate::turns::alone().await?;
        // Built before anything waits for it.
        let operator = tools::PROMETHEUS_OPERATOR.build(&namespace.layout)?;
        let folder = tools::PROMETHEUS_OPERATOR.source(
            &namespace.layout,
            "github.com/prometheus-operator/prometheus-operator",
        )?;
        install_kinds(&namespace, &folder)?;
        install::operator(&namespace).await?;
        // One that runs already asks for the cluster's APIs every five minutes.
        install::restart(&namespace)?;
        prepare(&namespace, Bucket::S3).await?;

        let _operator = start_operator(&namespace, &operator)?;
        let _prometheus = start_prometheus(&namespace)?;
        namespace.apply(&prometheus_object().to_string())?;
        let seen = follow(&namespace);

        let yaml = RUN
            .replace("NAME", "monitored")
            .replace("PODS", "1")
            .replace("SWEEP", "{concurrency: [2]}")
            .replace("REQUESTS", "400");
        let backend = json!({"backend": "Prometheus", "url": url()?, "interval": "1s"});
        let yaml = yaml.replace("{backend: Direct}", &backend.to_string());
        namespace.apply(&fill(&yaml, &namespace, Bucket::S3)?)?;
        let status = complete(&namespace, "monitored").await?;

        let turn = status.turns.first().context("no turn")?;
        let pod = turn.pod_name.as_deref().context("no pod")?;
        let job = format!("podMonitor/{}/{pod}/0", namespace.name);
        ensure!(
            seen.jobs().contains(&job),
            "{job} is none of {:?}",
            seen.jobs()
        );
        let uri = status.report_uri.context("no report URI")?;
        let report = report(&namespace, Bucket::S3, &uri).await?;
        let stage = report.engines[0].stages.first().context("no stage")?;
        counted_as_the_client_did(stage)?;
        nothing_left(&namespace).await?;
        let left = namespace.kubectl(&["get", "podmonitors", "--output=name"])?;
        ensure!(left.trim().is_empty(), "still there: {left}");
        Ok(())
    })
    .await
}

/// The tokens that Prometheus saw the engine make are those that the client got.
fn counted_as_the_client_did(stage: &StageReport) -> Result<()> {
    let metric = stage.engine_metrics.get("generationTokens");
    let metric = metric.context("no generationTokens")?;
    let found = metric.prometheus.as_ref().and_then(|value| value.increase);
    let found = found.with_context(|| format!("not by Prometheus: {metric:?}"))?;
    let direct = metric.direct.as_ref().and_then(|value| value.increase);
    let direct = direct.with_context(|| format!("not by itself: {metric:?}"))?;
    // Prometheus looks each second, and goes by what it saw to the ends of the window.
    ensure!(
        (found - direct).abs() <= 0.15 * direct,
        "{found} tokens by Prometheus, {direct} by the runner's own scrape"
    );
    Ok(())
}

fn install_kinds(namespace: &Namespace, source: &Path) -> Result<()> {
    let folder = source.join("example/prometheus-operator-crd");
    for kind in KINDS {
        let file = folder.join(format!("monitoring.coreos.com_{kind}.yaml"));
        let file = file.to_str().context("a path is not UTF-8")?;
        namespace.kubectl.run(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename",
            file,
        ])?;
        let name = format!("crd/{kind}.monitoring.coreos.com");
        // kubectl's own wait fails on one that has no conditions yet.
        let established = [
            "wait",
            "--for=condition=Established",
            "--timeout=10s",
            &name,
        ];
        wait::until(&name, Duration::from_secs(60), || {
            namespace.kubectl.run(&established)
        })?;
    }
    Ok(())
}

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(namespace: &Namespace, command: &mut Command, name: &str) -> Result<Process> {
    let log = namespace.layout.state_file(&format!("logs/{name}.log"))?;
    let log = std::fs::File::create(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    Ok(Process(child))
}

/// It looks at this namespace alone.
fn start_operator(namespace: &Namespace, program: &Path) -> Result<Process> {
    let mut command = Command::new(program);
    command
        .arg("--web.listen-address=127.0.0.1:0")
        .arg(format!("--namespaces={}", namespace.name))
        .env("KUBECONFIG", namespace.layout.kubeconfig());
    start(namespace, &mut command, "prometheus-operator")
}

fn url() -> Result<String> {
    Ok(format!("http://{}:{PORT}", service_address()?))
}

fn config_file(namespace: &Namespace) -> Result<PathBuf> {
    namespace
        .layout
        .state_file("prometheus-operator/prometheus.json")
}

fn start_prometheus(namespace: &Namespace) -> Result<Process> {
    let address = service_address()?;
    let file = config_file(namespace)?;
    std::fs::write(&file, "{}")?;
    let data = namespace
        .layout
        .state_file(&format!("prometheus-operator/{}", namespace.name))?;
    let mut command = Command::new(tools::PROMETHEUS.build(&namespace.layout)?);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address={address}:{PORT}"))
        .arg("--web.enable-lifecycle");
    let process = start(namespace, &mut command, "prometheus-of-pod-monitors")?;
    wait::until("Prometheus listens", Duration::from_secs(60), || {
        Ok(TcpStream::connect((address, PORT))?)
    })?;
    Ok(process)
}

/// Selects all PodMonitors of its namespace, and has no pods of its own.
fn prometheus_object() -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": PROMETHEUS},
        "spec": {"replicas": 0, "podMonitorSelector": {}, "evaluationInterval": "30s"},
    })
}

/// What was generated until now.
struct Seen {
    jobs: Arc<Mutex<BTreeSet<String>>>,
    // Ends with this.
    _follower: JoinSet<Result<()>>,
}

impl Seen {
    fn jobs(&self) -> BTreeSet<String> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.clone()
    }
}

/// Loads each configuration that is generated.
fn follow(namespace: &Namespace) -> Seen {
    let jobs: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let mut follower = JoinSet::new();
    follower.spawn(load_each(namespace.clone(), Arc::clone(&jobs)));
    Seen {
        jobs,
        _follower: follower,
    }
}

async fn load_each(namespace: Namespace, seen: Arc<Mutex<BTreeSet<String>>>) -> Result<()> {
    let secrets: Api<Secret> = namespace.api();
    let own = watcher::Config::default().fields(&format!("metadata.name=prometheus-{PROMETHEUS}"));
    let mut secrets = watcher(secrets, own)
        .default_backoff()
        .applied_objects()
        .boxed();
    let file = config_file(&namespace)?;
    let reload = format!("{}/-/reload", url()?);
    let client = reqwest::Client::new();
    while let Some(secret) = secrets.next().await {
        let Ok(secret) = secret else { continue };
        let config = generated(&secret, &namespace.layout.kubeconfig())?;
        let jobs = config["scrape_configs"].as_array().into_iter().flatten();
        let names = jobs.filter_map(|job| job["job_name"].as_str().map(str::to_owned));
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(names);
        std::fs::write(&file, config.to_string())?;
        client.post(&reload).send().await?.error_for_status()?;
    }
    Ok(())
}

/// The configuration in a Secret, for a Prometheus that finds the API server by a kubeconfig.
fn generated(secret: &Secret, kubeconfig: &Path) -> Result<Value> {
    let data = secret.data.as_ref().context("an empty Secret")?;
    let packed = data
        .get("prometheus.yaml.gz")
        .context("no prometheus.yaml.gz")?;
    let mut yaml = String::new();
    GzDecoder::new(packed.0.as_slice()).read_to_string(&mut yaml)?;
    let yaml = yaml
        .replace("$(SHARD)", "0")
        .replace("$(POD_NAME)", &format!("prometheus-{PROMETHEUS}-0"));
    let mut config: Value = serde_saphyr::from_str(&yaml)?;
    for job in config["scrape_configs"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        for discovery in job["kubernetes_sd_configs"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            discovery["kubeconfig_file"] = kubeconfig.display().to_string().into();
        }
    }
    Ok(config)
}
