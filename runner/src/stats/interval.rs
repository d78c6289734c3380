//! Confidence intervals of 95 %. Pure functions of values.

use bakeoff_crds::report::{Interval, IntervalMethod};

/// The normal distribution's quantile at 0.975.
pub const NORMAL: f64 = 1.959_964;

/// Student's t at 0.975 for 1 to 30 degrees of freedom.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// The quantile of Student's t distribution at 0.975. What lies between two degrees of freedom takes
/// the smaller one's, so that an interval is rather too wide. `None` under one degree.
pub fn student(degrees: f64) -> Option<f64> {
    if degrees.is_nan() || degrees < 1.0 {
        return None;
    }
    let tabled = STUDENT.get(degrees.floor() as usize - 1).copied();
    Some(tabled.unwrap_or(match degrees {
        many if many < 40.0 => 2.042,
        many if many < 60.0 => 2.021,
        many if many < 120.0 => 2.000,
        many if many.is_finite() => 1.980,
        _ => NORMAL,
    }))
}

/// Mean and squared standard error of the mean; `None` for fewer than two values.
fn standard_error(values: &[f64]) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, squares / (count - 1.0) / count))
}

/// Interval of the mean of independent values by Student's t. `None` for fewer than two.
pub fn of_mean(values: &[f64], method: IntervalMethod) -> Option<Interval> {
    let (mean, variance) = standard_error(values)?;
    let half = student(values.len() as f64 - 1.0)? * variance.sqrt();
    Some(Interval {
        low: mean - half,
        high: mean + half,
        method,
    })
}

/// Interval of the difference of the means of two independent samples, whose variances may differ
/// (Welch 1947): first less second. `None` where one has fewer than two values.
pub fn of_difference(first: &[f64], second: &[f64], method: IntervalMethod) -> Option<Interval> {
    let (one, one_variance) = standard_error(first)?;
    let (other, other_variance) = standard_error(second)?;
    let variance = one_variance + other_variance;
    let weight = |variance: f64, count: usize| variance * variance / (count as f64 - 1.0);
    let degrees = if variance > 0.0 {
        variance * variance
            / (weight(one_variance, first.len()) + weight(other_variance, second.len()))
    } else {
        1.0
    };
    // Never fewer than those of the smaller sample; rounding may say a little less.
    let least = first.len().min(second.len()) as f64 - 1.0;
    let half = student(degrees.max(least))? * variance.sqrt();
    Some(Interval {
        low: one - other - half,
        high: one - other + half,
        method,
    })
}

/// Interval of a quantile of sorted values by their order statistics, which needs no distribution
/// (W. J. Conover, "Practical Nonparametric Statistics", 3rd ed. 1999, 3.2, large samples). `None`
/// where its ends lie beyond the sample.
pub fn of_quantile(sorted: &[f64], share: f64) -> Option<Interval> {
    let count = sorted.len() as f64;
    let middle = count * share;
    let half = NORMAL * (count * share * (1.0 - share)).sqrt();
    // Ranks from 1; both are rounded outwards.
    let low = (middle - half).floor();
    let high = (middle + half).ceil() + 1.0;
    if low < 1.0 || high > count {
        return None;
    }
    Some(Interval {
        low: *sorted.get(low as usize - 1)?,
        high: *sorted.get(high as usize - 1)?,
        method: IntervalMethod::OrderStatistics,
    })
}

/// Interval of a share by Wilson's score (E. B. Wilson, JASA 22, 1927). `None` of nothing.
pub fn of_share(matched: u64, judged: u64) -> Option<Interval> {
    if judged == 0 {
        return None;
    }
    let count = judged as f64;
    let share = matched as f64 / count;
    let square = NORMAL * NORMAL;
    let middle = share + square / (2.0 * count);
    let half = NORMAL * (share * (1.0 - share) / count + square / (4.0 * count * count)).sqrt();
    let scale = 1.0 + square / count;
    Some(Interval {
        low: ((middle - half) / scale).max(0.0),
        high: ((middle + half) / scale).min(1.0),
        method: IntervalMethod::Wilson,
    })
}

