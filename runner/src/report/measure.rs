//! The figures by which engines are compared, read from stages.

use bakeoff_crds::{
    report::{Distribution, EngineReport, StageReport, TokenCountSource},
    run::status::VerdictStatus,
};

use super::format;

/// Unit of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Tokens a second.
    TokensPerSecond,
    /// Requests a second.
    RequestsPerSecond,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// A value with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::TokensPerSecond => format!("{} tokens/s", format::number(value)),
            Self::RequestsPerSecond => format!("{} requests/s", format::number(value)),
            Self::Seconds => format::seconds(value),
        }
    }
}

/// One of a stage's distributions of latencies.
pub type LatencyOf = fn(&StageReport) -> Option<&Distribution>;

/// Which end of a measure is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// One figure of a stage by which engines are compared.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Name in `comparison.best`.
    pub name: &'static str,
    /// Name in sentences: `output throughput`.
    pub title: &'static str,
    /// Unit.
    pub unit: Unit,
    /// The good end.
    pub better: Better,
    /// The figure; none where the stage has no such figure.
    pub value: fn(&StageReport) -> Option<f64>,
}

/// Output tokens a second.
pub const OUTPUT_THROUGHPUT: Measure = Measure {
    name: "outputTokensPerSecond",
    title: "output throughput",
    unit: Unit::TokensPerSecond,
    better: Better::Higher,
    value: |stage| {
        (stage.token_count_source != TokenCountSource::None)
            .then_some(stage.throughput.output_tokens_per_second)
    },
};

/// Requests a second.
pub const REQUEST_THROUGHPUT: Measure = Measure {
    name: "requestsPerSecond",
    title: "request throughput",
    unit: Unit::RequestsPerSecond,
    better: Better::Higher,
    value: |stage| Some(stage.throughput.requests_per_second),
};

/// Median time to first token.
pub const FIRST_TOKEN: Measure = Measure {
    name: "timeToFirstTokenP50",
    title: "median time to first token",
    unit: Unit::Seconds,
    better: Better::Lower,
    value: |stage| median(stage.time_to_first_token.as_ref()),
};

/// Median request latency.
pub const LATENCY: Measure = Measure {
    name: "requestLatencyP50",
    title: "median request latency",
    unit: Unit::Seconds,
    better: Better::Lower,
    value: |stage| median(stage.request_latency.as_ref()),
};

/// Every measure of the comparison.
pub const MEASURES: [Measure; 8] = [
    OUTPUT_THROUGHPUT,
    REQUEST_THROUGHPUT,
    FIRST_TOKEN,
    LATENCY,
    Measure {
        name: "timePerOutputTokenP50",
        title: "median time per output token",
        unit: Unit::Seconds,
        better: Better::Lower,
        value: |stage| median(stage.time_per_output_token.as_ref()),
    },
    Measure {
        name: "timeToFirstTokenP99",
        title: "99th percentile of time to first token",
        unit: Unit::Seconds,
        better: Better::Lower,
        value: |stage| stage.time_to_first_token.as_ref()?.p99,
    },
    Measure {
        name: "requestLatencyP99",
        title: "99th percentile of request latency",
        unit: Unit::Seconds,
        better: Better::Lower,
        value: |stage| stage.request_latency.as_ref()?.p99,
    },
    Measure {
        name: "goodputRequestsPerSecond",
        title: "goodput",
        unit: Unit::RequestsPerSecond,
        better: Better::Higher,
        value: |stage| Some(stage.goodput.as_ref()?.requests_per_second),
    },
];

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
}

impl Spread {
    /// The spread of some values; none where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        values.into_iter().fold(None, |spread, value| {
            let Self {
                mean,
                min,
                max,
                samples,
            } = spread.unwrap_or(Self {
                mean: 0.0,
                min: value,
                max: value,
                samples: 0,
            });
            Some(Self {
                mean: mean + (value - mean) / (samples + 1) as f64,
                min: min.min(value),
                max: max.max(value),
                samples: samples + 1,
            })
        })
    }
}

/// Whether a stage takes part in comparisons.
pub fn counts(stage: &StageReport) -> bool {
    stage.verdict.status != VerdictStatus::Invalid
}

/// A measure of an engine at one stage, over its rounds and repetitions. Invalid stages take no
/// part.
pub fn spread(engine: &EngineReport, stage: &str, measure: &Measure) -> Option<Spread> {
    let stages = engine.stages.iter();
    Spread::of(
        stages
            .filter(|candidate| candidate.name == stage && counts(candidate))
            .filter_map(measure.value),
    )
}

fn median(distribution: Option<&Distribution>) -> Option<f64> {
    distribution?.p50
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_mean_least_and_greatest() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(
            Spread::of([1.0, 4.0, 1.0]),
            Some(Spread {
                mean: 2.0,
                min: 1.0,
                max: 4.0,
                samples: 3
            })
        );
    }
}
