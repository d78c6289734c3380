//! Where everything lives and which address it answers on.
//!
//! One cluster per machine: ports, the bridge and the iptables rules are the machine's. Hence its
//! process ids lie in [`RUN_DIR`], where any checkout's `down` finds them.

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Process ids and sockets: short, because a Unix socket's path has at most 107 bytes.
pub const RUN_DIR: &str = "/run/bakeoff-e2e";
/// The one node's name.
pub const NODE: &str = "bakeoff-e2e";
/// Address on a bridge of our own, which host and pods both reach.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The bridge that holds [`ADDRESS`].
pub const BRIDGE: &str = "bakeoff0";
/// Addresses of pods.
pub const POD_CIDR: &str = "10.88.0.0/16";
/// Addresses of Services.
pub const SERVICE_CIDR: &str = "10.97.0.0/16";
/// The API server's own Service: the first address of [`SERVICE_CIDR`].
pub const API_SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 1);
/// Port of the API server.
pub const API_PORT: u16 = 6443;

/// Folders that one checkout's cluster uses.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The repository's root.
    pub repository: PathBuf,
    /// The cluster's state: data, certificates, logs. Removed by `down`.
    pub state: PathBuf,
    /// Built tools, by version. Kept by `down`.
    pub cache: PathBuf,
}

impl Layout {
    /// Reads the environment: `BAKEOFF_E2E_STATE` and `BAKEOFF_E2E_CACHE` move the two folders.
    pub fn from_env() -> Result<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the e2e crate lies at the top of a file system")?
            .to_path_buf();
        let state = folder("BAKEOFF_E2E_STATE").unwrap_or_else(|| repository.join(".e2e"));
        let cache = folder("BAKEOFF_E2E_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|home| home.join("bakeoff-e2e")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/bakeoff-e2e")))
            .context("no cache folder: set BAKEOFF_E2E_CACHE or HOME")?;
        Ok(Self {
            repository,
            state,
            cache,
        })
    }

    /// The state folder that the running cluster uses, which may be another checkout's.
    pub fn of_running_cluster() -> Result<Self> {
        let mut layout = Self::from_env()?;
        if let Ok(owner) = fs::read_to_string(owner_file()) {
            layout.state = PathBuf::from(owner.trim());
        }
        Ok(layout)
    }

    /// A path in the state folder, its parent made.
    pub fn state_file(&self, name: &str) -> Result<PathBuf> {
        let path = self.state.join(name);
        let parent = path.parent().context("a state file has a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        Ok(path)
    }

    /// Writes a file in the state folder, unless that is what it holds: kube-proxy ends when its
    /// configuration is touched.
    pub fn write_state_file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.state_file(name)?;
        if fs::read(&path).ok().as_deref() != Some(content.as_ref()) {
            fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(path)
    }

    /// The kubeconfig of the cluster under test: ours, or the one asked for.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        foreign_kubeconfig().unwrap_or_else(|| self.state.join("kubeconfig"))
    }

    /// Commands for people and tests: kubectl, helm.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.state.join("bin")
    }
}

/// `BAKEOFF_E2E_KUBECONFIG`: another cluster to test on, instead of starting one.
#[must_use]
pub fn foreign_kubeconfig() -> Option<PathBuf> {
    folder("BAKEOFF_E2E_KUBECONFIG")
}

/// The address that the object stores and Prometheus bind to and that pods reach them by.
///
/// `BAKEOFF_E2E_ADDRESS` replaces it for another cluster: for kind, its Docker network's gateway.
pub fn service_address() -> Result<Ipv4Addr> {
    match env::var("BAKEOFF_E2E_ADDRESS") {
        Ok(text) => text
            .parse()
            .context("BAKEOFF_E2E_ADDRESS is not an IPv4 address"),
        Err(_) => Ok(ADDRESS),
    }
}

/// Names the state folder of the cluster that is up on this machine.
#[must_use]
pub fn owner_file() -> PathBuf {
    Path::new(RUN_DIR).join("state-folder")
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
