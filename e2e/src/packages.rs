//! What the cluster takes from the distribution.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{exists, run};

/// Leads the browser in which the report's page is looked at.
pub const CHROMEDRIVER: &str = "/usr/bin/chromedriver";

/// Each Debian package with a file that shows that it is there, however it was installed.
const PACKAGES: &[(&str, &str)] = &[
    ("etcd-server", "/usr/bin/etcd"),
    ("containerd", "/usr/bin/containerd"),
    ("runc", "/usr/sbin/runc"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("iproute2", "/usr/sbin/ip"),
    ("iptables", "/usr/sbin/iptables"),
    ("conntrack", "/usr/sbin/conntrack"),
    ("buildah", "/usr/bin/buildah"),
    ("busybox-static", "/bin/busybox"),
    ("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    ("binutils", "/usr/bin/strip"),
    ("chromium", "/usr/bin/chromium"),
    ("chromium-driver", CHROMEDRIVER),
];

/// Installs what is missing.
pub fn install() -> Result<()> {
    require_go()?;
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        install_named(&missing)
    }
}

/// Installs these Debian packages.
pub fn install_named(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !exists("apt-get") {
        bail!("missing: {list}; install them as this distribution does");
    }
    tracing::info!("installing {list}");
    // One unreachable source among many fails it, and rarely the one that matters.
    if let Err(error) = run(Command::new("apt-get").args(["update", "-qq"])) {
        tracing::warn!("{error:#}");
    }
    run(Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages)
        // Some of them start a service when installed; this is what keeps them from it.
        .env("RUNLEVEL", "1")
        .env("DEBIAN_FRONTEND", "noninteractive"))
    .context("installing Debian packages")
}

fn require_go() -> Result<()> {
    if !exists("go") {
        bail!("Go 1.26 or later is needed, to build Kubernetes: https://go.dev/dl");
    }
    Ok(())
}
