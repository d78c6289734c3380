//! A second node, for tests that lose one: a kubelet and a containerd of its own on this machine.
//! What happens to it then is the work of the real node controller, taint manager and garbage
//! collector.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::machine::SECOND;
use super::{cgroups, cleanup, containerd, credentials, network, node};
use crate::command::output;
use crate::kubectl::Kubectl;
use crate::settings::{Layout, RUN_DIR};
use crate::{daemon, images, wait};

/// Its name in the cluster.
pub const NAME: &str = SECOND.name;

/// Starts the node, with these images of the first one, and returns once pods can run on it.
pub fn up(layout: &Layout, images: &[&str]) -> Result<()> {
    ensure!(
        super::is_up(),
        "there is no cluster of ours that a node could join"
    );
    cgroups::make(SECOND.cgroups)?;
    network::join(layout, &SECOND)?;
    containerd::start(layout, &SECOND)?;
    images::copy(layout, images, &SECOND)?;
    answer(layout)
}

/// Ends the kubelet, and nothing else: containers run on, and nobody hears of them.
pub fn fall_silent() -> Result<()> {
    daemon::kill(&SECOND.own("kubelet"))
}

/// Starts the kubelet, and returns once the node is ready.
pub fn answer(layout: &Layout) -> Result<()> {
    node::start_kubelet(layout, &credentials::issue(layout)?, &SECOND)?;
    node::wait_until_ready(layout, &SECOND)
}

/// Ids of the containers that run on the node, those that only keep a pod's network among them.
pub fn containers() -> Result<Vec<String>> {
    let mut ctr = Command::new("ctr");
    ctr.args(["--address", SECOND.socket, "--namespace", "k8s.io"]);
    let ids = output(ctr.args(["tasks", "ls", "--quiet"]))?;
    Ok(ids.lines().map(str::to_owned).collect())
}

/// Ends the node and everything on it, and takes it out of the cluster.
pub fn down(layout: &Layout) -> Result<()> {
    daemon::kill(&SECOND.own("kubelet"))?;
    cleanup::end_containers(&SECOND)?;
    daemon::stop(&SECOND.own("containerd"))?;
    cleanup::unmount(&[
        &layout.state.join(SECOND.own("kubelet")),
        &Path::new(RUN_DIR).join(SECOND.own("containerd")),
    ])?;
    let kubectl = Kubectl::new(layout);
    kubectl.run(&["delete", "node", NAME, "--ignore-not-found"])?;
    // Nobody but the garbage collector takes its pods away now, and that in its own time.
    wait::until("its pods are gone", Duration::from_secs(180), || {
        let on_it = format!("--field-selector=spec.nodeName={NAME}");
        let left = kubectl.output(&["get", "pods", "--all-namespaces", "--output=name", &on_it])?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
}
