//! The kernel's counters before and after a stage.

use std::path::{Path, PathBuf};

use bakeoff_crds::report::NetworkReport;

use super::{
    Surroundings,
    cgroup::{self, CpuGroups, CpuStats},
    kernel::{self, MachineTime},
};
use crate::clock;

/// What was read when a stage began.
pub(in crate::drive) struct Watch {
    /// Under which `/proc` and the mounts lie.
    root: PathBuf,
    groups: Option<CpuGroups>,
    cpu: Option<CpuStats>,
    machine: Option<MachineTime>,
    network: Option<NetworkReport>,
    wall_clock_ahead: i64,
}

impl Watch {
    /// Begins to watch this process and its surroundings.
    pub(in crate::drive) fn begin(root: &Path) -> Self {
        let groups = CpuGroups::find(root);
        Self {
            root: root.to_owned(),
            cpu: groups.as_ref().and_then(CpuGroups::stats),
            groups,
            machine: MachineTime::read(root),
            network: kernel::network(root),
            wall_clock_ahead: clock::wall_clock_ahead(),
        }
    }

    /// What happened meanwhile.
    pub(in crate::drive) fn end(self) -> Surroundings {
        let cpu = self.groups.as_ref().and_then(CpuGroups::stats);
        let throttled = self
            .cpu
            .as_ref()
            .zip(cpu.as_ref())
            .map(|(before, after)| cgroup::throttled_since(before, after));
        let machine = self
            .machine
            .zip(MachineTime::read(&self.root))
            .and_then(|(before, after)| after.since(&before));
        Surroundings {
            throttled: throttled.map(|(time, _)| time),
            throttled_periods: throttled.map(|(_, periods)| periods),
            cpu_limit: cpu.as_ref().and_then(cgroup::limit),
            machine_busy_share: machine.map(|shares| shares.busy),
            steal_share: machine.map(|shares| shares.stolen),
            network: self
                .network
                .zip(kernel::network(&self.root))
                .map(|(before, after)| kernel::network_since(&before, &after)),
            wall_clock_step: clock::wall_clock_ahead().saturating_sub(self.wall_clock_ahead),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_stage_is_what_happened_between_two_looks() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/\n");
        write(
            "proc/self/mountinfo",
            "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        );
        let group = |periods: u32, throttled: u32| {
            let stat = format!("nr_throttled {periods}\nthrottled_usec {throttled}\n");
            write("sys/fs/cgroup/cpu.stat", &stat);
        };
        group(5, 1000);
        write("sys/fs/cgroup/cpu.max", "25000 100000\n");
        write("proc/stat", "cpu 0 0 0 100 0 0 0 0\n");
        write(
            "proc/net/snmp",
            "Tcp: InSegs OutSegs RetransSegs\nTcp: 1 1 1\n",
        );
        let watch = Watch::begin(root.path());
        group(7, 4000);
        write("proc/stat", "cpu 5 0 0 104 0 0 0 1\n");
        write(
            "proc/net/snmp",
            "Tcp: InSegs OutSegs RetransSegs\nTcp: 9 9 2\n",
        );
        let seen = watch.end();
        assert_eq!(seen.throttled, Some(3_000_000));
        assert_eq!(
            (seen.throttled_periods, seen.cpu_limit),
            (Some(2), Some(0.25))
        );
        assert_eq!(seen.steal_share, Some(0.1));
        assert_eq!(seen.network.unwrap().retransmitted_segments, 1);
        assert!(seen.wall_clock_step.abs() < 1_000_000_000, "{seen:?}");
    }

    #[test]
    fn this_machine_answers_or_says_nothing() {
        let watch = Watch::begin(Path::new("/"));
        let seen = watch.end();
        assert!(seen.throttled.is_none_or(|time| time < 1_000_000_000));
        assert!(seen.cpu_limit.is_none_or(|limit| limit > 0.0));
    }
}
