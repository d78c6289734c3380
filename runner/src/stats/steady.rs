//! Figures of the steady part of a stage.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::Load,
    report::{Interval, IntervalMethod, NoSteadyState, SteadyState},
};

use super::{
    distribution, interval,
    latency::{
        request_latency, request_latency_scheduled, time_per_output_token, time_to_first_token,
        time_to_first_token_scheduled,
    },
    settle::{sent_within, steady_span},
    work::{self, Span},
};
use crate::{
    clock::{self, Nanos},
    record::Record,
};

/// Fewest and most parts of a window whose means make an interval: with more of them they depend on
/// each other, with fewer the interval is wide (B. Schmeiser, "Batch size effects in the analysis of
/// simulation output", Operations Research 30(3), 1982).
const BATCHES: (usize, usize) = (5, 20);

/// What a stage's steady state is found by, beside its records.
#[derive(Clone, Copy)]
pub struct SteadyContext<'a> {
    /// The load.
    pub load: &'a Load,
    /// Whether answers streamed.
    pub streaming: bool,
    /// When the stage's window began.
    pub window_start: Nanos,
    /// Length of a request's prompt in tokens.
    pub input_tokens: &'a dyn Fn(&Record) -> Option<u32>,
}

/// The figures of the steady part of a stage. Needs nothing but the records, in any order: those of
/// several clients may be put together, where their times are of one clock.
///
/// # Errors
/// Why there is no such part.
pub fn steady_state(
    records: &[Record],
    context: &SteadyContext<'_>,
) -> Result<SteadyState, NoSteadyState> {
    let (span, rule) = steady_span(records, context.load)?;
    let sent: Vec<&Record> = sent_within(records, span).collect();
    let answered: Vec<&Record> = sent.iter().copied().filter(|one| one.succeeded()).collect();
    let values = |latency: fn(&Record) -> Option<f64>| -> Vec<f64> {
        answered.iter().copied().filter_map(latency).collect()
    };
    let streamed = |latency| match context.streaming {
        true => values(latency),
        false => Vec::new(),
    };
    let mut intervals = rate_intervals(records, span, context);
    intervals.extend(percentile_intervals(
        streamed(time_to_first_token),
        values(request_latency),
        streamed(time_per_output_token),
    ));
    Ok(SteadyState {
        rule,
        start_seconds: clock::seconds(span.from.saturating_sub(context.window_start)),
        duration_seconds: span.seconds(),
        requests: answered.len() as u64,
        failed: (sent.len() - answered.len()) as u64,
        time_to_first_token: distribution(streamed(time_to_first_token)),
        time_to_first_token_scheduled: distribution(streamed(time_to_first_token_scheduled)),
        time_per_output_token: distribution(streamed(time_per_output_token)),
        request_latency: distribution(values(request_latency)),
        request_latency_scheduled: distribution(values(request_latency_scheduled)),
        throughput: work::throughput(records, span, context.input_tokens),
        intervals,
    })
}

/// Intervals of the rates by the method of batch means: the window in equal parts, each at least as
/// long as the mean request.
fn rate_intervals(
    records: &[Record],
    span: Span,
    context: &SteadyContext<'_>,
) -> BTreeMap<String, Interval> {
    let mean = distribution(
        sent_within(records, span)
            .filter_map(request_latency)
            .collect(),
    )
    .map_or(0.0, |latency| latency.mean);
    let parts = ((span.seconds() / mean.max(1e-9)) as usize).min(BATCHES.1);
    if parts < BATCHES.0 {
        return BTreeMap::new();
    }
    let width = (span.to - span.from) / parts as Nanos;
    let rates: Vec<_> = (0..parts as Nanos)
        .map(|part| {
            let from = span.from + width * part;
            let part = Span {
                from,
                to: from + width,
            };
            work::throughput(records, part, context.input_tokens)
        })
        .collect();
    let of = |rate: fn(&bakeoff_crds::report::Throughput) -> f64| {
        let values: Vec<f64> = rates.iter().map(rate).collect();
        interval::of_mean(&values, IntervalMethod::BatchMeans)
    };
    let named = [
        ("requestsPerSecond", of(|rates| rates.requests_per_second)),
        (
            "outputTokensPerSecond",
            of(|rates| rates.output_tokens_per_second),
        ),
    ];
    collect(named)
}

