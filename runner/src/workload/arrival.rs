//! Arrival times of an open loop: absolute, seeded, computed before the stage begins.

use bakeoff_crds::{
    plan::{Load, StageEnd},
    run::Arrival,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Distribution as _, Exp1, Gamma};

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
    /// A shape that is none.
    #[error("burstiness {0} is not a number over 0")]
    Burstiness(f64),
    /// A ramp that does not say over which time.
    #[error("a ramp needs a duration, not a number of requests")]
    RampWithoutDuration,
    /// A replay without a trace.
    #[error("the frozen prompts hold no times to replay")]
    NoTrace,
    /// More than fits.
    #[error("the stage would hold over {MAX_ARRIVALS} arrivals; shorten it or lower the rate")]
    TooMany,
}

/// Due times in nanoseconds from the beginning of the stage, in order: the times of a renewal process
/// of mean gap 1, mapped through the inverse of the cumulated rate. Of one rate that is a division;
/// of a ramp it makes an inhomogeneous Poisson process out of a homogeneous one, exactly. The first
/// arrival of a rate comes one gap after the beginning. Gaps are never rescaled to fit a number or a
/// duration.
///
/// # Errors
/// See [`ArrivalError`].
pub fn due_times(load: &Load, end: StageEnd, seed: u64) -> Result<Vec<Nanos>, ArrivalError> {
    if load.replay_speed.is_some() || end == StageEnd::Trace {
        return Err(ArrivalError::NoTrace);
    }
    let most = match end {
        StageEnd::Requests(requests) => usize::try_from(requests).unwrap_or(usize::MAX),
        StageEnd::Seconds(_) | StageEnd::Trace => MAX_ARRIVALS,
    };
    if most > MAX_ARRIVALS {
        return Err(ArrivalError::TooMany);
    }
    let Some(rate) = load.rate else {
        return match end {
            StageEnd::Requests(_) => Ok(vec![0; most]),
            StageEnd::Seconds(_) | StageEnd::Trace => Err(ArrivalError::EndlessBurst),
        };
    };
    let rate = Rate::of(rate, load.to_rate, end)?;
    let horizon = match end {
        StageEnd::Requests(_) | StageEnd::Trace => f64::INFINITY,
        StageEnd::Seconds(seconds) => seconds,
    };
    let mut gaps = Gaps::of(load, seed)?;
    let mut due = Vec::new();
    for number in 1_u64.. {
        let at = rate.time_of(gaps.cumulated(number));
        let Some(at) = at.filter(|&at| due.len() < most && at <= horizon) else {
            break;
        };
        due.push(clock::nanos(at));
    }
    if due.len() == MAX_ARRIVALS && matches!(end, StageEnd::Seconds(_)) {
        return Err(ArrivalError::TooMany);
    }
    Ok(due)
}

/// Due times of a replay: those of the trace, at so many times its speed.
///
/// # Errors
/// See [`ArrivalError`].
pub fn replayed(trace: &[Nanos], speed: f64) -> Result<Vec<Nanos>, ArrivalError> {
    if trace.is_empty() {
        return Err(ArrivalError::NoTrace);
    }
    if !(speed.is_finite() && speed > 0.0) {
        return Err(ArrivalError::Rate(speed));
    }
    let scaled = |&at: &Nanos| (at as f64 / speed).round() as Nanos;
    Ok(trace.iter().map(scaled).collect())
}

/// Gaps of mean 1.
struct Gaps {
    shape: Shape,
    random: ChaCha8Rng,
    cumulated: f64,
}

enum Shape {
    Exponential,
    Gamma(Gamma<f64>),
    Equal,
}

