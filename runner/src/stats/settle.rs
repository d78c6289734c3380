//! Where in a stage the load was steady: the rule, on nothing but records.

use bakeoff_crds::{
    plan::{Load, LoadMode},
    report::{NoSteadyReason, NoSteadyState, SteadyRule},
};

use super::{
    latency::{request_latency, time_to_first_token},
    mser, quantile,
    work::{Span, begun, in_flight},
};
use crate::{
    clock::{self, Nanos},
    record::Record,
};

/// Fewest requests that must have been sent within the window.
const LEAST_REQUESTS: usize = 20;
/// Shortest window, in median request latencies.
const LEAST_LATENCIES: f64 = 2.0;
/// Fewest and most parts of an open loop's stage in which the number in flight is looked at.
const PARTS: (usize, usize) = (50, 500);
/// Arrivals of one such part on average: enough that the rhythm of the arrivals does not show.
const ARRIVALS_OF_A_PART: usize = 5;
/// Share by which the mean of a stage's beginning must differ from that of the rest to be left off.
const NOTICEABLE: f64 = 0.05;
/// Share of all arrivals by which the two halves of a stage may differ.
const UNEVEN: f64 = 0.2;
/// Share of the arrivals by which answers must fall behind for an open loop to be saturated.
const SHORTFALL: f64 = 0.05;
/// Standard deviations that a difference must exceed to be more than chance.
const DEVIATIONS: f64 = 3.0;
/// Factor by which latencies must grow from the second to the last quarter of the arrivals.
const GROWTH: f64 = 1.25;

/// Finds the window in which the load was steady, and says by which rule.
///
/// # Errors
/// Why there is none.
pub fn steady_span(records: &[Record], load: &Load) -> Result<(Span, SteadyRule), NoSteadyState> {
    let found = match load.mode {
        LoadMode::Closed => closed(records, load)?,
        LoadMode::Open => open(records)?,
    };
    long_enough(records, found.0)?;
    Ok(found)
}

fn none<T>(reason: NoSteadyReason, message: String) -> Result<T, NoSteadyState> {
    Err(NoSteadyState { reason, message })
}

/// From when the number in flight first reached its target to when the last request was sent: from
/// then on it falls. The requests of the first wave met an empty engine all at once; MSER-5 on the
/// times to first token, in the order of sending, says how long that shows.
fn closed(records: &[Record], load: &Load) -> Result<(Span, SteadyRule), NoSteadyState> {
    let target = load.concurrency.unwrap_or(1) as usize;
    let Some(reached) = target_reached(records, target) else {
        return none(
            NoSteadyReason::TargetNotReached,
            format!("{target} requests were never in flight at the same time"),
        );
    };
    let to = records.iter().map(begun).max().unwrap_or(reached);
    let mut waits: Vec<(Nanos, f64)> = records
        .iter()
        .filter(|record| record.succeeded())
        .filter_map(|record| {
            let wait = time_to_first_token(record).or_else(|| request_latency(record))?;
            Some((begun(record), wait))
        })
        .collect();
    waits.sort_unstable_by_key(|(begun, _)| *begun);
    let series: Vec<f64> = waits.iter().map(|(_, wait)| *wait).collect();
    let left_off = ramp(&series);
    let from = match waits.get(left_off) {
        Some((begun, _)) if left_off > 0 => reached.max(*begun),
        _ => reached,
    };
    Ok((Span { from, to }, SteadyRule::InFlightAtTarget))
}

/// How many values of a series are still marked by its beginning: MSER-5, unless what it would leave
/// off hardly differs from the rest.
fn ramp(series: &[f64]) -> usize {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let left_off = mser::truncation(series);
    let (ramp, rest) = series.split_at(left_off.min(series.len()));
    let (ramp, rest) = (mean(ramp), mean(rest));
    if (ramp - rest).abs() > NOTICEABLE * rest.abs() {
        left_off
    } else {
        0
    }
}

