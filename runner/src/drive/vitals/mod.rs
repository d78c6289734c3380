//! What the client sees of itself: CPU, memory, stalls, throttling, open files.
//!
//! The event loops count what passes through their hands anyway; everything else is read from the
//! kernel before and after a stage, never during it.

mod cgroup;
mod kernel;
mod watch;

use std::{fs, path::Path};

use bakeoff_crds::report::{NetworkReport, ReceiveBacklog};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};

use crate::{
    clock::{Nanos, SECOND},
    stats::Latencies,
};

pub(super) use watch::Watch;

/// Files that a run has open beside its connections.
pub const OPEN_FILES_SPARE: u64 = 64;

/// The client's figures over one stage.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageVitals {
    /// What the event loops saw of themselves.
    pub loops: LoopVitals,
    /// What the kernel told of the process and its surroundings.
    pub surroundings: Surroundings,
    /// Greatest resident set of the process so far, in bytes.
    pub peak_rss_bytes: u64,
    /// Bound on open files.
    pub open_files_limit: u64,
    /// Open files that the stage is known to need.
    pub open_files_needed: u64,
    /// Local ports for connections to one server; absent where the kernel does not tell.
    pub local_ports: Option<u64>,
}

/// What one or several event loops saw of themselves.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoopVitals {
    /// CPU time.
    pub cpu: Nanos,
    /// Time for which they ran, summed.
    pub span: Nanos,
    /// Share of its span for which the busiest one was on a CPU, 0 to 1.
    pub busiest_share: f64,
    /// Time for which they could run but waited for a CPU, summed; absent where the kernel does not
    /// tell.
    pub run_queue_wait: Option<Nanos>,
    /// How late they came to what was due at a fixed time; absent before the first look.
    pub delay: Option<Latencies>,
    /// Longest time for which one did not come round.
    pub longest_stall: Nanos,
    /// How long after the time that was set for it the schedule began.
    pub late_start: Nanos,
    /// Frames with content.
    pub chunks: u64,
    /// What waited in the sockets when they were read.
    pub backlog: ReceiveBacklog,
    /// Connections that could not be opened for want of descriptors.
    pub descriptors_refused: u64,
    /// Most connections that were open at one time.
    pub most_connections: u64,
    /// Connections that could not be opened for want of a local port.
    pub ports_refused: u64,
    /// Requests that were written again because their server had closed the connection.
    pub reconnects: u64,
}

/// What the kernel tells of a process and its surroundings over a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surroundings {
    /// Time for which the cgroup was throttled.
    pub throttled: Option<Nanos>,
    /// Enforcement periods in which it was.
    pub throttled_periods: Option<u64>,
    /// CPUs' worth of time that it may take; absent where there is no bound.
    pub cpu_limit: Option<f64>,
    /// Share of the machine's CPU time in which something ran, 0 to 1.
    pub machine_busy_share: Option<f64>,
    /// Share of it that the hypervisor gave to others, 0 to 1.
    pub steal_share: Option<f64>,
    /// The network's counters.
    pub network: Option<NetworkReport>,
    /// By how much the wall clock was set, in nanoseconds.
    pub wall_clock_step: i64,
}