/// Interval of the difference of two shares, each of so many matched of so many judged: first less
/// second (R. G. Newcombe, Statistics in Medicine 17, 1998, method 10).
pub fn of_share_difference(first: (u64, u64), second: (u64, u64)) -> Option<Interval> {
    let share = |(matched, judged): (u64, u64)| matched as f64 / judged as f64;
    let (one, other) = (of_share(first.0, first.1)?, of_share(second.0, second.1)?);
    let (p, q) = (share(first), share(second));
    Some(Interval {
        low: p - q - (p - one.low).hypot(other.high - q),
        high: p - q + (one.high - p).hypot(q - other.low),
        method: IntervalMethod::Newcombe,
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use rand_distr::{Distribution, Exp, LogNormal, Normal};

    use super::*;

    const METHOD: IntervalMethod = IntervalMethod::Repetitions;

    fn close(found: Interval, low: f64, high: f64) {
        assert!(
            (found.low - low).abs() < 1e-3 && (found.high - high).abs() < 1e-3,
            "{found:?}"
        );
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (degrees, expected) in [
            (0.5, None),
            (1.0, Some(12.706)),
            (2.9, Some(4.303)),
            (9.0, Some(2.262)),
            (30.0, Some(2.042)),
            (45.0, Some(2.021)),
            (1000.0, Some(1.980)),
        ] {
            assert_eq!(student(degrees), expected, "{degrees}");
        }
    }

    #[test]
    fn intervals_by_hand() {
        // Mean 3, deviation sqrt(2.5), 2.776 * sqrt(2.5 / 5) = 1.963.
        close(
            of_mean(&[1.0, 2.0, 3.0, 4.0, 5.0], METHOD).unwrap(),
            1.037,
            4.963,
        );
        assert_eq!(of_mean(&[1.0], METHOD), None);
        // Variances 1 and 1 of three each: 2 / 3 in all, 4 degrees, 2.776 * 0.8165 = 2.2667.
        close(
            of_difference(&[5.0, 6.0, 7.0], &[1.0, 2.0, 3.0], METHOD).unwrap(),
            4.0 - 2.2667,
            4.0 + 2.2667,
        );
        // 8 of 10, as in Wilson's interval's usual example: 0.490 to 0.943.
        close(of_share(8, 10).unwrap(), 0.4902, 0.9433);
        close(of_share(0, 10).unwrap(), 0.0, 0.2775);
        assert_eq!(of_share(0, 0), None);
        // 56 of 70 and 48 of 80: 0.2, from 0.0524 to 0.3339 (Newcombe 1998, table II, case a).
        close(
            of_share_difference((56, 70), (48, 80)).unwrap(),
            0.0524,
            0.3339,
        );
    }

    #[test]
    fn a_quantiles_interval_is_of_order_statistics() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        // 50 - 9.8 down to 40, 50 + 9.8 up to 60 and one.
        let found = of_quantile(&sorted, 0.5).unwrap();
        assert_eq!((found.low, found.high), (40.0, 61.0));
        // The 99th percentile's upper end lies beyond a hundred values.
        assert_eq!(of_quantile(&sorted, 0.99), None);
        assert_eq!(of_quantile(&[], 0.5), None);
    }

    /// Share of seeded runs whose interval holds the truth.
    fn coverage(runs: u32, mut run: impl FnMut(&mut ChaCha8Rng) -> bool) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let held = (0..runs).filter(|_| run(&mut random)).count();
        held as f64 / f64::from(runs)
    }

    #[test]
    fn intervals_hold_the_truth_nineteen_times_of_twenty() {
        let holds =
            |interval: Interval, truth: f64| (interval.low..=interval.high).contains(&truth);
        let normal = |random: &mut ChaCha8Rng, mean: f64, deviation: f64, count: usize| {
            let normal = Normal::new(mean, deviation).unwrap();
            (0..count)
                .map(|_| normal.sample(random))
                .collect::<Vec<f64>>()
        };
        for count in [2, 3, 5] {
            let share = coverage(4000, |random| {
                let values = normal(random, 10.0, 2.0, count);
                holds(of_mean(&values, METHOD).unwrap(), 10.0)
            });
            assert!((share - 0.95).abs() < 0.012, "{count} values: {share}");
        }
        let share = coverage(4000, |random| {
            let (first, second) = (normal(random, 3.0, 1.0, 5), normal(random, 2.0, 3.0, 4));
            holds(of_difference(&first, &second, METHOD).unwrap(), 1.0)
        });
        assert!((0.935..0.975).contains(&share), "Welch: {share}");
        // Skewed values, and rounding outwards: a little over 95 %.
        let skewed = LogNormal::new(0.0, 1.0).unwrap();
        let share = coverage(1500, |random| {
            let mut values: Vec<f64> = (0..120).map(|_| skewed.sample(random)).collect();
            values.sort_unstable_by(f64::total_cmp);
            holds(of_quantile(&values, 0.5).unwrap(), 1.0)
        });
        assert!((0.94..0.98).contains(&share), "median: {share}");
        let exponential = Exp::new(1.0).unwrap();
        let share = coverage(300, |random| {
            let mut values: Vec<f64> = (0..1500).map(|_| exponential.sample(random)).collect();
            values.sort_unstable_by(f64::total_cmp);
            holds(of_quantile(&values, 0.99).unwrap(), 100_f64.ln())
        });
        assert!((0.92..0.985).contains(&share), "p99: {share}");
        let share = coverage(2000, |random| {
            let matched = (0..80).filter(|_| exponential.sample(random) < 1.2).count() as u64;
            holds(of_share(matched, 80).unwrap(), 1.0 - (-1.2_f64).exp())
        });
        assert!((0.93..0.97).contains(&share), "Wilson: {share}");
    }
}
