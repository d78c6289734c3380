//! The container runtime, apart from one that the machine may have.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::machine::Machine;
use crate::command::{output, run};
use crate::daemon::Daemon;
use crate::images;
use crate::settings::{Layout, RUN_DIR};
use crate::wait;

/// Starts containerd and returns once it answers.
pub(super) fn start(layout: &Layout, machine: &Machine) -> Result<()> {
    let folder = machine.own("containerd");
    let path =
        layout.write_state_file(&format!("{folder}/config.toml"), config(layout, machine)?)?;
    Daemon::new(&folder, "/usr/bin/containerd")
        .args(["--config".to_owned(), path.display().to_string()])
        .start(layout)?;
    wait::until("containerd answers", Duration::from_secs(120), || {
        run(Command::new("ctr").args(["--address", machine.socket, "version"]))
    })
}

fn config(layout: &Layout, machine: &Machine) -> Result<String> {
    let folder = machine.own("containerd");
    let root = layout.state_file(&format!("{folder}/root"))?;
    let state = Path::new(RUN_DIR).join(&folder);
    let cni = layout.state_file(&format!("{}/net.d", machine.own("cni")))?;
    let socket = machine.socket;
    Ok(format!(
        r#"version = 2
root = "{root}"
state = "{state}"
# A process without CAP_SYS_RESOURCE cannot lower its own score, nor that of what it starts.
oom_score = 0
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
# Network namespaces go away with our run folder instead of staying in /run/netns.
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"
[plugins."io.containerd.internal.v1.opt"]
path = "{opt}"
"#,
        root = root.display(),
        state = state.display(),
        pause = images::PAUSE,
        snapshotter = snapshotter(layout),
        cni = cni.display(),
        opt = layout.state_file(&format!("{folder}/opt"))?.display(),
    ))
}

/// An overlay cannot lie on an overlay, which is what the root of a container is.
fn snapshotter(layout: &Layout) -> &'static str {
    let kind = output(
        Command::new("stat")
            .args(["-f", "-c", "%T"])
            .arg(&layout.state),
    );
    if kind.is_ok_and(|kind| kind.trim() == "overlayfs") {
        "native"
    } else {
        "overlayfs"
    }
}
