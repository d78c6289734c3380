//! How the CPU controller of this process's cgroup bounds and throttles it (cgroups(7)).
//!
//! Which version has the controller, and where it is mounted, is in `/proc/self/cgroup` and
//! `/proc/self/mountinfo`. Every reader takes the root under which these paths lie, so that
//! fixtures can stand in for a kernel.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::clock::{MILLISECOND, Nanos};

/// A microsecond, the unit of version 2.
const MICROSECOND: Nanos = MILLISECOND / 1000;

/// The groups whose bounds hold for this process: its own, and those above up to the mount's root.
/// A pod's bound is often one level over the container's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CpuGroups(Vec<PathBuf>);

/// What the groups say, from the process's own group to the mount's root.
pub(super) type CpuStats = Vec<CpuStat>;

/// `cpu.stat` and the quota of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct CpuStat {
    /// Time for which its run queues were throttled, summed over CPUs.
    pub(super) throttled: Nanos,
    /// Enforcement periods in which it was throttled.
    pub(super) periods: u64,
    /// CPUs' worth of time that it may take; absent where there is no bound.
    pub(super) limit: Option<f64>,
}

/// Where a controller is mounted, and which part of its tree.
struct Mount<'a> {
    /// The group that is at `point`.
    root: &'a str,
    point: &'a str,
}

impl CpuGroups {
    /// The groups of this process; `None` where there is no CPU controller to be found.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        let (path, mount) = controller(&groups, &mounts)?;
        let below = below(path, mount.root);
        let top = root.join(mount.point.trim_start_matches('/'));
        let mut folders = vec![top.clone()];
        let mut folder = top;
        for part in below.split('/').filter(|part| !part.is_empty()) {
            folder = folder.join(part);
            folders.push(folder.clone());
        }
        // The process's own first.
        folders.reverse();
        folders.retain(|folder| folder.join("cpu.stat").is_file());
        (!folders.is_empty()).then_some(Self(folders))
    }

    /// What they say now; `None` where no group tells of throttling, as version 2's root does not.
    pub(super) fn stats(&self) -> Option<CpuStats> {
        let stats: CpuStats = self.0.iter().filter_map(|folder| stat_at(folder)).collect();
        (!stats.is_empty()).then_some(stats)
    }
}

/// Throttled time and periods since `before`, of the group that was throttled the longest: a bound
/// above throttles all below it, and each level counts for itself.
pub(super) fn throttled_since(before: &CpuStats, after: &CpuStats) -> (Nanos, u64) {
    before
        .iter()
        .zip(after)
        .map(|(before, after)| {
            (
                after.throttled.saturating_sub(before.throttled),
                after.periods.saturating_sub(before.periods),
            )
        })
        .max()
        .unwrap_or_default()
}

/// The tightest bound of the groups, in CPUs.
pub(super) fn limit(stats: &CpuStats) -> Option<f64> {
    stats
        .iter()
        .filter_map(|stat| stat.limit)
        .min_by(f64::total_cmp)
}

/// The process's path in the tree of the CPU controller, and where that tree is mounted. Version 1's
/// controller comes first: where it is mounted, version 2's tree has none.
fn controller<'a>(groups: &'a str, mounts: &'a str) -> Option<(&'a str, Mount<'a>)> {
    let found = |is_version_2: bool| {
        let path = groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers) = (parts.next()?, parts.next()?);
            let path = parts.next()?;
            let is_it = if is_version_2 {
                number == "0" && controllers.is_empty()
            } else {
                controllers.split(',').any(|controller| controller == "cpu")
            };
            is_it.then_some(path)
        })?;
        let mount = mounts.lines().find_map(|line| mount(line, is_version_2))?;
        Some((path, mount))
    };
    found(false).or_else(|| found(true))
}

/// A line of mountinfo (proc_pid_mountinfo(5)), where it mounts the CPU controller of a version.
fn mount(line: &str, is_version_2: bool) -> Option<Mount<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let (root, point) = (left.nth(3)?, left.next()?);
    let mut right = right.split(' ');
    let kind = right.next()?;
    let is_it = if is_version_2 {
        kind == "cgroup2"
    } else {
        let options = right.nth(1).unwrap_or_default();
        kind == "cgroup" && options.split(',').any(|option| option == "cpu")
    };
    is_it.then_some(Mount { root, point })
}

/// The part of a group's path that lies under the mounted part of the tree. Within a container the
/// path is often the host's, and the container's own group is what is mounted.
fn below<'a>(path: &'a str, mounted: &str) -> &'a str {
    match path.strip_prefix(mounted.trim_end_matches('/')) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => "",
    }
}

fn stat_at(folder: &Path) -> Option<CpuStat> {
    let mut stat = throttling(&fs::read_to_string(folder.join("cpu.stat")).ok()?)?;
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    stat.limit = limit_of_version_2(&read("cpu.max"))
        .or_else(|| limit_of_version_1(&read("cpu.cfs_quota_us"), &read("cpu.cfs_period_us")));
    Some(stat)
}