impl Gaps {
    fn of(load: &Load, seed: u64) -> Result<Self, ArrivalError> {
        let shape = match load.arrival.unwrap_or_default() {
            Arrival::Poisson => Shape::Exponential,
            Arrival::Constant => Shape::Equal,
            Arrival::Gamma => {
                let burstiness = load.burstiness.unwrap_or(1.0);
                let gamma = Gamma::new(burstiness, 1.0 / burstiness)
                    .map_err(|_| ArrivalError::Burstiness(burstiness))?;
                Shape::Gamma(gamma)
            }
        };
        Ok(Self {
            shape,
            random: ChaCha8Rng::seed_from_u64(seed),
            cumulated: 0.0,
        })
    }

    /// The sum of the gaps up to the arrival of this number, from 1. Asked for in order.
    fn cumulated(&mut self, number: u64) -> f64 {
        let gap: f64 = match &self.shape {
            Shape::Exponential => Exp1.sample(&mut self.random),
            Shape::Gamma(gamma) => gamma.sample(&mut self.random),
            // From the number, not by adding up: rounding does not drift.
            Shape::Equal => return number as f64,
        };
        self.cumulated += gap;
        self.cumulated
    }
}

/// A rate that changes evenly over time, or not at all.
struct Rate {
    /// Arrivals a second at the beginning.
    from: f64,
    /// Its change a second.
    slope: f64,
}

impl Rate {
    fn of(from: f64, to: Option<f64>, end: StageEnd) -> Result<Self, ArrivalError> {
        let positive = |rate: f64| rate.is_finite() && rate > 0.0;
        let Some(to) = to else {
            return if positive(from) {
                Ok(Self { from, slope: 0.0 })
            } else {
                Err(ArrivalError::Rate(from))
            };
        };
        for rate in [from, to] {
            if !(positive(rate) || rate == 0.0) {
                return Err(ArrivalError::Rate(rate));
            }
        }
        match end {
            _ if from + to == 0.0 => Err(ArrivalError::Rate(0.0)),
            StageEnd::Seconds(seconds) if seconds > 0.0 => Ok(Self {
                from,
                slope: (to - from) / seconds,
            }),
            _ => Err(ArrivalError::RampWithoutDuration),
        }
    }

