//! The operator, installed once by its chart: two of them, of which one acts.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use bakeoff_e2e::harness::{Namespace, has_cluster};
use bakeoff_e2e::images;
use bakeoff_e2e::settings::Layout;
use tokio::sync::OnceCell;

/// Where the operator is.
pub(crate) const SYSTEM: &str = "bakeoff-system";
/// A namespace's label: pods that ask for more than the Pod Security level `restricted` are refused.
pub(crate) const RESTRICTED: &str = "pod-security.kubernetes.io/enforce=restricted";
/// Kinds of objects that engines may be: group and resource.
const ENGINE_KINDS: [(&str, &str); 2] = [
    ("ray.io", "rayservices"),
    ("leaderworkerset.x-k8s.io", "leaderworkersets"),
];
/// How many operators run.
pub(crate) const REPLICAS: usize = 2;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Installs the operator by Helm, and waits until it is ready.
pub(crate) async fn operator(namespace: &Namespace) -> Result<()> {
    INSTALLED
        .get_or_try_init(async || install(namespace))
        .await?;
    Ok(())
}

fn install(namespace: &Namespace) -> Result<()> {
    let chart = namespace.layout.repository.join("charts/bakeoff");
    let chart = chart
        .to_str()
        .context("the repository's path is not UTF-8")?;
    let (operator, runner) = (
        images::name("bakeoff-operator"),
        images::name("bakeoff-runner"),
    );
    let mut arguments = vec![
        "upgrade".to_owned(),
        "--install".into(),
        "bakeoff".into(),
        chart.into(),
        "--namespace".into(),
        SYSTEM.into(),
        "--create-namespace".into(),
        "--wait".into(),
        "--timeout".into(),
        "3m".into(),
        "--set".into(),
        format!("replicas={REPLICAS}"),
        "--set".into(),
        "networkPolicy.enabled=true".into(),
    ];
    for (key, image) in [("image", &operator), ("runnerImage", &runner)] {
        let (repository, tag) = image.rsplit_once(':').context("an image has a tag")?;
        arguments.push("--set".into());
        arguments.push(format!("{key}.repository={repository},{key}.tag={tag}"));
    }
    // Of the kinds that tests bring along, and of no other.
    for (index, (group, resource)) in ENGINE_KINDS.iter().enumerate() {
        let kind = format!("rbac.engineKinds[{index}]");
        arguments.push("--set".into());
        arguments.push(format!("{kind}.group={group},{kind}.resource={resource}"));
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    namespace
        .kubectl
        .helm(&arguments)
        .context("installing the chart")?;
    // Pods that are made from now on must keep to it.
    namespace
        .kubectl
        .run(&["label", "--overwrite", "namespace", SYSTEM, RESTRICTED])?;
    // On a cluster that was up before, the image of the same tag may be another.
    restart(namespace)
}

/// Starts the operator anew, and waits until it is ready.
pub(crate) fn restart(namespace: &Namespace) -> Result<()> {
    let rollout = |words: &[&str]| {
        let all = [&["--namespace", SYSTEM, "rollout"], words, &["deployment"]].concat();
        namespace.kubectl.run(&all)
    };
    rollout(&["restart"])?;
    rollout(&["status", "--timeout=3m"])
}

/// Has so many operators run, and waits until they do.
pub(crate) fn scale(namespace: &Namespace, replicas: usize) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    let system = ["--namespace", SYSTEM];
    namespace
        .kubectl
        .run(&[&system[..], &["scale", "deployment", "bakeoff", &replicas]].concat())?;
    let rollout = ["rollout", "status", "deployment", "bakeoff", "--timeout=3m"];
    namespace.kubectl.run(&[&system[..], &rollout].concat())
}

#[test]
fn the_rendered_manifests_are_what_the_chart_gives() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let layout = Layout::from_env()?;
    let script = layout.repository.join("deploy/render.sh");
    let checked = Command::new(script)
        .arg("--check")
        .env("HELM", layout.bin().join("helm"))
        .output()?;
    ensure!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    Ok(())
}
