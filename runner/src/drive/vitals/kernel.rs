//! What the kernel counts that can spoil a measurement: waits for a CPU, CPU taken by the
//! hypervisor, segments lost on the way. Each reader takes the root under which `/proc` lies.

use std::{collections::BTreeMap, fs, path::Path};

use bakeoff_crds::report::NetworkReport;

use crate::clock::Nanos;

/// Time for which this thread could run but waited for a CPU: the second figure of `schedstat`
/// (Documentation/scheduler/sched-stats.rst). Throttling by a quota is not in it.
pub(super) fn run_queue_wait(root: &Path) -> Option<Nanos> {
    let text = fs::read_to_string(root.join("proc/thread-self/schedstat")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

/// Time of all CPUs of the machine so far, in ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MachineTime {
    all: u64,
    idle: u64,
    stolen: u64,
}

/// What became of the machine's CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct MachineShares {
    /// Share in which something ran, 0 to 1.
    pub(super) busy: f64,
    /// Share that the hypervisor gave to others, 0 to 1.
    pub(super) stolen: f64,
}

impl MachineTime {
    pub(super) fn read(root: &Path) -> Option<Self> {
        Self::of(&fs::read_to_string(root.join("proc/stat")).ok()?)
    }

    fn of(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user nice system idle iowait irq softirq steal; what guests take is in user.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .map(|ticks| ticks.parse().ok())
            .collect::<Option<_>>()?;
        let &[.., idle, waiting, _, _, stolen] = ticks.as_slice() else {
            return None;
        };
        Some(Self {
            all: ticks.iter().sum(),
            idle: idle + waiting,
            stolen,
        })
    }

    /// Shares since `before`; `None` where no tick has passed.
    pub(super) fn since(&self, before: &Self) -> Option<MachineShares> {
        let passed = |of: fn(&Self) -> u64| of(self).saturating_sub(of(before)) as f64;
        let all = passed(|time| time.all);
        (all > 0.0).then(|| MachineShares {
            busy: 1.0 - (passed(|time| time.idle) / all).min(1.0),
            stolen: passed(|time| time.stolen) / all,
        })
    }
}

/// The network namespace's counters so far; `None` where the kernel does not tell.
pub(super) fn network(root: &Path) -> Option<NetworkReport> {
    let read =
        |name: &str| fs::read_to_string(root.join("proc/net").join(name)).unwrap_or_default();
    let (snmp, netstat) = (read("snmp"), read("netstat"));
    let tcp = table(&snmp, "Tcp:");
    let more = table(&netstat, "TcpExt:");
    let get = |name: &str| more.get(name).copied().unwrap_or_default();
    Some(NetworkReport {
        received_segments: *tcp.get("InSegs")?,
        sent_segments: *tcp.get("OutSegs")?,
        retransmitted_segments: *tcp.get("RetransSegs")?,
        out_of_order_segments: get("TCPOFOQueue"),
        closed_windows: get("TCPToZeroWindowAdv"),
        dropped_packets: dropped(&read("dev"))
            + get("TCPBacklogDrop")
            + get("TCPRcvQDrop")
            + get("PruneCalled"),
    })
}

/// Counters since `before`.
pub(super) fn network_since(before: &NetworkReport, after: &NetworkReport) -> NetworkReport {
    let since = |of: fn(&NetworkReport) -> u64| of(after).saturating_sub(of(before));
    NetworkReport {
        received_segments: since(|network| network.received_segments),
        sent_segments: since(|network| network.sent_segments),
        retransmitted_segments: since(|network| network.retransmitted_segments),
        out_of_order_segments: since(|network| network.out_of_order_segments),
        closed_windows: since(|network| network.closed_windows),
        dropped_packets: since(|network| network.dropped_packets),
    }
}

/// A table of `/proc/net/snmp` or `netstat`: a line of names, a line of values.
fn table<'a>(text: &'a str, name: &str) -> BTreeMap<&'a str, u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return BTreeMap::new();
    };
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        // Some values are negative: -1 for no bound.
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect()
}

/// Packets that the interfaces of `/proc/net/dev` received and dropped, or received broken.
fn dropped(dev: &str) -> u64 {
    dev.lines()
        .filter_map(|line| {
            let (_, counts) = line.split_once(':')?;
            // bytes packets errs drop
            let mut counts = counts.split_whitespace().skip(2);
            let errors: u64 = counts.next()?.parse().ok()?;
            let drops: u64 = counts.next()?.parse().ok()?;
            Some(errors + drops)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_machine_are_of_the_time_that_passed() {
        let before = MachineTime::of("cpu  100 0 50 800 40 5 5 0 0 0\ncpu0 1 1 1 1\n").unwrap();
        let after = MachineTime::of("cpu  130 0 60 840 40 5 5 20 0 0\n").unwrap();
        let shares = after.since(&before).unwrap();
        assert_eq!((shares.busy, shares.stolen), (0.6, 0.2));
        assert_eq!(before.since(&before), None);
        assert_eq!(MachineTime::of("intr 5\n"), None);
    }

    #[test]
    fn the_network_is_read_by_name() {
        let root = tempfile::tempdir().unwrap();
        let net = root.path().join("proc/net");
        fs::create_dir_all(&net).unwrap();
        assert_eq!(network(root.path()), None);
        fs::write(
            net.join("snmp"),
            "Ip: Forwarding InReceives\nIp: 1 9\n\
             Tcp: MaxConn InSegs OutSegs RetransSegs\nTcp: -1 100 200 3\n",
        )
        .unwrap();
        let bare = network(root.path()).unwrap();
        assert_eq!((bare.retransmitted_segments, bare.closed_windows), (3, 0));
        fs::write(
            net.join("netstat"),
            "TcpExt: PruneCalled TCPOFOQueue TCPToZeroWindowAdv TCPBacklogDrop TCPRcvQDrop\n\
             TcpExt: 1 7 5 2 4\nIpExt: InOctets\nIpExt: 9\n",
        )
        .unwrap();
        fs::write(
            net.join("dev"),
            "Inter-|   Receive\n face |bytes packets errs drop fifo\n\
             lo: 5 5 0 0 0\n  eth0: 100 10 3 30 0\n",
        )
        .unwrap();
        let all = network(root.path()).unwrap();
        assert_eq!(
            all,
            NetworkReport {
                received_segments: 100,
                sent_segments: 200,
                retransmitted_segments: 3,
                out_of_order_segments: 7,
                closed_windows: 5,
                dropped_packets: 40,
            }
        );
        assert_eq!(network_since(&all, &all), NetworkReport::default());
    }

    #[test]
    fn the_wait_for_a_cpu_is_the_second_figure() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(run_queue_wait(root.path()), None);
        fs::create_dir_all(root.path().join("proc/thread-self")).unwrap();
        fs::write(
            root.path().join("proc/thread-self/schedstat"),
            "9 51688 1\n",
        )
        .unwrap();
        assert_eq!(run_queue_wait(root.path()), Some(51688));
    }
}
