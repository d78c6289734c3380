//! Programs that no distribution carries in the version we need, built from Go modules.
//!
//! Each lands in the cache under its version, so it is built once per machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::command::{exists, output, run};
use crate::settings::Layout;

const LDFLAGS: &str = "-s -w";

/// A program that `go install` builds as it is.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The binary's name.
    pub name: &'static str,
    package: &'static str,
    version: &'static str,
}

/// Cluster DNS.
pub const COREDNS: Tool = Tool {
    name: "coredns",
    package: "github.com/coredns/coredns",
    version: "v1.15.0",
};
/// Installs the chart.
pub const HELM: Tool = Tool {
    name: "helm",
    package: "helm.sh/helm/v3/cmd/helm",
    version: "v3.22.0",
};
/// An S3 server over a folder.
pub const VERSITYGW: Tool = Tool {
    name: "versitygw",
    package: "github.com/versity/versitygw/cmd/versitygw",
    version: "v1.8.0",
};
/// Plays nodes and pods that are not there. Later ones watch from resource version 0, which an API
/// server refuses whose etcd is as old as Debian's.
pub const KWOK: Tool = Tool {
    name: "kwok",
    package: "sigs.k8s.io/kwok/cmd/kwok",
    version: "v0.6.1",
};

impl Tool {
    /// Where it lies once built.
    #[must_use]
    pub fn path(&self, layout: &Layout) -> PathBuf {
        layout
            .cache
            .join(format!("{}-{}", self.name, self.version))
            .join(self.name)
    }

    /// Builds it, unless the cache has it, and returns where it lies.
    pub fn build(&self, layout: &Layout) -> Result<PathBuf> {
        let binary = self.path(layout);
        let _lock = lock(layout)?;
        build_once(&binary, |folder| {
            tracing::info!("building {} {}", self.name, self.version);
            run(go()
                .args(["install", "-trimpath", "-ldflags", LDFLAGS])
                .arg(format!("{}@{}", self.package, self.version))
                .env("GOBIN", folder))
        })
        .with_context(|| format!("building {}", self.name))?;
        Ok(binary)
    }
}

/// A program built from a module of ours in `e2e/go`, where `go install` alone won't do.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    tags: &'static str,
    ldflags: &'static str,
}

/// One binary that is each Kubernetes command that it is called as.
pub const KUBERNETES: Module = Module {
    name: "kubernetes",
    version: "v1.34.2",
    package: ".",
    tags: "",
    ldflags: "-X k8s.io/component-base/version.gitVersion=v1.34.2 \
              -X k8s.io/component-base/version.gitMajor=1 \
              -X k8s.io/component-base/version.gitMinor=34",
};
/// Prometheus with the discovery of pods, which Debian leaves out, and no other.
pub const PROMETHEUS: Module = Module {
    name: "prometheus",
    version: "v3.10.0",
    package: "github.com/prometheus/prometheus/cmd/prometheus",
    tags: "remove_all_sd,enable_kubernetes_sd",
    ldflags: "",
};

/// The Prometheus operator, which turns PodMonitors into scrape configurations.
pub const PROMETHEUS_OPERATOR: Module = Module {
    name: "prometheus-operator",
    version: "v0.85.0",
    package: "github.com/prometheus-operator/prometheus-operator/cmd/operator",
    tags: "",
    ldflags: "",
};

/// A Google Cloud Storage server over a folder, with uploads by the XML API.
pub const FAKE_GCS_SERVER: Module = Module {
    name: "fake-gcs-server",
    version: "v1.56.1",
    package: ".",
    tags: "",
    ldflags: "",
};

impl Module {
    /// Builds it, unless the cache has it, and returns where it lies.
    pub fn build(&self, layout: &Layout) -> Result<PathBuf> {
        let source = layout.repository.join("e2e/go").join(self.name);
        let folder = format!("{}-{}-{}", self.name, self.version, digest(&source)?);
        let binary = layout.cache.join(folder).join(self.name);
        let _lock = lock(layout)?;
        build_once(&binary, |folder| {
            tracing::info!(
                "building {} {}: some minutes, once",
                self.name,
                self.version
            );
            run(go()
                .current_dir(&source)
                .args(["build", "-trimpath", "-tags", self.tags, "-ldflags"])
                .arg(format!("{LDFLAGS} {}", self.ldflags))
                .arg("-o")
                .arg(folder.join(self.name))
                .arg(self.package))
        })
        .with_context(|| format!("building {}", self.name))?;
        Ok(binary)
    }

    /// Where the sources of a module lie that it is built from, with whatever else that module holds.
    pub fn source(&self, layout: &Layout, module: &str) -> Result<PathBuf> {
        let own = layout.repository.join("e2e/go").join(self.name);
        // Whoever has the binary from the cache may not have the sources.
        run(go().current_dir(&own).args(["mod", "download", module]))?;
        let folder = output(
            go().current_dir(&own)
                .args(["list", "-m", "-f", "{{.Dir}}", module]),
        )?;
        Ok(PathBuf::from(folder.trim()))
    }
}

/// Tells one state of a folder of sources from another.
pub(crate) fn digest(source: &Path) -> Result<String> {
    let mut files: Vec<_> = fs::read_dir(source)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("reading {}", path.display()));
    Ok(short_hash(
        files.iter().map(read).collect::<Result<Vec<_>>>()?,
    ))
}

/// Enough of a hash to name a folder by.
pub(crate) fn short_hash(parts: impl IntoIterator<Item = Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Keeps other checkouts from building the same thing at the same time.
pub(crate) fn lock(layout: &Layout) -> Result<File> {
    fs::create_dir_all(&layout.cache)
        .with_context(|| format!("making {}", layout.cache.display()))?;
    let lock = File::create(layout.cache.join("lock"))?;
    lock.lock()
        .context("waiting for another build in the cache")?;
    Ok(lock)
}

/// Runs `build` in a folder beside the final one, which thus never holds half a build.
pub(crate) fn build_once(binary: &Path, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if binary.is_file() {
        return Ok(());
    }
    let folder = binary.parent().context("a cached binary has a folder")?;
    let unfinished = PathBuf::from(format!("{}.unfinished", folder.display()));
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished)?;
    build(&unfinished)?;
    let _ = fs::remove_dir_all(folder);
    fs::rename(&unfinished, folder).with_context(|| format!("moving {}", folder.display()))
}

/// The Go command, gentle to whatever else runs on the machine.
fn go() -> Command {
    let mut command = if exists("nice") {
        let mut nice = Command::new("nice");
        nice.args(["-n", "5", "go"]);
        nice
    } else {
        Command::new("go")
    };
    command.env("CGO_ENABLED", "0");
    command
}