    /// The time at which so many arrivals have come on average: the inverse of
    /// `from * t + slope * t² / 2`, in the form that does not cancel. None where a falling rate never
    /// comes so far.
    fn time_of(&self, arrivals: f64) -> Option<f64> {
        let root = self.from * self.from + 2.0 * self.slope * arrivals;
        if root < 0.0 {
            return None;
        }
        let divisor = self.from + root.sqrt();
        Some(if arrivals > 0.0 {
            2.0 * arrivals / divisor
        } else {
            0.0
        })
    }
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
    fn a_replay_keeps_the_times_of_its_trace() {
        let trace = [0, 10, 10, 4_000_000_001];
        assert_eq!(replayed(&trace, 1.0).unwrap(), trace);
        assert_eq!(replayed(&trace, 2.0).unwrap(), [0, 5, 5, 2_000_000_001]);
        assert_eq!(replayed(&trace, 0.5).unwrap(), [0, 20, 20, 8_000_000_002]);
        assert_eq!(replayed(&[], 1.0), Err(ArrivalError::NoTrace));
        assert_eq!(replayed(&trace, 0.0), Err(ArrivalError::Rate(0.0)));
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

    fn gamma(rate: f64, burstiness: f64) -> Load {
        Load {
            burstiness: Some(burstiness),
            ..load(Some(rate), Arrival::Gamma)
        }
    }

    fn ramp(from: f64, to: f64, arrival: Arrival) -> Load {
        Load {
            to_rate: Some(to),
            ..load(Some(from), arrival)
        }
    }

    /// Mean and coefficient of variation of the gaps, in seconds.
    fn mean_and_variation(due: &[Nanos]) -> (f64, f64) {
        let gaps: Vec<f64> = due
            .windows(2)
            .map(|pair| clock::seconds(pair[1] - pair[0]))
            .collect();
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn gamma_gaps_have_their_mean_and_variation() {
        for (rate, burstiness, seed) in [(200.0, 0.25, 1), (10.0, 1.0, 2), (3.0, 4.0, 3)] {
            let due = due_times(&gamma(rate, burstiness), StageEnd::Requests(50_000), seed);
            let (mean, variation) = mean_and_variation(&due.unwrap());
            let expected = 1.0 / f64::sqrt(burstiness);
            // Four standard errors of the mean.
            let error = 4.0 * expected / 50_000_f64.sqrt();
            assert!((mean * rate - 1.0).abs() < error, "{burstiness}: {mean}");
            assert!(
                (variation / expected - 1.0).abs() < 0.05,
                "{burstiness}: {variation}"
            );
        }
        // Of shape 1 they are exponential.
        let due = due_times(&gamma(200.0, 1.0), StageEnd::Requests(20_000), 4).unwrap();
        assert!(distance_to_exponential(&due, 200.0) < 1.628 / 20_000_f64.sqrt());
        assert_eq!(
            due_times(&gamma(1.0, 0.0), StageEnd::Requests(1), 0),
            Err(ArrivalError::Burstiness(0.0))
        );
    }

    #[test]
    fn a_constant_ramp_follows_its_rate() {
        // The cumulated rate is t² / 2: the k-th arrival is at √(2k).
        let due = due_times(
            &ramp(0.0, 4.0, Arrival::Constant),
            StageEnd::Seconds(4.0),
            0,
        )
        .unwrap();
        assert_eq!(due.len(), 8);
        for (number, &at) in (1_u64..).zip(&due) {
            let expected = (2.0 * number as f64).sqrt();
            assert!(
                (clock::seconds(at) - expected).abs() < 1e-6,
                "{number}: {at}"
            );
        }
        // Falling, it is the same seen from the end.
        let falling = due_times(
            &ramp(4.0, 0.0, Arrival::Constant),
            StageEnd::Seconds(4.0),
            0,
        );
        for (number, &at) in (1_u64..).zip(&falling.unwrap()) {
            let expected = 4.0 - (2.0 * (8 - number) as f64).sqrt();
            assert!(
                (clock::seconds(at) - expected).abs() < 1e-6,
                "{number}: {at}"
            );
        }
    }

    #[test]
    fn a_poisson_ramp_is_poisson_in_its_own_time() {
        for (from, to, seed) in [(10.0, 400.0, 1), (400.0, 10.0, 2), (0.0, 400.0, 3)] {
            let seconds = 60.0;
            let load = ramp(from, to, Arrival::Poisson);
            let due = due_times(&load, StageEnd::Seconds(seconds), seed).unwrap();
            let expected = (from + to) / 2.0 * seconds;
            let missed = (due.len() as f64 - expected).abs();
            assert!(
                missed < 4.0 * expected.sqrt(),
                "{from} to {to}: {}",
                due.len()
            );
            let cumulated = |at: Nanos| {
                let t = clock::seconds(at);
                clock::nanos(from * t + (to - from) / seconds * t * t / 2.0)
            };
            let own: Vec<Nanos> = due.iter().map(|&at| cumulated(at)).collect();
            let distance = distance_to_exponential(&own, 1.0);
            assert!(
                distance < 1.628 / (own.len() as f64).sqrt(),
                "{from} to {to}: {distance}"
            );
        }
    }

    #[test]
    fn a_ramp_without_duration_or_rate_is_refused() {
        let up = ramp(1.0, 2.0, Arrival::Poisson);
        assert_eq!(
            due_times(&up, StageEnd::Requests(9), 0),
            Err(ArrivalError::RampWithoutDuration)
        );
        for (from, to) in [
            (0.0, 0.0),
            (1.0, -1.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            let found = due_times(&ramp(from, to, Arrival::Poisson), StageEnd::Seconds(1.0), 0);
            assert!(
                matches!(found, Err(ArrivalError::Rate(_))),
                "{from} {to}: {found:?}"
            );
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
