//! Cgroups of our own for the kubelet, so that it never meets another kubelet's pods.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const MOUNT: &str = "/sys/fs/cgroup";
/// The root of our pods' cgroups, in each hierarchy.
pub(super) const ROOT: &str = "bakeoff-e2e";

/// Makes a root, which a kubelet asks for before it starts; the one that it lies in must be there.
pub(super) fn make(root: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        let folder = hierarchy.join(root);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        // A new cpuset of version 1 is empty, and nothing can run in it.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let parent = folder.parent().unwrap_or(&hierarchy);
            if let Ok(parents) = fs::read_to_string(parent.join(file)) {
                fs::write(folder.join(file), parents.trim())?;
            }
        }
    }
    Ok(())
}

/// Every cgroup below a root of ours, each before those inside it.
pub(super) fn below(root: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = hierarchies()
        .into_iter()
        .map(|path| path.join(root))
        .filter(|path| path.is_dir())
        .collect();
    let mut next = 0;
    while let Some(folder) = found.get(next) {
        let inner = folders_in(folder);
        found.extend(inner);
        next += 1;
    }
    found
}

/// Removes them; there must be no process in them any more.
pub(super) fn remove() {
    for folder in below(ROOT).into_iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

/// Version 1 has a folder for each hierarchy, some under several names; version 2 has the root.
fn hierarchies() -> Vec<PathBuf> {
    let mount = Path::new(MOUNT);
    if mount.join("cgroup.controllers").exists() {
        return vec![mount.to_path_buf()];
    }
    folders_in(mount)
}

fn folders_in(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
