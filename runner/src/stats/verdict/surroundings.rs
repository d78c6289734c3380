//! Rules on what happened around the client: CPU that it did not get, packets that were lost.

use bakeoff_crds::{report::VerdictReason, run::status::VerdictStatus::Suspect};

use super::{Evidence, grade, reason};
use crate::clock;

/// Share of the window for which the client was throttled: Suspect, Invalid. A period is 100 ms long,
/// so one per cent is a pause of tens of milliseconds every few seconds.
const THROTTLED: (f64, f64) = (0.01, 0.1);
/// Share of their time for which event loops could run but waited for a CPU. A client on its own CPU
/// waits for kernel threads alone, well under a hundredth. Suspect at most: waits that are long show
/// as stalls too, and those make a stage Invalid.
const RUN_QUEUE: f64 = 0.05;
/// Share of the machine's CPU time that the hypervisor gave to others.
const STOLEN: f64 = 0.02;
/// Share of segments that were lost on the way. A data centre's network loses far less than one in a
/// thousand, and each costs an answer a round trip at least.
const LOST: f64 = 0.01;
/// Fewer lost segments than this show nothing.
const FEW: u64 = 10;
/// Step of the wall clock, in seconds.
const STEP: f64 = 0.5;

pub(super) fn throttled(evidence: &Evidence) -> Option<VerdictReason> {
    let surroundings = &evidence.vitals.surroundings;
    let throttled = clock::seconds(surroundings.throttled?);
    let status = grade(throttled / evidence.window_seconds.max(1e-9), THROTTLED)?;
    let limit = surroundings
        .cpu_limit
        .map(|limit| format!(" of {limit} CPUs"))
        .unwrap_or_default();
    let message = format!(
        "the client's cgroup was throttled for {throttled:.3} s of {:.3} s; raise its CPU limit{limit}",
        evidence.window_seconds
    );
    reason(status, "ClientThrottled", message)
}

pub(super) fn run_queue(evidence: &Evidence) -> Option<VerdictReason> {
    let loops = &evidence.vitals.loops;
    let (waited, span) = (
        clock::seconds(loops.run_queue_wait?),
        clock::seconds(loops.span),
    );
    (waited > RUN_QUEUE * span).then_some(())?;
    let message = format!(
        "the client waited for a CPU for {waited:.3} s of {span:.3} s while others were on it; give it a CPU of its own",
    );
    reason(Suspect, "CpuContention", message)
}

pub(super) fn steal(evidence: &Evidence) -> Option<VerdictReason> {
    let stolen = evidence.vitals.surroundings.steal_share?;
    (stolen > STOLEN).then_some(())?;
    let message = format!(
        "the hypervisor gave {:.1} % of the client machine's CPU time to others; use a machine that is not oversubscribed",
        stolen * 1e2
    );
    reason(Suspect, "CpuStolen", message)
}

pub(super) fn packets(evidence: &Evidence) -> Option<VerdictReason> {
    let network = evidence.vitals.surroundings.network?;
    let lost = [
        (network.retransmitted_segments, network.sent_segments),
        (network.out_of_order_segments, network.received_segments),
        (network.dropped_packets, network.received_segments),
    ];
    lost.iter()
        .any(|&(lost, of)| lost >= FEW && lost as f64 > LOST * of as f64)
        .then_some(())?;
    let message = format!(
        "{} of {} segments were sent again, {} of {} came out of order, and {} packets were dropped on arrival; check the network between client and engine",
        network.retransmitted_segments,
        network.sent_segments,
        network.out_of_order_segments,
        network.received_segments,
        network.dropped_packets
    );
    reason(Suspect, "PacketLoss", message)
}

/// Latencies stand, being by the monotonic clock; but the window's beginning and what Prometheus was
/// asked for are by the wall clock.
pub(super) fn wall_clock(evidence: &Evidence) -> Option<VerdictReason> {
    let step = evidence.vitals.surroundings.wall_clock_step as f64 / 1e9;
    (step.abs() > STEP).then_some(())?;
    let message = format!(
        "the client's wall clock was set by {step:.3} s during the stage; latencies stand, but engine metrics may be of another window; keep the clock synchronised"
    );
    reason(Suspect, "WallClockSet", message)
}
