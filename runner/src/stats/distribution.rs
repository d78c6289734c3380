//! Distributions of values that were all kept.

use bakeoff_crds::report::{Distribution, TokenDistribution};

/// Samples from which a percentile is given: 10 / (1 - p), so that ten lie beyond it.
pub(super) fn enough_for(percentile: f64, count: u64) -> bool {
    // Half a sample of slack: 10 / (1 - 0.9) is 100.00000000000001 in binary.
    percentile <= 50.0 && count > 0 || count as f64 + 0.5 >= 10.0 / (1.0 - percentile / 100.0)
}

/// The quantile of sorted values, by linear interpolation between the two nearest (Hyndman and Fan's
/// type 7, the default of numpy and R). `share` is 0 to 1. `None` where there is no value.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = last as f64 * share.clamp(0.0, 1.0);
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

/// The distribution of values, which need not be sorted. `None` where there is none.
pub fn distribution(mut values: Vec<f64>) -> Option<Distribution> {
    values.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let count = values.len() as u64;
    let mean = values.iter().sum::<f64>() / count as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let percentile = |percentile: f64| {
        enough_for(percentile, count)
            .then(|| quantile(&values, percentile / 100.0))
            .flatten()
    };
    Some(Distribution {
        count,
        mean,
        stddev: sample_deviation(squares, count),
        min,
        p50: percentile(50.0),
        p90: percentile(90.0),
        p95: percentile(95.0),
        p99: percentile(99.0),
        p999: percentile(99.9),
        max,
    })
}

/// The distribution of token counts. `None` where there is none.
pub fn token_distribution(counts: Vec<u32>) -> Option<TokenDistribution> {
    let sum = counts.iter().map(|&count| u64::from(count)).sum();
    let distribution = distribution(counts.into_iter().map(f64::from).collect())?;
    Some(TokenDistribution { distribution, sum })
}

/// Standard deviation of a sample from the sum of squared deviations; 0 for one value.
pub(super) fn sample_deviation(squares: f64, count: u64) -> f64 {
    if count < 2 {
        return 0.0;
    }
    (squares / (count - 1) as f64).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_of_a_known_sample() {
        let found = distribution(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (found.count, found.mean, found.min, found.max),
            (4, 2.5, 1.0, 4.0)
        );
        // sqrt(5 / 3)
        assert!((found.stddev - 1.290_994_448_735_805_6).abs() < 1e-12);
        assert_eq!(found.p50, Some(2.5));
        assert_eq!(found.p90, None);
        assert_eq!(distribution(vec![]), None);
        assert_eq!(distribution(vec![7.0]).unwrap().stddev, 0.0);
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        let values = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (share, expected) in [
            (0.0, 1.0),
            (0.25, 2.0),
            (0.5, 4.0),
            (0.9, 12.8),
            (1.0, 16.0),
        ] {
            let found = quantile(&values, share).unwrap();
            assert!((found - expected).abs() < 1e-12, "{share}: {found}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn percentiles_need_ten_samples_beyond_them() {
        for (count, present) in [
            (99, [true, false, false, false, false]),
            (100, [true, true, false, false, false]),
            (200, [true, true, true, false, false]),
            (999, [true, true, true, false, false]),
            (1000, [true, true, true, true, false]),
            (10_000, [true, true, true, true, true]),
        ] {
            let found = distribution((0..count).map(f64::from).collect()).unwrap();
            let are = [found.p50, found.p90, found.p95, found.p99, found.p999];
            assert_eq!(are.map(|value| value.is_some()), present, "{count}");
        }
    }

    #[test]
    fn tokens_are_summed() {
        let found = token_distribution(vec![3, 5]).unwrap();
        assert_eq!((found.sum, found.distribution.mean), (8, 4.0));
    }

    proptest! {
        #[test]
        fn percentiles_lie_in_order_within_the_values(values in prop::collection::vec(0.0..1e6_f64, 1..400)) {
            let found = distribution(values).unwrap();
            let marks: Vec<f64> = [Some(found.min), found.p50, found.p90, found.p95, found.p99, Some(found.max)]
                .into_iter()
                .flatten()
                .collect();
            prop_assert!(marks.is_sorted(), "{marks:?}");
            prop_assert!(found.min <= found.mean * (1.0 + 1e-9) && found.mean <= found.max * (1.0 + 1e-9));
        }
    }
}
