//! By how much one engine is better than another, and how sure that is.

use bakeoff_crds::report::{Difference, Interval, IntervalMethod};

use crate::{
    report::{
        measure::Better,
        spread::{Sample, Spread, round_means},
    },
    stats::interval,
};

/// Least difference that single measurements can show: engines differ by a few per cent from one run
/// to the next, and without repetitions nothing tells by how many.
const LEAST_SINGLE: f64 = 0.05;

/// The difference between two engines by their samples, as a ratio: intervals are of the mean
/// difference of logarithms.
///
/// Where both were measured in two rounds or more that they share, rounds are paired, since the
/// engines of a round share its drift and every second round runs in reverse. Else, where both were
/// measured more than once, the samples are taken as independent (Welch). Else each engine's own
/// interval is all there is. `None` where a figure is not positive.
pub fn difference(first: &[Sample], second: &[Sample], better: Better) -> Option<Difference> {
    let positive =
        |samples: &[Sample]| !samples.is_empty() && samples.iter().all(|sample| sample.value > 0.0);
    if !positive(first) || !positive(second) {
        return None;
    }
    let (ratio, interval) = paired(first, second)
        .or_else(|| independent(first, second))
        .unwrap_or_else(|| single(first, second));
    // As a share of the second's figure, positive where the first is better.
    let share = |logarithm: f64| match better {
        Better::Higher => logarithm.exp() - 1.0,
        Better::Lower => 1.0 - logarithm.exp(),
    };
    let ends = interval.map(|interval| {
        let (one, other) = (share(interval.low), share(interval.high));
        (one.min(other), one.max(other))
    });
    let value = share(ratio);
    let method = interval.map(|interval| interval.method);
    let apart = ends.is_none_or(|(low, high)| low > 0.0 || high < 0.0);
    let repeated = matches!(
        method,
        Some(IntervalMethod::Rounds | IntervalMethod::Repetitions)
    );
    Some(Difference {
        value,
        low: ends.map(|(low, _)| low),
        high: ends.map(|(_, high)| high),
        method,
        shown: apart && (repeated || value.abs() >= LEAST_SINGLE),
    })
}

type Found = (f64, Option<Interval>);

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn paired(first: &[Sample], second: &[Sample]) -> Option<Found> {
    let (ours, theirs) = (round_means(first), round_means(second));
    let differences: Vec<f64> = ours
        .iter()
        .filter_map(|(round, value)| Some(value.ln() - theirs.get(round)?.ln()))
        .collect();
    let interval = interval::of_mean(&differences, IntervalMethod::Rounds)?;
    Some((mean(&differences), Some(interval)))
}

fn independent(first: &[Sample], second: &[Sample]) -> Option<Found> {
    let logarithms =
        |samples: &[Sample]| -> Vec<f64> { samples.iter().map(|one| one.value.ln()).collect() };
    let (ours, theirs) = (logarithms(first), logarithms(second));
    let interval = interval::of_difference(&ours, &theirs, IntervalMethod::Repetitions)?;
    Some((mean(&ours) - mean(&theirs), Some(interval)))
}

