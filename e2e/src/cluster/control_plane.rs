//! etcd, API server, controller manager and scheduler.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use super::credentials::Credentials;
use crate::daemon::Daemon;
use crate::kubectl::Kubectl;
use crate::settings::{ADDRESS, API_PORT, Layout, SERVICE_CIDR};
use crate::wait;

/// Loopback, on ports that an etcd of somebody else's does not take.
const ETCD: &str = "http://127.0.0.1:12379";
const ETCD_PEER: &str = "http://127.0.0.1:12380";

/// Starts all four and returns once the API server is ready.
pub(super) fn start(layout: &Layout, credentials: &Credentials) -> Result<()> {
    etcd(layout)?;
    api_server(layout, credentials)?;
    wait::until("the API server is ready", Duration::from_secs(180), || {
        Kubectl::new(layout).run(&["get", "--raw", "/readyz"])
    })?;
    let bin = layout.bin();
    let common = |kubeconfig: &std::path::Path| {
        [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--bind-address={ADDRESS}"),
            "--leader-elect=false".into(),
        ]
    };
    Daemon::new("kube-scheduler", bin.join("kube-scheduler"))
        .args(common(&credentials.scheduler))
        .start(layout)?;
    Daemon::new(
        "kube-controller-manager",
        bin.join("kube-controller-manager"),
    )
    .args(common(&credentials.controller_manager))
    .args([
        format!(
            "--service-account-private-key-file={}",
            credentials.service_account.key.display()
        ),
        format!("--root-ca-file={}", credentials.authority.display()),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--use-service-account-credentials=true".into(),
        // Deleted Jobs and namespaces are what tests wait for most.
        "--concurrent-gc-syncs=20".into(),
    ])
    .start(layout)?;
    Ok(())
}

fn etcd(layout: &Layout) -> Result<()> {
    let data = layout.state_file("etcd/data")?;
    // etcd warns of a data folder that others can read, and 3.5 refuses it.
    fs::create_dir_all(&data)?;
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Daemon::new("etcd", "/usr/bin/etcd")
        .args([
            "--name=bakeoff-e2e".into(),
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            format!("--listen-peer-urls={ETCD_PEER}"),
            format!("--initial-advertise-peer-urls={ETCD_PEER}"),
            format!("--initial-cluster=bakeoff-e2e={ETCD_PEER}"),
        ])
        .start(layout)?;
    Ok(())
}

fn api_server(layout: &Layout, credentials: &Credentials) -> Result<()> {
    let file = |flag: &str, path: &std::path::Path| format!("--{flag}={}", path.display());
    let signing = &credentials.service_account;
    Daemon::new("kube-apiserver", layout.bin().join("kube-apiserver"))
        .args([
            format!("--etcd-servers={ETCD}"),
            format!("--bind-address={ADDRESS}"),
            format!("--advertise-address={ADDRESS}"),
            format!("--secure-port={API_PORT}"),
            format!("--service-cluster-ip-range={SERVICE_CIDR}"),
            "--authorization-mode=Node,RBAC".into(),
            // The second as OpenShift has it: an owner reference that blocks a deletion needs a right.
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement"
                .into(),
            // With them a test says what a queue's webhooks would do.
            "--runtime-config=admissionregistration.k8s.io/v1beta1=true".into(),
            "--feature-gates=MutatingAdmissionPolicy=true".into(),
            "--allow-privileged=true".into(),
            // `kubectl logs` else looks the node's name up in DNS.
            "--kubelet-preferred-address-types=InternalIP".into(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
            "--event-ttl=3h".into(),
            file("client-ca-file", &credentials.authority),
            file("tls-cert-file", &credentials.api_server.certificate),
            file("tls-private-key-file", &credentials.api_server.key),
            file(
                "kubelet-client-certificate",
                &credentials.kubelet_client.certificate,
            ),
            file("kubelet-client-key", &credentials.kubelet_client.key),
            file("service-account-key-file", &signing.certificate),
            file("service-account-signing-key-file", &signing.key),
        ])
        .start(layout)?;
    Ok(())
}
