//! Arrival times of an open loop: absolute, seeded, computed before the stage begins.

use bakeoff_crds::{
    plan::{Load, StageEnd},
    run::Arrival,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution as _, Exp1};

use crate::clock::{self, Nanos};

/// Most arrivals that a schedule may hold; eight bytes each.
const MAX_ARRIVALS: usize = 50_000_000;

/// Why there is no schedule.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ArrivalError {
    /// A burst that never ends.
    #[error("a burst needs a number of requests, not a duration")]
    EndlessBurst,
    /// A rate that is none.
    #[error("rate {0} is not a number of requests a second over 0")]
    Rate(f64),
    /// More than fits.
    #[error("the stage would hold over {MAX_ARRIVALS} arrivals; shorten it or lower the rate")]
    TooMany,
}

/// Due times in nanoseconds from the beginning of the stage, in order. The first arrival of a rate
/// comes one gap after the beginning; Poisson gaps are independent and exponential with mean
/// 1 / rate, and are never rescaled to fit a number or a duration.
///
/// # Errors
/// See [`ArrivalError`].
pub fn due_times(load: &Load, end: StageEnd, seed: u64) -> Result<Vec<Nanos>, ArrivalError> {
    let most = match end {
        StageEnd::Requests(requests) => usize::try_from(requests).unwrap_or(usize::MAX),
        StageEnd::Seconds(_) => MAX_ARRIVALS,
    };
    if most > MAX_ARRIVALS {
        return Err(ArrivalError::TooMany);
    }
    let Some(rate) = load.rate else {
        return match end {
            StageEnd::Requests(_) => Ok(vec![0; most]),
            StageEnd::Seconds(_) => Err(ArrivalError::EndlessBurst),
        };
    };
    if !(rate.is_finite() && rate > 0.0) {
        return Err(ArrivalError::Rate(rate));
    }
    let horizon = match end {
        StageEnd::Requests(_) => f64::INFINITY,
        StageEnd::Seconds(seconds) => seconds,
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut due = Vec::new();
    let mut elapsed = 0.0_f64;
    for number in 1_u64.. {
        elapsed = match load.arrival.unwrap_or_default() {
            Arrival::Poisson => {
                let gap: f64 = Exp1.sample(&mut random);
                elapsed + gap / rate
            }
            // From the number, not by adding up: rounding does not drift.
            Arrival::Constant => number as f64 / rate,
        };
        if due.len() == most || elapsed > horizon {
            break;
        }
        due.push(clock::nanos(elapsed));
    }
    if due.len() == MAX_ARRIVALS && matches!(end, StageEnd::Seconds(_)) {
        return Err(ArrivalError::TooMany);
    }
    Ok(due)
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::plan::LoadMode;
    use proptest::prelude::*;

    use super::*;

    fn load(rate: Option<f64>, arrival: Arrival) -> Load {
        Load {
            mode: LoadMode::Open,
            rate,
            arrival: rate.map(|_| arrival),
            ..Load::default()
        }
    }

    #[test]
    fn constant_gaps_are_equal() {
        let due = due_times(
            &load(Some(4.0), Arrival::Constant),
            StageEnd::Seconds(1.0),
            0,
        )
        .unwrap();
        assert_eq!(due, [250_000_000, 500_000_000, 750_000_000, 1_000_000_000]);
    }

    #[test]
    fn a_burst_is_due_at_once() {
        let burst = load(None, Arrival::Poisson);
        assert_eq!(
            due_times(&burst, StageEnd::Requests(3), 0).unwrap(),
            [0, 0, 0]
        );
        let endless = due_times(&burst, StageEnd::Seconds(1.0), 0);
        assert_eq!(endless, Err(ArrivalError::EndlessBurst));
    }

    /// Kolmogorov–Smirnov distance between the gaps and the exponential distribution of the rate
    /// that was asked for.
    fn distance_to_exponential(due: &[Nanos], rate: f64) -> f64 {
        let mut gaps: Vec<f64> = std::iter::once(&0)
            .chain(due)
            .zip(due)
            .map(|(before, at)| clock::seconds(at - before))
            .collect();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        gaps.iter()
            .enumerate()
            .map(|(i, gap)| {
                let expected = 1.0 - (-rate * gap).exp();
                ((i as f64 + 1.0) / n - expected).max(expected - i as f64 / n)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        for (rate, seed) in [(0.5, 1), (200.0, 2), (5000.0, 3)] {
            let due = due_times(
                &load(Some(rate), Arrival::Poisson),
                StageEnd::Requests(20_000),
                seed,
            )
            .unwrap();
            let distance = distance_to_exponential(&due, rate);
            // 1 % critical value of the test.
            let critical = 1.628 / (due.len() as f64).sqrt();
            assert!(distance < critical, "rate {rate}: {distance} >= {critical}");
        }
    }

    proptest! {
        #[test]
        fn schedules_are_in_order_and_reproducible(rate in 0.01..10_000.0_f64, seed: u64, requests in 0_u64..500) {
            let load = load(Some(rate), Arrival::Poisson);
            let due = due_times(&load, StageEnd::Requests(requests), seed).unwrap();
            prop_assert_eq!(due.len() as u64, requests);
            prop_assert!(due.is_sorted());
            prop_assert_eq!(&due, &due_times(&load, StageEnd::Requests(requests), seed).unwrap());
        }

        #[test]
        fn a_longer_stage_only_adds_arrivals(rate in 1.0..100.0_f64, seed: u64) {
            let load = load(Some(rate), Arrival::Poisson);
            let short = due_times(&load, StageEnd::Seconds(1.0), seed).unwrap();
            let long = due_times(&load, StageEnd::Seconds(2.0), seed).unwrap();
            prop_assert!(long.starts_with(&short));
            prop_assert!(long.iter().all(|&at| at <= 2 * clock::SECOND));
        }
    }
}