/// From each engine's own interval, where both have one; the half lengths add as standard errors do.
fn single(first: &[Sample], second: &[Sample]) -> Found {
    let logarithm =
        |samples: &[Sample]| mean(&samples.iter().map(|one| one.value.ln()).collect::<Vec<_>>());
    let ratio = logarithm(first) - logarithm(second);
    let interval = |samples: &[Sample]| Spread::of(samples).and_then(|spread| spread.interval);
    let half = |interval: Interval| {
        (interval.low > 0.0).then(|| (interval.high.ln() - interval.low.ln()) / 2.0)
    };
    let (Some(ours), Some(theirs)) = (interval(first), interval(second)) else {
        return (ratio, None);
    };
    // The method of the engine with the single measurement: what is not in it is not in the whole.
    let method = if first.len() > 1 {
        theirs.method
    } else {
        ours.method
    };
    let interval = half(ours).zip(half(theirs)).map(|(ours, theirs)| {
        let half = ours.hypot(theirs);
        Interval {
            low: ratio - half,
            high: ratio + half,
            method,
        }
    });
    (ratio, interval)
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use rand_distr::{Distribution, Normal};

    use super::*;

    fn sample(round: u32, value: f64) -> Sample {
        Sample {
            round,
            value,
            interval: None,
        }
    }

    fn rounds(values: &[f64]) -> Vec<Sample> {
        (1..)
            .zip(values)
            .map(|(round, value)| sample(round, *value))
            .collect()
    }

    fn repetitions(values: &[f64]) -> Vec<Sample> {
        values.iter().map(|value| sample(1, *value)).collect()
    }

    fn single(value: f64, share: f64) -> Vec<Sample> {
        vec![Sample {
            interval: Some(Interval {
                low: value * (1.0 - share),
                high: value * (1.0 + share),
                method: IntervalMethod::BatchMeans,
            }),
            ..sample(1, value)
        }]
    }

    #[test]
    fn rounds_are_paired() {
        // Both drift by a tenth a round; the ratio is 1.2 but for half a per cent.
        let first = rounds(&[120.0, 132.66, 144.0]);
        let second = rounds(&[100.0, 110.0, 120.6]);
        let found = difference(&first, &second, Better::Higher).unwrap();
        // Logarithms 0.18232, 0.18731, 0.17733; mean 0.18232, deviation 0.00499, and
        // 4.303 * 0.00499 / sqrt(3) = 0.01240.
        assert!((found.value - 0.2).abs() < 1e-3, "{found:?}");
        assert!((found.low.unwrap() - 0.1852).abs() < 1e-3, "{found:?}");
        assert!((found.high.unwrap() - 0.2150).abs() < 1e-3, "{found:?}");
        assert_eq!(
            (found.method, found.shown),
            (Some(IntervalMethod::Rounds), true)
        );
        // The same without pairs shows nothing: the drift hides it.
        let found = difference(
            &repetitions(&[120.0, 132.66, 144.0]),
            &repetitions(&[100.0, 110.0, 120.6]),
            Better::Higher,
        )
        .unwrap();
        assert_eq!(
            (found.method, found.shown),
            (Some(IntervalMethod::Repetitions), false)
        );
    }

    #[test]
    fn less_latency_is_better() {
        let found = difference(
            &repetitions(&[80.0, 80.2, 79.8]),
            &repetitions(&[100.0, 100.1, 99.9]),
            Better::Lower,
        )
        .unwrap();
        assert!((found.value - 0.2).abs() < 1e-3, "{found:?}");
        assert!(
            found.low.unwrap() > 0.19 && found.high.unwrap() < 0.21,
            "{found:?}"
        );
        assert!(found.shown);
    }

    #[test]
    fn single_measurements_need_an_interval_and_five_per_cent() {
        for (first, second, shown, has_interval) in [
            (single(110.0, 0.02), single(100.0, 0.02), true, true),
            // Apart, but within what differs from run to run.
            (single(103.0, 0.005), single(100.0, 0.005), false, true),
            // Far apart, but each varies much.
            (single(110.0, 0.1), single(100.0, 0.1), false, true),
            // Nothing is known.
            (rounds(&[110.0]), rounds(&[100.0]), true, false),
            (rounds(&[103.0]), rounds(&[100.0]), false, false),
            // One of them repeated.
            (
                repetitions(&[109.0, 110.0, 111.0]),
                single(100.0, 0.02),
                true,
                true,
            ),
        ] {
            let found = difference(&first, &second, Better::Higher).unwrap();
            assert_eq!(
                (found.shown, found.low.is_some()),
                (shown, has_interval),
                "{found:?}"
            );
        }
        let found = difference(&single(110.0, 0.02), &single(100.0, 0.02), Better::Higher).unwrap();
        // ln 1.1 = 0.0953; each half length is ln(1.02 / 0.98) / 2 = 0.0200, together 0.0283.
        assert!((found.low.unwrap() - ((0.0953_f64 - 0.0283).exp() - 1.0)).abs() < 1e-3);
        assert_eq!(found.method, Some(IntervalMethod::BatchMeans));
    }

    #[test]
    fn nothing_is_said_of_what_is_not_positive() {
        assert_eq!(
            difference(&rounds(&[1.0]), &rounds(&[0.0]), Better::Higher),
            None
        );
        assert_eq!(difference(&[], &rounds(&[1.0]), Better::Higher), None);
    }

    /// Two engines with a known ratio, over rounds that share a drift: of 2,000 runs 95 % hold it.
    #[test]
    fn intervals_hold_a_known_ratio_nineteen_times_of_twenty() {
        for (rounds, repetitions) in [(2, 1), (3, 2), (5, 1), (1, 3), (1, 5)] {
            let mut random = ChaCha8Rng::seed_from_u64(11);
            let normal = |deviation: f64| Normal::new(0.0, deviation).unwrap();
            let (drift, life, noise) = (normal(0.1), normal(0.02), normal(0.01));
            let runs = 2000;
            let mut held = 0;
            for _ in 0..runs {
                let (mut first, mut second) = (Vec::new(), Vec::new());
                for round in 1..=rounds {
                    // One round has no pairs: what the engines' lives add is not in its intervals.
                    let shared = if rounds > 1 {
                        drift.sample(&mut random)
                    } else {
                        0.0
                    };
                    let lives = [(&mut first, 1.12_f64.ln()), (&mut second, 0.0)];
                    for (samples, truth) in lives {
                        let own = if rounds > 1 {
                            life.sample(&mut random)
                        } else {
                            0.0
                        };
                        for _ in 0..repetitions {
                            let value = 5.0 + truth + shared + own + noise.sample(&mut random);
                            samples.push(sample(round, value.exp()));
                        }
                    }
                }
                let found = difference(&first, &second, Better::Higher).unwrap();
                held += u32::from(found.low.unwrap() <= 0.12 && 0.12 <= found.high.unwrap());
            }
            let share = f64::from(held) / f64::from(runs);
            // Welch's degrees of freedom are rounded down, so its intervals are rather too wide.
            assert!(
                (0.935..=0.985).contains(&share),
                "{rounds} x {repetitions}: {share}"
            );
        }
    }
}
