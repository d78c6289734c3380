//! What the client sees of itself: CPU, memory, stalls, throttling, open files.

use std::fs;

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};

use crate::clock::{Nanos, SECOND};

/// Files that a run has open beside its connections.
pub const OPEN_FILES_SPARE: u64 = 64;

/// The client's figures over one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageVitals {
    /// CPU time of the event loops.
    pub cpu: Nanos,
    /// Frames with content.
    pub chunks: u64,
    /// Longest time for which an event loop did not come round.
    pub longest_stall: Nanos,
    /// How long after the time that was set for it the schedule began.
    pub late_start: Nanos,
    /// Greatest resident set of the process so far, in bytes.
    pub peak_rss_bytes: u64,
    /// Time for which the cgroup was throttled; absent where the kernel does not tell.
    pub throttled_seconds: Option<f64>,
    /// Bound on open files.
    pub open_files_limit: u64,
    /// Open files that the stage is known to need.
    pub open_files_needed: u64,
    /// Connections that could not be opened for want of descriptors.
    pub descriptors_refused: u64,
    /// Most connections that were open at one time.
    pub most_connections: u64,
    /// Local ports for connections to one server; absent where the kernel does not tell.
    pub local_ports: Option<u64>,
    /// Connections that could not be opened for want of a local port.
    pub ports_refused: u64,
    /// Requests that were written again because their server had closed the connection.
    pub reconnects: u64,
}

impl StageVitals {
    /// Adds those of another event loop.
    pub(super) fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.chunks += other.chunks;
        self.longest_stall = self.longest_stall.max(other.longest_stall);
        self.late_start = self.late_start.max(other.late_start);
        self.descriptors_refused += other.descriptors_refused;
        self.most_connections += other.most_connections;
        self.ports_refused += other.ports_refused;
        self.reconnects += other.reconnects;
    }
}

/// CPU time of this thread.
pub fn thread_cpu() -> Nanos {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.cast_unsigned() * SECOND + time.tv_nsec.cast_unsigned()
}

/// Raises the bound on open files as far as this process may: to the kernel's own bound where it has
/// the right, else to its hard limit. Returns the bound.
pub fn raise_open_files_limit() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    let kernels = fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let kernels: Option<u64> = kernels.and_then(|bound| bound.trim().parse().ok());
    let raised = |bound: Option<u64>| {
        let limit = Rlimit {
            current: bound,
            maximum: bound,
        };
        setrlimit(Resource::Nofile, limit).is_ok()
    };
    // Where it may not be raised, the old bound holds and is reported.
    let _ = kernels.is_some_and(|bound| raised(Some(bound))) || raised(hard);
    open_files_limit()
}

/// Local ports that connections to one server can take, by `ip_local_port_range` (ip(7)); absent
/// where the kernel does not tell.
pub fn local_ports() -> Option<u64> {
    ports_of(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

fn ports_of(range: &str) -> Option<u64> {
    let mut bounds = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    (last + 1).checked_sub(first)
}

/// The bound on open files.
pub fn open_files_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Greatest resident set of this process so far, in bytes; 0 where the kernel does not tell.
pub fn peak_rss_bytes() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| peak_rss_of(&status))
        .unwrap_or_default()
}

/// `VmHWM` of `/proc/PID/status` (proc_pid_status(5)), in bytes.
fn peak_rss_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Time for which this process's cgroup has been throttled so far, by the CPU controller's
/// `cpu.stat`, version 2 or 1.
pub fn throttled() -> Option<Nanos> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    stat_files(&groups)
        .iter()
        .find_map(|path| throttled_of(&fs::read_to_string(path).ok()?))
}

/// Where `cpu.stat` can be, the likeliest first, by `/proc/self/cgroup` (cgroups(7)). Within a
/// container the path of the group is often the host's, and the group's own files are at the mount's
/// root.
fn stat_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = path.trim_end_matches('/');
        let mounts: &[&str] = if controllers.is_empty() {
            &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]
        } else {
            continue;
        };
        for mount in mounts {
            files.push(format!("{mount}{path}/cpu.stat"));
            if !path.is_empty() {
                files.push(format!("{mount}/cpu.stat"));
            }
        }
    }
    files
}

/// `throttled_usec` (version 2) or `throttled_time` (version 1, in nanoseconds) of a `cpu.stat`.
fn throttled_of(stat: &str) -> Option<Nanos> {
    stat.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        let value: u64 = value.trim().parse().ok()?;
        match key {
            "throttled_usec" => Some(value * 1000),
            "throttled_time" => Some(value),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_is_read_from_both_versions() {
        let version_2 =
            "usage_usec 9\nuser_usec 5\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1500\n";
        let version_1 = "nr_periods 3\nnr_throttled 2\nthrottled_time 1500000\n";
        for stat in [version_2, version_1] {
            assert_eq!(throttled_of(stat), Some(1_500_000), "{stat}");
        }
        // The root group of version 2 has no limit and says nothing of one.
        assert_eq!(throttled_of("usage_usec 9\nuser_usec 5\n"), None);
    }

    #[test]
    fn the_stat_file_is_looked_for_where_the_group_is() {
        for (groups, expected) in [
            (
                "0::/kubepods/pod1\n",
                "/sys/fs/cgroup/kubepods/pod1/cpu.stat",
            ),
            ("0::/\n", "/sys/fs/cgroup/cpu.stat"),
            (
                "3:cpu,cpuacct:/pod1\n2:memory:/x\n",
                "/sys/fs/cgroup/cpu/pod1/cpu.stat",
            ),
        ] {
            let files = stat_files(groups);
            assert_eq!(
                files.first().map(String::as_str),
                Some(expected),
                "{groups}"
            );
            assert!(
                files.iter().all(|file| !file.contains("memory")),
                "{files:?}"
            );
        }
        let in_container = stat_files("0::/kubepods/pod1\n");
        assert!(in_container.contains(&"/sys/fs/cgroup/cpu.stat".to_owned()));
    }

    #[test]
    fn local_ports_are_counted_from_their_range() {
        assert_eq!(ports_of("32768\t60999\n"), Some(28_232));
        assert_eq!(ports_of("1024 1024"), Some(1));
        for range in ["", "1024", "a b", "9 1"] {
            assert_eq!(ports_of(range), None, "{range}");
        }
        assert!(local_ports().is_some_and(|ports| ports > 0));
    }

    #[test]
    fn the_bound_on_open_files_is_raised_and_never_lowered() {
        let before = open_files_limit();
        let raised = raise_open_files_limit();
        assert!(raised >= before, "{raised} < {before}");
        assert_eq!(raised, open_files_limit());
        // Nothing is left to raise.
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raised, hard);
    }

    #[test]
    fn peak_memory_is_read_in_bytes() {
        assert_eq!(
            peak_rss_of("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"),
            Some(2048 * 1024)
        );
        assert_eq!(peak_rss_of("Name:\tx\n"), None);
    }

    #[test]
    fn cpu_time_of_a_thread_grows_with_its_work() {
        let before = thread_cpu();
        let sum: u64 = (0..200_000_u64).map(std::hint::black_box).sum();
        assert!(std::hint::black_box(sum) > 0);
        assert!(thread_cpu() > before);
    }
}
