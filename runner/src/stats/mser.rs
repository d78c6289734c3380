//! Where the beginning of a series stops telling of how it was begun: MSER-5.
//!
//! The Marginal Standard Error Rule leaves off so many values that the standard error of the mean
//! of the rest is least (K. P. White, "An effective truncation heuristic for bias reduction in
//! simulation output", Simulation 69(6), 1997); MSER-5 applies it to means of five values each
//! (White, Cobb, Spratt, "A comparison of five steady-state truncation heuristics for simulation",
//! Winter Simulation Conference 2000; K. Hoad, S. Robinson, R. Davies, "Automating warm-up length
//! estimation", Journal of the Operational Research Society 61(9), 2010).

/// Values of one batch.
const BATCH: usize = 5;

/// How many values to leave off at the beginning: a multiple of five, and no more than half of
/// them, as its authors bound it. 0 where there are fewer than four batches.
pub fn truncation(values: &[f64]) -> usize {
    let batches: Vec<f64> = values
        .chunks_exact(BATCH)
        .map(|batch| batch.iter().sum::<f64>() / BATCH as f64)
        .collect();
    if batches.len() < 4 {
        return 0;
    }
    // From the last batch to the first, so that sums of the rest are at hand. Values are taken from
    // a middle one, so that squares of what they have in common do not swamp their differences.
    let shift = batches.get(batches.len() / 2).copied().unwrap_or_default();
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut best = (f64::INFINITY, 0);
    for (place, batch) in batches.iter().enumerate().rev() {
        let value = batch - shift;
        sum += value;
        squares += value * value;
        let rest = (batches.len() - place) as f64;
        let statistic = (squares - sum * sum / rest).max(0.0) / (rest * rest);
        // Of equal ones the earliest: nothing is left off that need not be.
        if place <= batches.len() / 2 && statistic <= best.0 {
            best = (statistic, place);
        }
    }
    best.1 * BATCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_left_off_and_no_more() {
        // Ten values that fall to a level, with a small ripple on it.
        let series: Vec<f64> = (0..100)
            .map(|place| {
                let ramp = if place < 10 {
                    f64::from(10 - place)
                } else {
                    0.0
                };
                ramp + 5.0 + f64::from(place % 5) * 0.01
            })
            .collect();
        assert_eq!(truncation(&series), 10);
    }

    #[test]
    fn the_statistic_is_that_of_the_papers() {
        // By hand, batches 9 3 1 1: 43 / 16 = 2.69 over all, 2.67 / 9 = 0.30 without the first, 0
        // without the first two.
        let series: Vec<f64> = [9.0, 3.0, 1.0, 1.0]
            .into_iter()
            .flat_map(|value| [value; 5])
            .collect();
        assert_eq!(truncation(&series), 10);
        // Batches 4 1 3 2: 5 / 16 = 0.31 over all, 2 / 9 = 0.22 without the first, 0.5 / 4 = 0.125
        // without the first two.
        let series: Vec<f64> = [4.0, 1.0, 3.0, 2.0]
            .into_iter()
            .flat_map(|value| [value; 5])
            .collect();
        assert_eq!(truncation(&series), 10);
        // Batches 2 3 1 9: the end is worse than the beginning, so nothing is left off.
        let series: Vec<f64> = [2.0, 3.0, 1.0, 9.0]
            .into_iter()
            .flat_map(|value| [value; 5])
            .collect();
        assert_eq!(truncation(&series), 0);
    }

    #[test]
    fn a_level_series_and_a_short_one_keep_everything() {
        assert_eq!(truncation(&[7.0; 50]), 0);
        assert_eq!(truncation(&[9.0, 1.0, 1.0]), 0);
        assert_eq!(truncation(&[]), 0);
    }
}