impl LoopVitals {
    /// Adds those of another event loop.
    pub(super) fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.span += other.span;
        self.busiest_share = self.busiest_share.max(other.busiest_share);
        self.run_queue_wait = match (self.run_queue_wait, other.run_queue_wait) {
            (Some(mine), Some(theirs)) => Some(mine + theirs),
            (mine, theirs) => mine.or(theirs),
        };
        match (&mut self.delay, &other.delay) {
            (Some(mine), Some(theirs)) => mine.add(theirs),
            (mine, theirs) => *mine = mine.take().or_else(|| theirs.clone()),
        }
        self.longest_stall = self.longest_stall.max(other.longest_stall);
        self.late_start = self.late_start.max(other.late_start);
        self.chunks += other.chunks;
        self.backlog.add(&other.backlog);
        self.descriptors_refused += other.descriptors_refused;
        self.most_connections += other.most_connections;
        self.ports_refused += other.ports_refused;
        self.reconnects += other.reconnects;
    }

    /// One read gave so many bytes of the so many that it could.
    pub(super) fn read(&mut self, bytes: usize, room: usize) {
        self.backlog.reads += 1;
        self.backlog.full_reads += u64::from(bytes == room);
        self.backlog.most_bytes = self.backlog.most_bytes.max(bytes as u64);
    }

    /// The loop came round so late to what was due every `interval`. What it slept over in between
    /// counts too: it would have been late for it by one interval less each.
    pub(super) fn late(&mut self, by: Nanos, interval: Nanos) {
        let delay = self.delay.get_or_insert_with(Latencies::new);
        let missed = (by / interval.max(1)).min(MOST_MISSED);
        for times in 0..=missed {
            delay.record(by - times * interval, 1);
        }
    }

    /// A connection could not be opened.
    pub(super) fn not_opened(&mut self, error: &std::io::Error) {
        match error.raw_os_error() {
            // EMFILE and ENFILE: the process's and the system's bound.
            Some(23 | 24) => self.descriptors_refused += 1,
            // EADDRNOTAVAIL: no local port is left for this peer.
            Some(99) => self.ports_refused += 1,
            _ => {}
        }
    }
}

/// Most looks that one delay stands for.
const MOST_MISSED: u64 = 10_000;

/// CPU time of a thread, and its wait for a CPU, since it began to be measured.
pub(super) struct ThreadTimes {
    cpu: Nanos,
    waited: Option<Nanos>,
    begun: Nanos,
}

impl ThreadTimes {
    /// Begins to measure this thread.
    pub(super) fn begin(now: Nanos) -> Self {
        Self {
            cpu: thread_cpu(),
            waited: kernel::run_queue_wait(Path::new("/")),
            begun: now,
        }
    }

    /// Ends it; on the same thread.
    pub(super) fn end(self, now: Nanos, vitals: &mut LoopVitals) {
        vitals.cpu = thread_cpu().saturating_sub(self.cpu);
        vitals.span = now.saturating_sub(self.begun);
        vitals.busiest_share = vitals.cpu as f64 / vitals.span.max(1) as f64;
        vitals.run_queue_wait = self
            .waited
            .zip(kernel::run_queue_wait(Path::new("/")))
            .map(|(before, after)| after.saturating_sub(before));
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

/// CPU time of this process so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / SECOND as f64
}

/// `VmHWM` of `/proc/PID/status` (proc_pid_status(5)), in bytes.
fn peak_rss_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_a_stall_slept_over_counts_too() {
        let mut vitals = LoopVitals::default();
        vitals.late(35, 10);
        let delay = vitals.delay.as_ref().unwrap().distribution().unwrap();
        assert_eq!(delay.count, 4, "35, 25, 15 and 5 late");
        assert!((delay.mean - 20e-9).abs() < 1e-12, "{delay:?}");
        vitals.late(0, 10);
        assert_eq!(vitals.delay.as_ref().unwrap().count(), 5);
    }

    #[test]
    fn several_loops_are_one_client() {
        let mut one = LoopVitals::default();
        one.read(10, 64);
        one.not_opened(&std::io::Error::from_raw_os_error(24));
        let mut other = LoopVitals {
            busiest_share: 0.5,
            run_queue_wait: Some(7),
            ..LoopVitals::default()
        };
        other.read(64, 64);
        other.late(5, 10);
        other.not_opened(&std::io::Error::from_raw_os_error(99));
        one.add(&other);
        let backlog = ReceiveBacklog {
            reads: 2,
            full_reads: 1,
            most_bytes: 64,
        };
        assert_eq!((one.backlog, one.busiest_share), (backlog, 0.5));
        assert_eq!((one.descriptors_refused, one.ports_refused), (1, 1));
        assert_eq!(one.run_queue_wait, Some(7));
        assert_eq!(one.delay.unwrap().count(), 1);
    }

    #[test]
    fn cpu_time_of_a_thread_grows_with_its_work() {
        let before = thread_cpu();
        let sum: u64 = (0..200_000_u64).map(std::hint::black_box).sum();
        assert!(std::hint::black_box(sum) > 0);
        assert!(thread_cpu() > before);
    }
}
