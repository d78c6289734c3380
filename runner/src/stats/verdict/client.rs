//! Rules on the client: what it did late, and what it could not do.

use bakeoff_crds::{
    report::VerdictReason,
    run::status::VerdictStatus::{Invalid, Suspect},
};

use super::{Evidence, grade, reason};
use crate::{
    clock::{self, MILLISECOND, Nanos, SECOND},
    stats::Latencies,
};

/// Least and greatest bound on the client's own delays, in seconds. What is under a millisecond
/// decides no comparison of engines; over ten, users of fast engines would notice.
const DELAY: (f64, f64) = (0.001, 0.010);
/// Share of the median time to first token that such a delay may have.
const DELAY_SHARE: f64 = 0.05;
/// Stall of the client over which a stage is Suspect, and over which it is Invalid.
const STALL: (Nanos, Nanos) = (100 * MILLISECOND, SECOND);
/// Share of its time for which an event loop may be on a CPU. Over it, frames queue for the loop: at
/// 85 % a frame that comes at random waits for six others' handling (M/M/1), and the throughput
/// that is seen may be the client's.
const BUSY: f64 = 0.85;
/// Share of the frames a second that the client can take by its calibration.
const CAPACITY: f64 = 0.85;
/// What the client itself may add to a time to first token, in seconds, and its share of the median.
const OVERHEAD: f64 = 0.001;
const OVERHEAD_SHARE: f64 = 0.1;
/// Share of the arrivals that must have been sent when the last one is due.
const RATE: f64 = 0.95;
/// Share of the concurrency that must have been in flight on average.
const CONCURRENCY: f64 = 0.9;
/// Share of the reads of a stream that may fill the whole buffer: a frame has some hundred bytes, so
/// a full buffer is hundreds of frames late.
const FULL_READS: f64 = 0.01;
/// Closed windows over segments received.
const CLOSED_WINDOWS: f64 = 0.001;
/// Fewer events than this show nothing.
const FEW: u64 = 10;

/// Bound on a delay that goes into a time to first token.
fn bound(evidence: &Evidence) -> f64 {
    let (least, greatest) = DELAY;
    match evidence.median_answer {
        Some(median) => (DELAY_SHARE * median).clamp(least, greatest),
        None => greatest,
    }
}

pub(super) fn schedule_delay(evidence: &Evidence) -> Option<VerdictReason> {
    let delay = evidence.own_delay_p99?;
    let bound = bound(evidence);
    (delay > bound).then_some(())?;
    let message = format!(
        "the client was {:.2} ms behind its schedule at the 99th percentile, over {:.2} ms; give it more CPU or threads",
        delay * 1e3,
        bound * 1e3,
    );
    reason(Suspect, "ScheduleDelay", message)
}

/// Frames that come meanwhile are read as late as the loop is, so that times to first token and gaps
/// are the client's in part.
pub(super) fn loop_delay(evidence: &Evidence) -> Option<VerdictReason> {
    let looks = evidence.vitals.loops.delay.as_ref();
    let looks = looks.and_then(Latencies::distribution)?;
    let (percentile, delay) = [
        ("99th", looks.p99),
        ("95th", looks.p95),
        ("90th", looks.p90),
    ]
    .into_iter()
    .find_map(|(name, delay)| Some((name, delay?)))?;
    let bound = bound(evidence);
    (delay > bound).then_some(())?;
    let message = format!(
        "the client came to its work {:.2} ms late at the {percentile} percentile, over {:.2} ms, and read answers as late; give it more CPU or threads",
        delay * 1e3,
        bound * 1e3,
    );
    reason(Suspect, "ClientLate", message)
}

pub(super) fn stall(evidence: &Evidence) -> Option<VerdictReason> {
    let stall = evidence.vitals.loops.longest_stall;
    let status = grade(stall as f64, (STALL.0 as f64, STALL.1 as f64))?;
    let message = format!(
        "the client stood still for {:.0} ms; give it a CPU of its own",
        clock::seconds(stall) * 1e3
    );
    reason(status, "ClientStalled", message)
}

/// Suspect at most: what was measured is true of the client and the engine together.
pub(super) fn saturated(evidence: &Evidence) -> Option<VerdictReason> {
    let share = evidence.vitals.loops.busiest_share;
    (share > BUSY).then_some(())?;
    let message = format!(
        "an event loop of the client used {:.0} % of a CPU, over {:.0} %: the figures may be the client's limit; give it more threads",
        share * 1e2,
        BUSY * 1e2
    );
    reason(Suspect, "ClientSaturated", message)
}

