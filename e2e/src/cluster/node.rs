//! A node: kubelet, kube-proxy, and two GPUs that are not there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::credentials::Credentials;
use super::machine::{FIRST, Machine};
use crate::daemon::Daemon;
use crate::kubectl::Kubectl;
use crate::settings::{ADDRESS, Layout, POD_CIDR};
use crate::wait;

/// How many GPUs the node claims to have.
const GPUS: &str = "2";
/// What GKE calls the accelerator of a node pool.
const LABELS: &str = "cloud.google.com/gke-accelerator=nvidia-l4,topology.kubernetes.io/zone=e2e-a,\
                      node.kubernetes.io/instance-type=g2-standard-8";

/// Starts the kubelet of a node.
pub(super) fn start_kubelet(
    layout: &Layout,
    credentials: &Credentials,
    machine: &Machine,
) -> Result<()> {
    let name = machine.own("kubelet");
    let config = write(
        layout,
        &format!("{name}.json"),
        &kubelet_config(layout, credentials, machine)?,
    )?;
    let root = layout.state.join(&name);
    Daemon::new(&name, layout.bin().join("kubelet"))
        .args([
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", credentials.kubelet(machine)?.display()),
            format!("--root-dir={}", root.display()),
            format!("--cert-dir={}", root.join("pki").display()),
            format!("--hostname-override={}", machine.name),
            format!("--node-ip={}", machine.address),
            format!("--node-labels={LABELS}"),
        ])
        .start(layout)
        .map(drop)
}

/// Starts kube-proxy, one for all nodes: they share the machine's packet filter.
pub(super) fn start_proxy(layout: &Layout, credentials: &Credentials) -> Result<()> {
    let config = write(
        layout,
        "kube-proxy.json",
        &proxy_config(&credentials.kube_proxy),
    )?;
    Daemon::new("kube-proxy", layout.bin().join("kube-proxy"))
        .args([
            format!("--config={}", config.display()),
            format!("--hostname-override={}", FIRST.name),
        ])
        .start(layout)
        .map(drop)
}

/// Returns once pods can run on the node, GPUs included.
pub(super) fn wait_until_ready(layout: &Layout, machine: &Machine) -> Result<()> {
    let kubectl = Kubectl::new(layout);
    wait::until("the node is registered", Duration::from_secs(180), || {
        kubectl.run(&["get", "node", machine.name])
    })?;
    pretend_gpus(&kubectl, machine)?;
    kubectl.run(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=180s",
        "node",
        machine.name,
    ])
}

/// The kubelet keeps an extended resource that somebody else reports, until it starts anew.
fn pretend_gpus(kubectl: &Kubectl, machine: &Machine) -> Result<()> {
    let add = |of: &str| json!({"op": "add", "path": format!("/status/{of}/nvidia.com~1gpu"), "value": GPUS});
    let patch = json!([add("capacity"), add("allocatable")]).to_string();
    kubectl
        .run(&[
            "patch",
            "node",
            machine.name,
            "--subresource=status",
            "--type=json",
            "-p",
            &patch,
        ])
        .context("pretending GPUs")
}

fn kubelet_config(layout: &Layout, credentials: &Credentials, machine: &Machine) -> Result<Value> {
    let resolv_conf = layout.write_state_file("resolv.conf", format!("nameserver {ADDRESS}\n"))?;
    Ok(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.address,
        "healthzBindAddress": machine.address,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": credentials.authority},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", machine.cgroups),
        // From 1.35 on, the kubelet refuses cgroup v1 unless told so; earlier ones know the field.
        "failCgroupV1": false,
        "containerRuntimeEndpoint": format!("unix://{}", machine.socket),
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv_conf,
        "podLogsDir": layout.state_file(&machine.own("pod-logs"))?,
        "volumePluginDir": layout.state_file(&machine.own("volume-plugins"))?,
        "failSwapOn": false,
        "serializeImagePulls": false,
        "nodeStatusUpdateFrequency": "5s",
        // A full disk must not cost us images, which cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
    }))
}

fn proxy_config(kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig},
        "mode": "iptables",
        "clusterCIDR": POD_CIDR,
        "healthzBindAddress": format!("{ADDRESS}:10256"),
        "metricsBindAddress": format!("{ADDRESS}:10249"),
        // The machine's own limits stay as they are.
        "conntrack": {
            "maxPerCore": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}

fn write(layout: &Layout, name: &str, config: &Value) -> Result<PathBuf> {
    layout.write_state_file(name, serde_json::to_vec_pretty(config)?)
}
