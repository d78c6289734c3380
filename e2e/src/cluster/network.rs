//! The machine's side of the pod network: an address, forwarding, and how to undo both.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::machine::{FIRST, Machine};
use crate::command::{output, output_with_input, run};
use crate::settings::{BRIDGE, Layout, POD_CIDR};

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Brings up our address and lets pods reach each other through the machine.
pub(super) fn up(layout: &Layout) -> Result<()> {
    if !Path::new("/sys/class/net").join(BRIDGE).exists() {
        // A bridge without ports: not every kernel has dummy devices, and each has bridges.
        run(&mut ip(&["link", "add", BRIDGE, "type", "bridge"]))?;
    }
    run(&mut ip(&["link", "set", BRIDGE, "up"]))?;
    remember_forwarding(layout)?;
    fs::write(IP_FORWARD, "1").context("switching on IP forwarding")?;
    for direction in ["-s", "-d"] {
        // Docker, where it runs, drops forwarded packets that no rule accepts.
        let rule = ["FORWARD", direction, POD_CIDR, "-j", "ACCEPT"];
        if run(iptables().arg("-C").args(rule)).is_err() {
            run(iptables().arg("-I").args(rule))?;
        }
    }
    join(layout, &FIRST)
}

/// Gives a node its address, and its pods theirs.
pub(super) fn join(layout: &Layout, machine: &Machine) -> Result<()> {
    let address = format!("{}/32", machine.address);
    run(&mut ip(&["address", "replace", &address, "dev", BRIDGE]))?;
    cni_config(layout, machine)
}

/// Undoes [`up`] and what kube-proxy and the kubelet wrote into iptables.
pub(super) fn down(layout: &Layout) -> Result<()> {
    if Path::new("/sys/class/net").join(BRIDGE).exists() {
        run(&mut ip(&["link", "delete", BRIDGE]))?;
    }
    for family in ["iptables", "ip6tables"] {
        remove_rules(family)?;
    }
    if let Ok(before) = fs::read_to_string(layout.state.join("ip_forward")) {
        fs::write(IP_FORWARD, before.trim()).context("restoring IP forwarding")?;
    }
    Ok(())
}

/// A veth pair per pod and a route to it: unlike a bridge, this needs no packet filter on bridged
/// traffic for Services to work, and leaves no device behind.
fn cni_config(layout: &Layout, machine: &Machine) -> Result<()> {
    let folder = machine.own("cni");
    let (first, last) = machine.pods;
    let config = json!({
        "cniVersion": "0.4.0",
        "name": "bakeoff-e2e",
        "plugins": [{
            "type": "ptp",
            "mtu": 1500,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_CIDR, "rangeStart": first, "rangeEnd": last}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": layout.state_file(&format!("{folder}/leases"))?,
            },
        }],
    });
    let file = format!("{folder}/net.d/10-bakeoff-e2e.conflist");
    layout.write_state_file(&file, config.to_string()).map(drop)
}

fn remember_forwarding(layout: &Layout) -> Result<()> {
    let path = layout.state_file("ip_forward")?;
    if !path.exists() {
        fs::write(path, fs::read_to_string(IP_FORWARD)?)?;
    }
    Ok(())
}

/// Rewrites a table without our lines. Chains that only Kubernetes makes are known by their names.
fn remove_rules(family: &str) -> Result<()> {
    let Ok(rules) = output(&mut Command::new(format!("{family}-save"))) else {
        return Ok(());
    };
    let ours = |line: &str| {
        ["KUBE-", POD_CIDR].iter().any(|mark| line.contains(mark)) && !line.starts_with('#')
    };
    if !rules.lines().any(ours) {
        return Ok(());
    }
    let kept: String = rules
        .lines()
        .filter(|line| !ours(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    output_with_input(&mut Command::new(format!("{family}-restore")), &kept)
        .map(drop)
        .with_context(|| format!("removing our rules from {family}"))
}

fn ip(args: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(args);
    command
}

fn iptables() -> Command {
    let mut command = Command::new("iptables");
    // Wait for the lock, which kube-proxy holds now and then.
    command.args(["-w", "10"]);
    command
}