/// `throttled_usec` (version 2) or `throttled_time` (version 1, in nanoseconds), and `nr_throttled`.
fn throttling(stat: &str) -> Option<CpuStat> {
    let mut found = None;
    let mut periods = 0;
    for line in stat.lines() {
        let Some((key, value)) = line.split_once(' ') else {
            continue;
        };
        let value: u64 = value.trim().parse().ok()?;
        match key {
            "throttled_usec" => found = Some(value.saturating_mul(MICROSECOND)),
            "throttled_time" => found = Some(value),
            "nr_throttled" => periods = value,
            _ => {}
        }
    }
    Some(CpuStat {
        throttled: found?,
        periods,
        limit: None,
    })
}

/// `cpu.max`: `max 100000` or `50000 100000`.
fn limit_of_version_2(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota.parse().ok()?, period.parse().ok()?)
}

/// `cpu.cfs_quota_us`, -1 for no bound, over `cpu.cfs_period_us`.
fn limit_of_version_1(quota: &str, period: &str) -> Option<f64> {
    ratio(quota.trim().parse().ok()?, period.trim().parse().ok()?)
}

fn ratio(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel's files.
    fn kernel(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const VERSION_1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
         35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
         41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const VERSION_2: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn version_1_is_found_by_its_controller() {
        let root = kernel(&[
            (
                "proc/self/cgroup",
                "3:cpu,cpuacct:/pod1\n2:memory:/x\n0::/\n",
            ),
            ("proc/self/mountinfo", VERSION_1),
            (
                "sys/fs/cgroup/cpu,cpuacct/pod1/cpu.stat",
                "nr_periods 3\nnr_throttled 2\nthrottled_time 1500000\n",
            ),
            (
                "sys/fs/cgroup/cpu,cpuacct/pod1/cpu.cfs_quota_us",
                "150000\n",
            ),
            (
                "sys/fs/cgroup/cpu,cpuacct/pod1/cpu.cfs_period_us",
                "100000\n",
            ),
            (
                "sys/fs/cgroup/cpu,cpuacct/cpu.stat",
                "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
            ),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        let stats = CpuGroups::find(root.path()).unwrap().stats().unwrap();
        assert_eq!(
            stats[0],
            CpuStat {
                throttled: 1_500_000,
                periods: 2,
                limit: Some(1.5)
            }
        );
        assert_eq!(stats.len(), 2);
        assert_eq!(limit(&stats), Some(1.5));
    }

    #[test]
    fn version_2_counts_a_bound_of_the_group_above() {
        let own = "usage_usec 9\nuser_usec 5\nnr_periods 3\nnr_throttled 0\nthrottled_usec 0\n";
        let pod = "usage_usec 9\nuser_usec 5\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1500\n";
        let root = kernel(&[
            ("proc/self/cgroup", "0::/kubepods/pod1/container\n"),
            ("proc/self/mountinfo", VERSION_2),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 9\nuser_usec 5\n"),
            ("sys/fs/cgroup/kubepods/cpu.stat", own),
            ("sys/fs/cgroup/kubepods/pod1/cpu.stat", pod),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/container/cpu.stat", own),
            (
                "sys/fs/cgroup/kubepods/pod1/container/cpu.max",
                "max 100000\n",
            ),
        ]);
        let groups = CpuGroups::find(root.path()).unwrap();
        let stats = groups.stats().unwrap();
        let none = vec![CpuStat::default(); stats.len()];
        assert_eq!(throttled_since(&none, &stats), (1_500_000, 2));
        assert_eq!(limit(&stats), Some(0.5));
        // The root group has no bound and tells of none.
        assert_eq!(stats.len(), 3);
    }

    #[test]
    fn a_container_finds_its_group_at_the_root_of_the_mount() {
        let stat = "nr_throttled 1\nthrottled_usec 7\n";
        for (cgroup, mountinfo) in [
            // Its own namespace of groups.
            ("0::/\n", VERSION_2.to_owned()),
            // The host's path, of which only the container's part is mounted.
            (
                "0::/kubepods/pod1\n",
                VERSION_2.replace(" / /sys", " /kubepods/pod1 /sys"),
            ),
            // A path that leads out of the namespace.
            ("0::/../pod2\n", VERSION_2.to_owned()),
        ] {
            let root = kernel(&[
                ("proc/self/cgroup", cgroup),
                ("proc/self/mountinfo", &mountinfo),
                ("sys/fs/cgroup/cpu.stat", stat),
            ]);
            let stats = CpuGroups::find(root.path()).unwrap().stats().unwrap();
            assert_eq!(stats[0].throttled, 7_000, "{cgroup}");
        }
    }

    #[test]
    fn without_a_controller_nothing_is_said() {
        let root = kernel(&[]);
        assert_eq!(CpuGroups::find(root.path()), None);
        let root = kernel(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", VERSION_2),
            ("sys/fs/cgroup/cpu.stat", "usage_usec 9\n"),
        ]);
        assert_eq!(CpuGroups::find(root.path()).unwrap().stats(), None);
    }
}
