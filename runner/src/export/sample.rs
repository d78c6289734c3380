//! Figures of a set of values as other tools give them: percentiles whatever the number of values.

use bakeoff_crds::report::Distribution;
use serde_json::{Map, Value, json};

use crate::stats::quantile;

/// A set of values; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    sorted: Vec<f64>,
    sum: f64,
}

impl Sample {
    /// The set of some values; none where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.first()?;
        let sum = sorted.iter().sum();
        Some(Self { sorted, sum })
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Their mean.
    pub fn mean(&self) -> f64 {
        self.sum / self.sorted.len() as f64
    }

    /// The least.
    pub fn min(&self) -> f64 {
        self.percentile(0.0)
    }

    /// The greatest.
    pub fn max(&self) -> f64 {
        self.percentile(100.0)
    }

    /// A percentile by linear interpolation, the default of numpy.
    pub fn percentile(&self, percentile: f64) -> f64 {
        quantile(&self.sorted, percentile / 100.0).unwrap_or_default()
    }

    /// Standard deviation of the whole population (over n), numpy's default.
    pub fn population_deviation(&self) -> f64 {
        (self.squares() / self.sorted.len() as f64).sqrt()
    }

    /// Standard deviation of a sample (over n - 1); 0 for one value.
    pub fn sample_deviation(&self) -> f64 {
        let degrees = self.sorted.len().saturating_sub(1).max(1);
        (self.squares() / degrees as f64).sqrt()
    }

    fn squares(&self) -> f64 {
        let mean = self.mean();
        let deviations = self.sorted.iter().map(|value| (value - mean).powi(2));
        deviations.sum()
    }
}

/// A percentile of a distribution whose values were not kept; none where too few stand behind it, or
/// for one that reports do not have.
pub fn percentile_of(distribution: &Distribution, percentile: f64) -> Option<f64> {
    match percentile {
        50.0 => distribution.p50,
        90.0 => distribution.p90,
        95.0 => distribution.p95,
        99.0 => distribution.p99,
        99.9 => distribution.p999,
        _ => None,
    }
}

/// Standard deviation of the whole population, of a distribution whose values were not kept.
pub fn population_deviation_of(distribution: &Distribution) -> f64 {
    let count = distribution.count.max(1) as f64;
    distribution.stddev * ((count - 1.0) / count).sqrt()
}

/// A list of key and value as an object.
pub fn object<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Value {
    let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// Leaves out what is null.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value))),
        ),
        other => other,
    }
}

/// A quotient; 0 where nothing took any time.
pub fn per(amount: f64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => amount / seconds,
        false => 0.0,
    }
}

/// A value, or null.
pub fn or_null(value: Option<f64>) -> Value {
    json!(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_numpys() {
        let sample = Sample::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (sample.count(), sample.sum(), sample.mean()),
            (4, 10.0, 2.5)
        );
        assert_eq!((sample.min(), sample.max()), (1.0, 4.0));
        assert_eq!(sample.percentile(50.0), 2.5);
        assert!((sample.percentile(99.0) - 3.97).abs() < 1e-12);
        // numpy.std: sqrt(5 / 4); with ddof=1: sqrt(5 / 3).
        assert!((sample.population_deviation() - 1.25_f64.sqrt()).abs() < 1e-12);
        assert!((sample.sample_deviation() - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Sample::of([7.0]).unwrap().sample_deviation(), 0.0);
        assert_eq!(Sample::of([]), None);
        let kept = Distribution {
            count: 4,
            stddev: (5.0_f64 / 3.0).sqrt(),
            ..Distribution::default()
        };
        assert!((population_deviation_of(&kept) - 1.25_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_left_of_nulls() {
        let value = json!({"a": null, "b": {"c": null, "d": [null]}});
        assert_eq!(without_nulls(value), json!({"b": {"d": [null]}}));
    }
}