/// Intervals of the percentiles by which engines are compared, by order statistics. A percentile
/// that too few samples stand behind has none.
pub fn percentile_intervals(
    time_to_first_token: Vec<f64>,
    request_latency: Vec<f64>,
    time_per_output_token: Vec<f64>,
) -> BTreeMap<String, Interval> {
    let sorted = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (first, latency, per_token) = (
        sorted(time_to_first_token),
        sorted(request_latency),
        sorted(time_per_output_token),
    );
    let of = |values: &[f64], percentile: f64| {
        super::distribution::enough_for(percentile, values.len() as u64)
            .then(|| interval::of_quantile(values, percentile / 100.0))
            .flatten()
    };
    collect([
        ("timeToFirstTokenP50", of(&first, 50.0)),
        ("timeToFirstTokenP99", of(&first, 99.0)),
        ("requestLatencyP50", of(&latency, 50.0)),
        ("requestLatencyP99", of(&latency, 99.0)),
        ("timePerOutputTokenP50", of(&per_token, 50.0)),
    ])
}

fn collect<const N: usize>(named: [(&str, Option<Interval>); N]) -> BTreeMap<String, Interval> {
    named
        .into_iter()
        .filter_map(|(name, interval)| Some((name.to_owned(), interval?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::MILLISECOND,
        stats::settle::tests::{closed_load, waves},
    };

    fn found(records: &[Record], streaming: bool) -> SteadyState {
        let context = SteadyContext {
            load: &closed_load(5),
            streaming,
            window_start: 0,
            input_tokens: &|_| Some(7),
        };
        steady_state(records, &context).unwrap()
    }

    #[test]
    fn figures_of_the_window_by_hand() {
        // Five workers, twelve waves, from the second wave at 300 ms to the last sending at 1328.
        // Each request takes 100 ms and 11 tokens, the first of them after 10 ms.
        let steady = found(&waves(5, 12), true);
        assert_eq!(
            (steady.start_seconds, steady.duration_seconds),
            (0.3, 1.028)
        );
        // Eleven waves were sent in the window, all answered.
        assert_eq!((steady.requests, steady.failed), (55, 0));
        let first = steady.time_to_first_token.unwrap();
        assert!((first.p50.unwrap() - 0.010).abs() < 1e-9, "{first:?}");
        // Five workers, one request each 100 ms, but for the idle time of the first wave's workers
        // of up to 28 ms, and what lies beyond the last sending.
        let rate = steady.throughput.requests_per_second;
        assert!((48.5..=50.0).contains(&rate), "{rate}");
        let tokens = steady.throughput.output_tokens_per_second;
        assert!((tokens / rate - 11.0).abs() < 0.2, "{tokens}");
        let interval = steady.intervals["requestsPerSecond"];
        assert_eq!(interval.method, IntervalMethod::BatchMeans);
        assert!(interval.low < rate && rate < interval.high, "{interval:?}");
        assert!(steady.intervals.contains_key("timeToFirstTokenP50"));
        assert!(!steady.intervals.contains_key("timeToFirstTokenP99"));
    }

    #[test]
    fn failed_requests_are_told_and_have_no_latency() {
        let mut records = waves(5, 12);
        records[15].outcome =
            crate::record::Outcome::Failed(crate::record::FailureKind::Timeout, "late".into());
        let steady = found(&records, true);
        assert_eq!((steady.requests, steady.failed), (54, 1));
        assert_eq!(steady.request_latency.unwrap().count, 54);
    }

    #[test]
    fn without_streaming_there_is_no_first_token() {
        let steady = found(&waves(5, 12), false);
        assert_eq!(steady.time_to_first_token, None);
        assert!(steady.request_latency.is_some());
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        let mut records = waves(5, 12);
        let straight = found(&records, true);
        records.reverse();
        assert_eq!(found(&records, true), straight);
    }

    #[test]
    fn batch_means_hold_the_truth() {
        // Workers whose requests take independent random times: by renewal theory the rate is
        // workers over the mean time. Nineteen of twenty windows should hold it; parts of a window
        // depend on each other a little.
        use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
        use rand_distr::{Distribution, Gamma};
        let times = Gamma::new(4.0, 25.0).unwrap();
        let mut held = 0;
        let runs = 100;
        for seed in 0..runs {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut records = Vec::new();
            for _ in 0..8 {
                let mut at = 0.0_f64;
                while at < 10_000.0 {
                    let end = at + times.sample(&mut random);
                    let mut record =
                        crate::stats::settle::tests::request(None, at as u64, end as u64 + 1);
                    record.sent = Some((at * MILLISECOND as f64) as Nanos);
                    record.end = (end * MILLISECOND as f64) as Nanos;
                    record.last_content = Some(record.end);
                    record.first_content = record.sent;
                    records.push(record);
                    at = end;
                }
            }
            let context = SteadyContext {
                load: &closed_load(8),
                streaming: true,
                window_start: 0,
                input_tokens: &|_| None,
            };
            let steady = steady_state(&records, &context).unwrap();
            let interval = steady.intervals["requestsPerSecond"];
            held += u32::from((interval.low..=interval.high).contains(&80.0));
        }
        let share = f64::from(held) / runs as f64;
        assert!((0.89..=0.99).contains(&share), "{share}");
    }
}
