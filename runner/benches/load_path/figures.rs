//! Means, quantiles and the distance to a Poisson process.

/// The mean; none of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A quantile by linear interpolation between ranks; sorts the values.
pub fn quantile(values: &mut [f64], quantile: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let place = values.len().checked_sub(1)? as f64 * quantile;
    let below = *values.get(place as usize)?;
    let above = values.get(place as usize + 1).copied().unwrap_or(below);
    Some(below + (above - below) * place.fract())
}

/// The median; none of nothing.
pub fn median(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().flatten().collect();
    quantile(&mut values, 0.5)
}

/// Greatest distance between the distribution of the gaps between arrivals and the exponential one
/// of the same mean (Kolmogorov and Smirnov's statistic), and the distance that 5 % of true Poisson
/// processes exceed.
pub fn distance_to_poisson(arrivals: &mut [f64]) -> Option<(f64, f64)> {
    arrivals.sort_unstable_by(f64::total_cmp);
    let mut gaps: Vec<f64> = arrivals
        .iter()
        .zip(arrivals.get(1..)?)
        .map(|(before, after)| after - before)
        .collect();
    let mean = mean(&gaps)?;
    gaps.sort_unstable_by(f64::total_cmp);
    let count = gaps.len() as f64;
    let distance = gaps
        .iter()
        .enumerate()
        .map(|(rank, gap)| {
            let expected = 1.0 - (-gap / mean).exp();
            let rank = rank as f64;
            ((rank + 1.0) / count - expected).max(expected - rank / count)
        })
        .fold(0.0, f64::max);
    Some((distance, 1.358 / count.sqrt()))
}
