//! What tells one node from another. All are on this one machine, in its network and its kernel, but
//! each has a kubelet, a container runtime, cgroups and pod addresses of its own.

use std::net::Ipv4Addr;

use super::cgroups;
use crate::settings::{ADDRESS, NODE};

/// One node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its name in the cluster.
    pub(crate) name: &'static str,
    /// What the names of its daemons and of its files in the state folder end with.
    pub(super) suffix: &'static str,
    /// Where its kubelet listens.
    pub(super) address: Ipv4Addr,
    /// First and last address of its pods, in the one network of all.
    pub(super) pods: (Ipv4Addr, Ipv4Addr),
    /// Where its containerd listens.
    pub(crate) socket: &'static str,
    /// Where its cgroups begin, below the mount of each hierarchy.
    pub(super) cgroups: &'static str,
}

/// The node that `cargo e2e up` starts.
pub(crate) const FIRST: Machine = Machine {
    name: NODE,
    suffix: "",
    address: ADDRESS,
    pods: (Ipv4Addr::new(10, 88, 0, 2), Ipv4Addr::new(10, 88, 127, 254)),
    socket: "/run/bakeoff-e2e/containerd.sock",
    cgroups: cgroups::ROOT,
};

/// A node for tests that lose one.
pub(crate) const SECOND: Machine = Machine {
    name: "bakeoff-e2e-second",
    suffix: "-second",
    address: Ipv4Addr::new(10, 99, 0, 2),
    pods: (
        Ipv4Addr::new(10, 88, 128, 1),
        Ipv4Addr::new(10, 88, 255, 254),
    ),
    socket: "/run/bakeoff-e2e/containerd-second.sock",
    // Inside the first one's, so that whatever cleans up there finds them.
    cgroups: "bakeoff-e2e/second",
};

impl Machine {
    /// The name of one of its daemons, or of one of its files.
    pub(super) fn own(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }
}
