//! The node: kubelet, kube-proxy, and two GPUs that are not there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cgroups;
use super::containerd::SOCKET;
use super::credentials::Credentials;
use crate::daemon::Daemon;
use crate::kubectl::Kubectl;
use crate::settings::{ADDRESS, Layout, NODE, POD_CIDR};
use crate::wait;

/// How many GPUs the node claims to have.
const GPUS: &str = "2";
/// What GKE calls the accelerator of a node pool.
const LABELS: &str = "cloud.google.com/gke-accelerator=nvidia-l4,topology.kubernetes.io/zone=e2e-a,\
                      node.kubernetes.io/instance-type=g2-standard-8";

/// Starts kubelet and kube-proxy.
pub(super) fn start(layout: &Layout, credentials: &Credentials) -> Result<()> {
    let bin = layout.bin();
    let config = write(
        layout,
        "kubelet.json",
        &kubelet_config(layout, credentials)?,
    )?;
    Daemon::new("kubelet", bin.join("kubelet"))
        .args([
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", credentials.kubelet.display()),
            format!("--root-dir={}", layout.state.join("kubelet").display()),
            format!("--cert-dir={}", layout.state.join("kubelet/pki").display()),
            format!("--hostname-override={NODE}"),
            format!("--node-ip={ADDRESS}"),
            format!("--node-labels={LABELS}"),
        ])
        .start(layout)?;
    let config = write(
        layout,
        "kube-proxy.json",
        &proxy_config(&credentials.kube_proxy),
    )?;
    Daemon::new("kube-proxy", bin.join("kube-proxy"))
        .args([
            format!("--config={}", config.display()),
            format!("--hostname-override={NODE}"),
        ])
        .start(layout)?;
    Ok(())
}

/// Returns once pods can run on the node, GPUs included.
pub(super) fn wait_until_ready(layout: &Layout) -> Result<()> {
    let kubectl = Kubectl::new(layout);
    wait::until("the node is registered", Duration::from_secs(60), || {
        kubectl.run(&["get", "node", NODE])
    })?;
    pretend_gpus(&kubectl)?;
    kubectl.run(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=90s",
        "node",
        NODE,
    ])
}

/// The kubelet keeps an extended resource that somebody else reports, until it starts anew.
fn pretend_gpus(kubectl: &Kubectl) -> Result<()> {
    let add = |of: &str| json!({"op": "add", "path": format!("/status/{of}/nvidia.com~1gpu"), "value": GPUS});
    let patch = json!([add("capacity"), add("allocatable")]).to_string();
    kubectl
        .run(&[
            "patch",
            "node",
            NODE,
            "--subresource=status",
            "--type=json",
            "-p",
            &patch,
        ])
        .context("pretending GPUs")
}

fn kubelet_config(layout: &Layout, credentials: &Credentials) -> Result<Value> {
    let resolv_conf = layout.write_state_file("resolv.conf", format!("nameserver {ADDRESS}\n"))?;
    Ok(json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzBindAddress": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": credentials.authority},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", cgroups::ROOT),
        // From 1.35 on, the kubelet refuses cgroup v1 unless told so; earlier ones know the field.
        "failCgroupV1": false,
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": resolv_conf,
        "podLogsDir": layout.state_file("pod-logs")?,
        "volumePluginDir": layout.state_file("volume-plugins")?,
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