pub(super) fn capacity(evidence: &Evidence) -> Option<VerdictReason> {
    let used = evidence.capacity_used?;
    (used > CAPACITY).then_some(())?;
    let message = format!(
        "the load was at {:.0} % of the frames a second that this client can take, over {:.0} %: the figures may be the client's limit; give it more CPU and threads",
        used * 1e2,
        CAPACITY * 1e2
    );
    reason(Suspect, "ClientNearLimit", message)
}

pub(super) fn overhead(evidence: &Evidence) -> Option<VerdictReason> {
    let overhead = evidence.overhead?;
    let share = evidence
        .median_answer
        .map(|median| overhead / median.max(1e-9));
    (overhead > OVERHEAD || share.is_some_and(|share| share > OVERHEAD_SHARE)).then_some(())?;
    let of = share
        .map(|share| format!(", {:.1} % of the median", share * 1e2))
        .unwrap_or_default();
    let message = format!(
        "the client itself adds {:.2} ms to a time to first token{of}, over {:.0} ms or {:.0} %; give it a CPU of its own",
        overhead * 1e3,
        OVERHEAD * 1e3,
        OVERHEAD_SHARE * 1e2
    );
    reason(Suspect, "ClientOverhead", message)
}

pub(super) fn rate(evidence: &Evidence) -> Option<VerdictReason> {
    let kept = evidence.rate_kept?;
    (kept < RATE).then_some(())?;
    let message = format!(
        "when the last request was due, {:.0} % had been sent: the rate was not reached; see whether the server takes connections fast enough, and the client's own delay",
        kept * 1e2
    );
    reason(Suspect, "RateNotKept", message)
}

pub(super) fn concurrency(evidence: &Evidence) -> Option<VerdictReason> {
    let held = evidence.concurrency_held?;
    (held < CONCURRENCY).then_some(())?;
    let message = format!(
        "on average {:.0} % of the concurrency was in flight; the client was late with next requests or got no connections",
        held * 1e2
    );
    reason(Suspect, "ConcurrencyNotHeld", message)
}

pub(super) fn backlog(evidence: &Evidence) -> Option<VerdictReason> {
    let backlog = &evidence.vitals.loops.backlog;
    let network = evidence.vitals.surroundings.network.unwrap_or_default();
    let share = |events: u64, of: u64| {
        if events < FEW {
            0.0
        } else {
            events as f64 / of.max(1) as f64
        }
    };
    let full = evidence.streaming && share(backlog.full_reads, backlog.reads) > FULL_READS;
    let closed = share(network.closed_windows, network.received_segments) > CLOSED_WINDOWS;
    (full || closed).then_some(())?;
    let message = format!(
        "answers waited in the client's sockets: {} of {} reads filled the buffer, and {} times a socket told its peer to stop; give the client more CPU or threads",
        backlog.full_reads, backlog.reads, network.closed_windows
    );
    reason(Suspect, "ReceiveBacklog", message)
}

pub(super) fn descriptors(evidence: &Evidence) -> Option<VerdictReason> {
    let vitals = &evidence.vitals;
    let refused = vitals.loops.descriptors_refused;
    let status = if refused > 0 {
        Invalid
    } else if vitals.open_files_needed > vitals.open_files_limit {
        Suspect
    } else {
        return None;
    };
    let message = format!(
        "{} open files are needed, {} allowed, {refused} connections could not be opened; raise the bound (ulimit -n)",
        vitals.open_files_needed, vitals.open_files_limit
    );
    reason(status, "FileDescriptorLimit", message)
}

pub(super) fn ports(evidence: &Evidence) -> Option<VerdictReason> {
    let vitals = &evidence.vitals;
    let ports = vitals.local_ports?;
    let (needed, refused) = (vitals.loops.most_connections, vitals.loops.ports_refused);
    let status = if refused > 0 {
        Invalid
    } else if needed > ports {
        Suspect
    } else {
        return None;
    };
    let message = format!(
        "{needed} connections to one server are needed, {ports} local ports are there, {refused} connections found none; \
         widen net.ipv4.ip_local_port_range or lower the load"
    );
    reason(status, "LocalPortLimit", message)
}
