//! A real single-node Kubernetes cluster, as plain processes of this machine.

mod cgroups;
mod cleanup;
mod containerd;
mod control_plane;
mod credentials;
mod dns;
mod machine;
mod network;
mod node;
pub mod second;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::settings::{Layout, RUN_DIR, owner_file};
use crate::{daemon, images, kubectl, tools};

pub(crate) use machine::{FIRST, Machine};

/// Starts the cluster, or whatever of it does not run.
pub fn up(layout: &Layout) -> Result<()> {
    claim_machine(layout)?;
    let kubernetes = tools::KUBERNETES.build(layout)?;
    let helm = tools::HELM.build(layout)?;
    link_commands(layout, kubernetes, helm)?;
    cleanup::remember_folders(layout)?;
    cgroups::make(FIRST.cgroups)?;
    network::up(layout)?;
    let credentials = credentials::issue(layout)?;
    containerd::start(layout, &FIRST)?;
    control_plane::start(layout, &credentials)?;
    images::import_base(layout)?;
    node::start_kubelet(layout, &credentials, &FIRST)?;
    node::start_proxy(layout, &credentials)?;
    dns::start(layout)?;
    node::wait_until_ready(layout, &FIRST)?;
    kubectl::Kubectl::new(layout).wait_for_default_service_account()
}

/// Ends every process and removes every trace but the build cache.
pub fn down(layout: &Layout) -> Result<()> {
    // The order of starting, reversed: nothing is restarted by what is still there.
    for name in [
        &*machine::SECOND.own("kubelet"),
        "kubelet",
        "kube-proxy",
        "coredns",
    ] {
        daemon::stop(name)?;
    }
    for name in [
        "kube-scheduler",
        "kube-controller-manager",
        "kube-apiserver",
        "etcd",
    ] {
        daemon::stop(name)?;
    }
    for machine in [machine::SECOND, FIRST] {
        cleanup::end_containers(&machine)?;
        daemon::stop(&machine.own("containerd"))?;
    }
    for name in daemon::names() {
        daemon::stop(&name)?;
    }
    cleanup::unmount(&[&layout.state, Path::new(RUN_DIR)])?;
    cgroups::remove();
    network::down(layout)?;
    cleanup::remove_folders(layout)
}

/// Whether the API server of our cluster runs.
#[must_use]
pub fn is_up() -> bool {
    daemon::is_running("kube-apiserver") && daemon::is_running("kubelet")
}

/// One cluster per machine: two would fight over addresses and ports.
fn claim_machine(layout: &Layout) -> Result<()> {
    fs::create_dir_all(RUN_DIR).context("making the run folder (this needs root)")?;
    fs::create_dir_all(&layout.state)?;
    if let Ok(owner) = fs::read_to_string(owner_file()) {
        let owner = Path::new(owner.trim());
        if owner != layout.state && is_up() {
            bail!(
                "a cluster whose state is in {} runs on this machine: end it with \
                 `cargo e2e down`, or use it with BAKEOFF_E2E_STATE={}",
                owner.display(),
                owner.display()
            );
        }
    }
    fs::write(owner_file(), layout.state.display().to_string())?;
    Ok(())
}

/// The binary's names, which tell it what to be; and helm, so that one folder on the PATH does.
fn link_commands(layout: &Layout, kubernetes: PathBuf, helm: PathBuf) -> Result<()> {
    let bin = layout.bin();
    fs::create_dir_all(&bin)?;
    let names = [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
        "kubectl",
    ];
    let mut links: Vec<_> = names
        .iter()
        .map(|name| (*name, kubernetes.clone()))
        .collect();
    links.push(("helm", helm));
    for (name, target) in links {
        let link = bin.join(name);
        let _ = fs::remove_file(&link);
        symlink(target, &link).with_context(|| format!("linking {}", link.display()))?;
    }
    Ok(())
}