/// When so many requests were first in flight. An end and a beginning at the same time follow each
/// other in that order.
fn target_reached(records: &[Record], target: usize) -> Option<Nanos> {
    let mut changes: Vec<(Nanos, bool)> = records
        .iter()
        .flat_map(|record| [(begun(record), true), (record.end, false)])
        .collect();
    changes.sort_unstable();
    let mut level = 0_usize;
    for (at, begins) in changes {
        level = if begins {
            level + 1
        } else {
            level.saturating_sub(1)
        };
        if level >= target {
            return Some(at);
        }
    }
    None
}

/// From when the number in flight has settled, by MSER-5 on its means over equal parts of the
/// stage, to when the last request was due.
fn open(records: &[Record]) -> Result<(Span, SteadyRule), NoSteadyState> {
    let due = || records.iter().filter_map(|record| record.due);
    let (Some(first), Some(last)) = (due().min(), due().max()) else {
        return none(NoSteadyReason::TooShort, "no request was sent".to_owned());
    };
    let whole = Span {
        from: first,
        to: last,
    };
    if let Some(message) = uneven(due(), whole) {
        return none(NoSteadyReason::UnsteadyLoad, message);
    }
    if let Some(message) = saturated(records, whole) {
        return none(NoSteadyReason::Saturated, message);
    }
    let parts = (records.len() / ARRIVALS_OF_A_PART).clamp(PARTS.0, PARTS.1);
    let left_off = ramp(&in_flight(records, whole, parts));
    let ramp = (last - first) as f64 * left_off as f64 / parts as f64;
    let span = Span {
        from: first + ramp as Nanos,
        to: last,
    };
    Ok((span, SteadyRule::InFlightSettled))
}

/// Whether the arrivals themselves were not even, as in a burst, a ramp or a trace of a day, and
/// what of that was seen: their halves differ by more than a fifth of all, and by more than three
/// standard deviations of Poisson arrivals.
fn uneven(due: impl Iterator<Item = Nanos>, whole: Span) -> Option<String> {
    let half = whole.from + (whole.to - whole.from) / 2;
    let (early, late) = due.fold((0_u64, 0_u64), |(early, late), due| match due <= half {
        true => (early + 1, late),
        false => (early, late + 1),
    });
    if whole.from == whole.to && early > 1 {
        return Some("all requests came at once".to_owned());
    }
    let (all, difference) = ((early + late) as f64, early.abs_diff(late) as f64);
    let chance = DEVIATIONS * all.sqrt();
    (difference > (UNEVEN * all).max(chance)).then(|| {
        format!("{early} requests were due in the first half of the stage and {late} in the second")
    })
}

/// Whether requests came faster than they were answered, and what of that was seen. Two things must
/// come together: in the second half of the arrivals fewer requests ended than came, by more than
/// the number in flight varies by chance (it has a Poisson distribution where many arrive
/// independently); and latencies from the due time grew from the second quarter to the last, which
/// they do not where answers only take long.
fn saturated(records: &[Record], whole: Span) -> Option<String> {
    let quarter = |number: Nanos| whole.from + (whole.to - whole.from) / 4 * number;
    let half = quarter(2);
    let due_within = |from: Nanos, to: Nanos| {
        records
            .iter()
            .filter(move |record| record.due.is_some_and(|due| (from..=to).contains(&due)))
    };
    let came = due_within(half, whole.to).count() as f64;
    let ended = records
        .iter()
        .filter(|record| (half..=whole.to).contains(&record.end))
        .count() as f64;
    let before = due_within(whole.from, half)
        .filter(|record| record.end > half)
        .count() as f64;
    let chance = DEVIATIONS * (2.0 * before.max(1.0)).sqrt();
    if came - ended <= (SHORTFALL * came).max(chance) {
        return None;
    }
    // A failed request waited at least until it failed.
    let median = |from: Nanos, to: Nanos| {
        let mut waits: Vec<f64> = due_within(from, to)
            .filter_map(|record| record.end.checked_sub(record.due?))
            .map(clock::seconds)
            .collect();
        waits.sort_unstable_by(f64::total_cmp);
        quantile(&waits, 0.5)
    };
    let (early, late) = (median(quarter(1), half)?, median(quarter(3), whole.to)?);
    (late > GROWTH * early).then(|| {
        format!(
            "{came} requests came in the second half of the stage and {ended} ended; the median latency from the due time grew from {early:.3} s to {late:.3} s, and would have grown on"
        )
    })
}

