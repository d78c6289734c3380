//! The processes of a pod that runs on this machine, and what a test does to them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Has every process of a pod stand still: from now on it does nothing, and sees no signal.
pub fn freeze_pod(uid: &str) -> Result<()> {
    signal(uid, Signal::STOP)
}

/// Ends every process of a pod without a chance to tidy up.
pub fn kill_pod(uid: &str) -> Result<()> {
    signal(uid, Signal::KILL)
}

/// Where a program that a pod runs can be read from, as long as it runs.
pub fn program_of_pod(uid: &str, name: &str) -> Result<PathBuf> {
    let programs = processes(uid)?
        .into_iter()
        .map(|pid| PathBuf::from(format!("/proc/{pid}/exe")));
    let is_it = |path: &PathBuf| fs::read_link(path).is_ok_and(|program| program.ends_with(name));
    programs
        .into_iter()
        .find(is_it)
        .with_context(|| format!("the pod {uid} does not run {name} on this machine"))
}

fn signal(uid: &str, signal: Signal) -> Result<()> {
    let processes = processes(uid)?;
    anyhow::ensure!(
        !processes.is_empty(),
        "this machine has no process of the pod {uid}"
    );
    for pid in processes {
        // One that has just ended needs no signal.
        let _ = kill_process(pid, signal);
    }
    Ok(())
}

/// A pod's cgroup has its UID in its name, with `_` for `-` where systemd made it.
fn processes(uid: &str) -> Result<Vec<Pid>> {
    let names = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
    let entries = fs::read_dir("/proc").context("reading the processes")?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cgroup"))
                .is_ok_and(|cgroups| names.iter().any(|name| cgroups.contains(name)))
        })
        .filter_map(Pid::from_raw)
        .collect())
}
