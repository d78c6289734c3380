//! Removes what dead processes leave behind: containers, mounts, folders.
//!
//! Works from what the machine shows, not from what we remember, so that a cluster that was killed
//! or half started goes away as well.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::cgroups;
use super::machine::Machine;
use crate::command::run;
use crate::settings::{Layout, RUN_DIR};
use crate::wait;

/// Folders that the components make at fixed places. Those that were there before us stay.
const FIXED_FOLDERS: &[&str] = &[
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/containers",
    "/var/log/pods",
    "/run/containerd",
    "/run/netns",
    "/opt/containerd",
    "/etc/cni",
    "/usr/libexec/kubernetes",
];
/// Notes which of the fixed folders we are about to make.
pub(super) fn remember_folders(layout: &Layout) -> Result<()> {
    let list = layout.state_file("folders-made")?;
    if !list.exists() {
        let absent: Vec<&str> = FIXED_FOLDERS
            .iter()
            .copied()
            .filter(|path| !Path::new(path).exists())
            .collect();
        fs::write(list, absent.join("\n"))?;
    }
    Ok(())
}

/// Ends all processes in the pods of a node, and the shims that guard them.
pub(super) fn end_containers(machine: &Machine) -> Result<()> {
    wait::until("all containers have ended", Duration::from_secs(30), || {
        let mut left = shims(machine.socket);
        for folder in cgroups::below(machine.cgroups) {
            let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            left.extend(processes.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if left.is_empty() {
            Ok(())
        } else {
            bail!("{} processes are left", left.len())
        }
    })
}

/// Unmounts everything below folders of ours, the innermost first.
pub(super) fn unmount(folders: &[&Path]) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading the mounts")?;
    let points: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(1))
        .collect();
    for point in points.into_iter().rev() {
        let path = Path::new(point);
        if folders.iter().any(|folder| path.starts_with(folder)) {
            run(Command::new("umount").arg("--lazy").arg(path))?;
        }
    }
    Ok(())
}

/// Removes our folders and those that the components made for us.
pub(super) fn remove_folders(layout: &Layout) -> Result<()> {
    let made = fs::read_to_string(layout.state.join("folders-made")).unwrap_or_default();
    let made = made.lines().map(PathBuf::from);
    for path in made.chain([layout.state.clone(), RUN_DIR.into()]) {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Processes that were started for the containerd at this address.
fn shims(socket: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                let line = String::from_utf8_lossy(&line);
                line.contains("containerd-shim") && line.contains(socket)
            })
        })
        .collect()
}
