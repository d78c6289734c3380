//! A measure over the rounds and repetitions of one stage.

use std::collections::BTreeMap;

use bakeoff_crds::{
    report::{Basis, EngineReport, Interval, IntervalMethod, StageReport},
    run::status::VerdictStatus,
};

use super::measure::Measure;
use crate::stats::interval;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Round, from 1.
    pub round: u32,
    /// The figure.
    pub value: f64,
    /// What the measurement alone tells of how sure the figure is.
    pub interval: Option<Interval>,
}

/// A measure over the rounds and repetitions of one stage on one engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Number of measurements.
    pub samples: usize,
    /// Interval of the mean: over the rounds, over the repetitions of the one round, or what a
    /// single measurement tells.
    pub interval: Option<Interval>,
}

impl Spread {
    /// The spread of some samples; none where there are none.
    pub fn of(samples: &[Sample]) -> Option<Self> {
        let values = || samples.iter().map(|sample| sample.value);
        let first = samples.first()?;
        Some(Self {
            mean: values().sum::<f64>() / samples.len() as f64,
            min: values().fold(first.value, f64::min),
            max: values().fold(first.value, f64::max),
            samples: samples.len(),
            interval: if samples.len() == 1 {
                first.interval
            } else {
                let rounds: Vec<f64> = round_means(samples).into_values().collect();
                interval::of_mean(&rounds, IntervalMethod::Rounds).or_else(|| {
                    let all: Vec<f64> = values().collect();
                    interval::of_mean(&all, IntervalMethod::Repetitions)
                })
            },
        })
    }

    /// The ends of the bar that shows how repeated measurements vary: the interval of the mean, cut
    /// off at 0. None for a single one.
    pub fn whisker(&self) -> Option<(f64, f64)> {
        let interval = self.interval.filter(|_| self.samples > 1)?;
        Some((interval.low.max(0.0), interval.high))
    }
}

/// The mean of each round's repetitions.
pub fn round_means(samples: &[Sample]) -> BTreeMap<u32, f64> {
    let mut rounds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        rounds.entry(sample.round).or_default().push(sample.value);
    }
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    rounds
        .into_iter()
        .map(|(round, values)| (round, mean(values)))
        .collect()
}

/// Whether a stage takes part in comparisons.
pub fn counts(stage: &StageReport) -> bool {
    stage.verdict.status != VerdictStatus::Invalid
}

fn counted<'a>(engine: &'a EngineReport, name: &'a str) -> impl Iterator<Item = &'a StageReport> {
    engine
        .stages
        .iter()
        .filter(move |stage| stage.name == name && counts(stage))
}

/// Which part of the stages of a name a measure is taken from: the steady part where every
/// measurement of every engine that has the figure at all has it there too; else the whole, so that
/// like is compared with like.
pub fn basis(engines: &[EngineReport], stage: &str, measure: &Measure) -> Basis {
    let mut stages = engines
        .iter()
        .flat_map(|engine| counted(engine, stage))
        .filter(|stage| (measure.value)(stage).is_some())
        .peekable();
    let any = stages.peek().is_some();
    let steady = |stage: &StageReport| {
        let steady = stage.steady_state.as_ref();
        steady.and_then(measure.steady).is_some()
    };
    if any && stages.all(steady) {
        Basis::SteadyState
    } else {
        Basis::WholeStage
    }
}

/// The measurements of one engine at a stage, from the given part of it. Invalid stages take no
/// part.
pub fn samples(engine: &EngineReport, stage: &str, measure: &Measure, basis: Basis) -> Vec<Sample> {
    counted(engine, stage)
        .filter_map(|stage| {
            let whole = (measure.value)(stage)?;
            let steady = stage.steady_state.as_ref();
            let (value, intervals) = match (basis, steady) {
                (Basis::SteadyState, Some(steady)) => {
                    ((measure.steady)(steady)?, &steady.intervals)
                }
                _ => (whole, &stage.intervals),
            };
            Some(Sample {
                round: stage.round,
                value,
                interval: intervals.get(measure.name).copied(),
            })
        })
        .collect()
}

/// A measure of one of the engines at one stage, from the part of it that all are compared by.
pub fn spread(
    engines: &[EngineReport],
    engine: &EngineReport,
    stage: &str,
    measure: &Measure,
) -> Option<Spread> {
    let basis = basis(engines, stage, measure);
    Spread::of(&samples(engine, stage, measure, basis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        fixture::{engine, stage},
        measure::{FIRST_TOKEN, GOODPUT, OUTPUT_THROUGHPUT},
    };

    fn sample(round: u32, value: f64) -> Sample {
        Sample {
            round,
            value,
            interval: None,
        }
    }

    #[test]
    fn a_spread_is_mean_least_greatest_and_an_interval() {
        assert_eq!(Spread::of(&[]), None);
        let one = Spread::of(&[sample(1, 4.0)]).unwrap();
        assert_eq!((one.mean, one.samples, one.interval), (4.0, 1, None));
        assert_eq!(one.whisker(), None);
        // Two rounds of two: means 2 and 4, so 3 with 12.706 on either side.
        let rounds: Vec<_> = [(1, 1.0), (1, 3.0), (2, 4.0), (2, 4.0)]
            .map(|(round, value)| sample(round, value))
            .to_vec();
        let found = Spread::of(&rounds).unwrap();
        assert_eq!(
            (found.mean, found.min, found.max, found.samples),
            (3.0, 1.0, 4.0, 4)
        );
        let interval = found.interval.unwrap();
        assert_eq!(interval.method, IntervalMethod::Rounds);
        assert!((interval.high - 15.706).abs() < 1e-9, "{interval:?}");
        assert_eq!(found.whisker(), Some((0.0, interval.high)));
        // Repetitions of one round: 1 and 3, deviation sqrt(2), 12.706 on either side.
        let interval = Spread::of(&rounds[..2]).unwrap().interval.unwrap();
        assert_eq!(interval.method, IntervalMethod::Repetitions);
        assert!((interval.high - 14.706).abs() < 1e-9, "{interval:?}");
    }

    #[test]
    fn like_is_compared_with_like() {
        let steady = engine("a", vec![stage(8, 1000.0, 0.05)]);
        let mut short = engine("b", vec![stage(8, 1000.0, 0.05)]);
        let name = "concurrency-8";
        let engines = [steady.clone(), short.clone()];
        assert_eq!(
            basis(&engines, name, &OUTPUT_THROUGHPUT),
            Basis::SteadyState
        );
        let found = spread(&engines, &engines[0], name, &OUTPUT_THROUGHPUT).unwrap();
        assert!((found.mean - 1050.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.interval.unwrap().method, IntervalMethod::BatchMeans);
        // One of them has no steady state: the whole of both.
        short.stages[0].steady_state = None;
        let engines = [steady, short];
        assert_eq!(basis(&engines, name, &OUTPUT_THROUGHPUT), Basis::WholeStage);
        let found = spread(&engines, &engines[0], name, &OUTPUT_THROUGHPUT).unwrap();
        assert_eq!((found.mean, found.interval), (1000.0, None));
        let found = spread(&engines, &engines[0], name, &FIRST_TOKEN).unwrap();
        assert_eq!(
            found.interval.unwrap().method,
            IntervalMethod::OrderStatistics
        );
        // A figure of whole stages alone, and one that nobody has.
        assert_eq!(basis(&engines, name, &GOODPUT), Basis::WholeStage);
        assert_eq!(basis(&[], name, &OUTPUT_THROUGHPUT), Basis::WholeStage);
    }
}
