//! From the shards' parts to one report of the stage. Pure.
//!
//! Requests and histograms are laid together without loss, so the report is the one that a single
//! process with the same requests would have given; beside it stands what each shard saw of itself.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::{Plan, PlannedEngine},
    report::{ClientReport, EngineMetric, ShardReport, StageReport, Verdict, VerdictReason},
    run::status::VerdictStatus,
};

use super::result::{Part, join};
use crate::{
    drive::Driven,
    measure::{Figures, attach, cache, lengths, stage_context},
    prompt::Prompt,
    stats::{
        stage::{StageContext, report},
        verdict::Rules,
    },
};

/// Reason of the verdict where a shard left no result.
pub const SHARD_LOST: &str = "ShardLost";
/// Bound on the clocks' offset over which a stage is Suspect, in seconds: the greatest delay behind
/// its schedule that is allowed to a client.
const CLOCK_OFFSET_BOUND: f64 = 0.010;
/// Delay of a shard's start over which a stage is Suspect, in seconds.
const LATE_START: f64 = 0.010;

/// A stage of several shards.
pub struct Merged {
    /// Its report.
    pub report: StageReport,
    /// All requests, as if one process had sent them.
    pub driven: Driven,
}

/// The report of an attempt at a stage of an engine of this plan, by what its shards stored. `None`
/// where no shard stored anything.
pub fn merge_parts(
    plan: &Plan,
    engine: &PlannedEngine,
    prompts: &[Prompt],
    parts: &[Part],
) -> Option<Merged> {
    let first = &parts.first()?.result;
    let lengths = lengths(plan, prompts);
    let context = stage_context(plan, engine, (&first.stage, first.place), &lengths, None);
    let mut merged = merge(&context, parts, first.of)?;
    attach(plan, &mut merged.report, figures(parts));
    if let Some(cache) = parts.iter().find_map(|part| part.result.cache.clone()) {
        cache::judge(&mut merged.report, cache, prompts);
    }
    Some(merged)
}

/// The report of a stage that `of` shards were to drive. `None` where none of them left a result.
pub fn merge(context: &StageContext<'_>, parts: &[Part], of: u32) -> Option<Merged> {
    let driven = join(parts, of)?;
    let on_whole = StageContext {
        rules: Rules::OnRequests,
        ..context.clone()
    };
    let mut whole = report(&on_whole, &driven);
    let own: Vec<(u32, StageReport)> = parts
        .iter()
        .map(|part| {
            let of_one = StageContext {
                rules: Rules::OnClient,
                calibration: part.result.calibration,
                ..context.clone()
            };
            (part.result.index, report(&of_one, &part.driven()))
        })
        .collect();
    whole.client = client(&own);
    whole.shards = shards(parts, &own, of);
    let reasons = reasons(std::mem::take(&mut whole.verdict), &whole.shards, &own);
    whole.verdict = Verdict::of(reasons);
    Some(Merged {
        report: whole,
        driven,
    })
}

/// What shard 0 read of the engine, or whoever took its place.
fn figures(parts: &[Part]) -> Figures {
    let first = |of: fn(&Part) -> &BTreeMap<String, EngineMetric>| {
        let mut found = parts.iter().map(of).filter(|metrics| !metrics.is_empty());
        found.next().cloned().unwrap_or_default()
    };
    Figures {
        engine: first(|part| &part.result.engine_metrics),
        resources: first(|part| &part.result.resources),
        accelerators: parts
            .iter()
            .map(|part| &part.result.accelerators)
            .find(|found| !found.is_empty())
            .cloned()
            .unwrap_or_default(),
    }
}

/// All clients as one: what each saw of itself added up, or the worst of it.
fn client(own: &[(u32, StageReport)]) -> ClientReport {
    let mut clients = own.iter().map(|(_, report)| &report.client);
    let mut all = clients.next().cloned().unwrap_or_default();
    clients.for_each(|client| all.add(client));
    all
}

fn shards(parts: &[Part], own: &[(u32, StageReport)], of: u32) -> Vec<ShardReport> {
    (0..of)
        .map(|index| {
            let part = parts.iter().find(|part| part.result.index == index);
            let report = own.iter().find(|(of, _)| *of == index);
            match (part, report) {
                (Some(part), Some((_, report))) => ShardReport {
                    index,
                    lost: false,
                    requests: report.requests.clone(),
                    clock_offset_bound_seconds: part.result.clock_offset_bound_seconds,
                    late_start_seconds: crate::clock::seconds(part.result.vitals.loops.late_start),
                    schedule_delay_p99: report.schedule_delay.as_ref().and_then(|delay| delay.p99),
                    longest_stall_seconds: report.client.longest_stall_seconds,
                    cpu_seconds: report.client.cpu_seconds,
                    peak_rss_bytes: report.client.peak_rss_bytes,
                },
                _ => ShardReport {
                    index,
                    lost: true,
                    ..ShardReport::default()
                },
            }
        })
        .collect()
}

/// What speaks against the stage: what its requests show on the whole, what each shard saw of
/// itself, and how well the shards kept together.
fn reasons(
    whole: Verdict,
    shards: &[ShardReport],
    own: &[(u32, StageReport)],
) -> Vec<VerdictReason> {
    let mut reasons: Vec<VerdictReason> = shards
        .iter()
        .filter_map(|shard| kept_together(shard, shards.len()))
        .collect();
    // A slow client shows in its own figures, where the others' do not hide it.
    let mut of_clients: Vec<VerdictReason> = Vec::new();
    for (index, report) in own {
        for reason in &report.verdict.reasons {
            let named = VerdictReason {
                message: format!("shard {index}: {}", reason.message),
                ..reason.clone()
            };
            match of_clients
                .iter_mut()
                .find(|known| known.reason == named.reason)
            {
                Some(known) if named.status > known.status => *known = named,
                Some(_) => {}
                None => of_clients.push(named),
            }
        }
    }
    reasons.extend(of_clients);
    reasons.extend(whole.reasons);
    reasons
}

fn kept_together(shard: &ShardReport, of: usize) -> Option<VerdictReason> {
    let index = shard.index;
    let (reason, status, message) = if shard.lost {
        let message = format!(
            "shard {index} of {of} left no result of this stage; the figures are of the others"
        );
        (SHARD_LOST, VerdictStatus::Invalid, message)
    } else if shard.late_start_seconds > LATE_START {
        let message = format!(
            "shard {index} of {of} began {:.1} ms after the others; give it a CPU of its own",
            shard.late_start_seconds * 1e3
        );
        ("ShardLate", VerdictStatus::Suspect, message)
    } else if shard.clock_offset_bound_seconds > CLOCK_OFFSET_BOUND {
        let message = format!(
            "the clock of shard {index} of {of} is known to {:.1} ms only, so that its requests may \
             have come that much early or late; the network between the runner pods is slow",
            shard.clock_offset_bound_seconds * 1e3
        );
        ("ClockOffset", VerdictStatus::Suspect, message)
    } else {
        return None;
    };
    Some(VerdictReason {
        reason: reason.into(),
        message,
        status,
    })
}

#[cfg(test)]
mod tests;