fn long_enough(records: &[Record], span: Span) -> Result<(), NoSteadyState> {
    let mut latencies: Vec<f64> = sent_within(records, span)
        .filter(|record| record.succeeded())
        .filter_map(request_latency)
        .collect();
    latencies.sort_unstable_by(f64::total_cmp);
    let answered = latencies.len();
    if answered < LEAST_REQUESTS {
        let message = format!(
            "{answered} requests lie between ramp and tail, fewer than {LEAST_REQUESTS}; give the stage more requests"
        );
        return none(NoSteadyReason::TooShort, message);
    }
    let median = quantile(&latencies, 0.5).unwrap_or_default();
    let seconds = span.seconds();
    if seconds < LEAST_LATENCIES * median {
        let message = format!(
            "{seconds:.3} s lie between ramp and tail, less than {LEAST_LATENCIES} median request latencies of {median:.3} s; give the stage more requests or time"
        );
        return none(NoSteadyReason::TooShort, message);
    }
    Ok(())
}

/// Requests that were sent within a window, whatever became of them. The last one of a stage, at
/// the window's end, is one of them.
pub(super) fn sent_within(records: &[Record], span: Span) -> impl Iterator<Item = &Record> {
    records
        .iter()
        .filter(move |record| (span.from..=span.to).contains(&begun(record)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    /// A request by its times in milliseconds; its first content comes at a tenth of its way.
    pub(in crate::stats) fn request(due: Option<u64>, sent: u64, end: u64) -> Record {
        let due = due.map(|due| due * MILLISECOND);
        let mut record = Record::new(0, 0, due, sent * MILLISECOND);
        record.sent = Some(sent * MILLISECOND);
        record.first_content = Some((sent + (end - sent) / 10) * MILLISECOND);
        record.last_content = Some(end * MILLISECOND);
        record.end = end * MILLISECOND;
        record.chunks = 10;
        record.output_tokens = Some(11);
        record
    }

    pub(in crate::stats) fn closed_load(concurrency: u32) -> Load {
        Load {
            concurrency: Some(concurrency),
            ..Load::default()
        }
    }

    /// Workers that send one request after another; each of the first wave takes three times as
    /// long.
    pub(in crate::stats) fn waves(workers: u64, waves: u64) -> Vec<Record> {
        (0..workers)
            .flat_map(|worker| {
                (0..waves).map(move |wave| {
                    let at = |wave: u64| match wave {
                        0 => worker,
                        wave => 300 + 100 * (wave - 1) + worker * 7,
                    };
                    request(None, at(wave), at(wave + 1))
                })
            })
            .collect()
    }

    fn open_load() -> Load {
        Load {
            mode: LoadMode::Open,
            rate: Some(10.0),
            ..Load::default()
        }
    }

    /// Ten arrivals a second for a minute to a server that takes so long for each, one by one or
    /// all at once.
    fn arrivals(service: u64, one_by_one: bool) -> Vec<Record> {
        let mut free = 0;
        (0..600)
            .map(|number| {
                let due = number * 100;
                let begin = if one_by_one { due.max(free) } else { due };
                free = begin + service;
                request(Some(due), due, free)
            })
            .collect()
    }

    fn milliseconds(span: Span) -> (u64, u64) {
        (span.from / MILLISECOND, span.to / MILLISECOND)
    }

    #[test]
    fn a_closed_loop_is_steady_between_its_first_wave_and_its_last_request() {
        let (span, rule) = steady_span(&waves(5, 12), &closed_load(5)).unwrap();
        assert_eq!(rule, SteadyRule::InFlightAtTarget);
        // The first wave, five requests, is left off: the next was sent at 300. The last one was
        // sent at 300 + 100 * 10 + 4 * 7.
        assert_eq!(milliseconds(span), (300, 1328));
    }

    #[test]
    fn without_a_transient_it_is_steady_from_the_moment_of_the_target() {
        // Two workers, the second of which begins a second late.
        let records: Vec<Record> = (0..40)
            .map(|number| request(None, number * 100, number * 100 + 100))
            .chain((0..30).map(|number| request(None, 1000 + number * 100, 1100 + number * 100)))
            .collect();
        let (span, _) = steady_span(&records, &closed_load(2)).unwrap();
        assert_eq!(milliseconds(span), (1000, 3900));
    }

    #[test]
    fn what_never_was_or_hardly_was_steady_is_said_to_be_so() {
        let reason =
            |records: &[Record], load: &Load| steady_span(records, load).unwrap_err().reason;
        let burst = (0..100).map(|_| request(Some(7), 7, 50)).collect();
        // A ramp from 0 to 20 a second within a minute.
        let ramp = (0..600)
            .map(|number| {
                let due = (f64::from(number) / 600.0).sqrt() * 60_000.0;
                request(Some(due as u64), due as u64, due as u64 + 10)
            })
            .collect();
        for (records, load, expected) in [
            (
                waves(5, 12),
                closed_load(6),
                NoSteadyReason::TargetNotReached,
            ),
            // Two waves of ten: ten requests are left.
            (waves(10, 2), closed_load(10), NoSteadyReason::TooShort),
            (vec![], closed_load(1), NoSteadyReason::TargetNotReached),
            (vec![], open_load(), NoSteadyReason::TooShort),
            (burst, open_load(), NoSteadyReason::UnsteadyLoad),
            (ramp, open_load(), NoSteadyReason::UnsteadyLoad),
            // A second's service for ten a second.
            (arrivals(1000, true), open_load(), NoSteadyReason::Saturated),
            // A tenth too slow.
            (arrivals(125, true), open_load(), NoSteadyReason::Saturated),
            // Answers that take longer than all arrivals are just slow.
            (
                arrivals(50_000, false),
                open_load(),
                NoSteadyReason::TooShort,
            ),
        ] {
            let records_seen = records.len();
            assert_eq!(reason(&records, &load), expected, "{records_seen}");
        }
    }

    #[test]
    fn an_open_loop_is_steady_once_the_number_in_flight_has_settled() {
        // Nothing to settle: one in flight now and then.
        let (span, rule) = steady_span(&arrivals(50, true), &open_load()).unwrap();
        assert_eq!(rule, SteadyRule::InFlightSettled);
        assert_eq!(milliseconds(span), (0, 59_900));
        // Answers take ten seconds, so it takes as long until a hundred are in flight. A part of
        // the stage is 59.9 s / 120, and five parts are left off together.
        let (span, _) = steady_span(&arrivals(10_000, false), &open_load()).unwrap();
        let (from, to) = milliseconds(span);
        assert!((9_900..=12_600).contains(&from), "{from}");
        assert_eq!(to, 59_900);
    }

    #[test]
    fn a_busy_engine_that_keeps_up_is_not_saturated() {
        // Poisson arrivals at 80 % of what the engine can do, over many seeds.
        use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
        use rand_distr::{Distribution, Exp};
        let (mut wrong, mut missed) = (0, 0);
        for seed in 0..60 {
            let run = |service: f64| {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let (gaps, services) = (Exp::new(0.01).unwrap(), Exp::new(1.0 / service).unwrap());
                let (mut due, mut free) = (0.0_f64, 0.0_f64);
                let records: Vec<Record> = (0..1000)
                    .map(|_| {
                        due += gaps.sample(&mut random);
                        free = free.max(due) + services.sample(&mut random);
                        request(Some(due as u64), due as u64, free as u64 + 10)
                    })
                    .collect();
                matches!(
                    steady_span(&records, &open_load()),
                    Err(NoSteadyState {
                        reason: NoSteadyReason::Saturated,
                        ..
                    })
                )
            };
            wrong += u32::from(run(80.0));
            missed += u32::from(!run(125.0));
        }
        assert!(wrong <= 2, "{wrong} of 60 taken for saturated");
        assert!(missed <= 4, "{missed} of 60 not seen");
    }
}
