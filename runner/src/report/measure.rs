//! The figures by which engines are compared, read from stages.

use bakeoff_crds::report::{Distribution, StageReport, SteadyState, TokenCountSource};

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
    /// Money for a million output tokens, in the run's currency.
    PerMillionOutputTokens,
}

impl Unit {
    /// A value with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::TokensPerSecond => format!("{} tokens/s", format::number(value)),
            Self::RequestsPerSecond => format!("{} requests/s", format::number(value)),
            Self::Seconds => format::seconds(value),
            Self::PerMillionOutputTokens => {
                format!("{} per million output tokens", format::price(value))
            }
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
    /// The figure of the whole stage; none where the stage has no such figure.
    pub value: fn(&StageReport) -> Option<f64>,
    /// The same figure of the steady part of the stage.
    pub steady: fn(&SteadyState) -> Option<f64>,
}

impl Measure {
    /// Whether it counts or times whole requests, which are less work where answers are shorter.
    pub fn is_per_request(&self) -> bool {
        let timed = self.name.starts_with("requestLatency");
        timed || [REQUEST_THROUGHPUT.name, GOODPUT.name].contains(&self.name)
    }
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
    steady: |steady| Some(steady.throughput.output_tokens_per_second),
};

/// Requests a second.
pub const REQUEST_THROUGHPUT: Measure = Measure {
    name: "requestsPerSecond",
    title: "request throughput",
    unit: Unit::RequestsPerSecond,
    better: Better::Higher,
    value: |stage| Some(stage.throughput.requests_per_second),
    steady: |steady| Some(steady.throughput.requests_per_second),
};

/// Median time to first token.
pub const FIRST_TOKEN: Measure = Measure {
    name: "timeToFirstTokenP50",
    title: "median time to first token",
    unit: Unit::Seconds,
    better: Better::Lower,
    value: |stage| median(stage.time_to_first_token.as_ref()),
    steady: |steady| median(steady.time_to_first_token.as_ref()),
};

/// Median request latency.
pub const LATENCY: Measure = Measure {
    name: "requestLatencyP50",
    title: "median request latency",
    unit: Unit::Seconds,
    better: Better::Lower,
    value: |stage| median(stage.request_latency.as_ref()),
    steady: |steady| median(steady.request_latency.as_ref()),
};

/// Requests a second that met every objective; of whole stages alone, since it is over all arrivals.
pub const GOODPUT: Measure = Measure {
    name: "goodputRequestsPerSecond",
    title: "goodput",
    unit: Unit::RequestsPerSecond,
    better: Better::Higher,
    value: |stage| Some(stage.goodput.as_ref()?.requests_per_second),
    steady: |_| None,
};

/// Cost of a million output tokens; of whole stages alone, since the ramp and the tail are paid for too.
pub const COST: Measure = Measure {
    name: "costPerMillionOutputTokens",
    title: "cost",
    unit: Unit::PerMillionOutputTokens,
    better: Better::Lower,
    value: |stage| stage.cost.as_ref()?.per_million_output_tokens,
    steady: |_| None,
};

/// Every measure of the comparison.
pub const MEASURES: [Measure; 9] = [
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
        steady: |steady| median(steady.time_per_output_token.as_ref()),
    },
    Measure {
        name: "timeToFirstTokenP99",
        title: "99th percentile of time to first token",
        unit: Unit::Seconds,
        better: Better::Lower,
        value: |stage| stage.time_to_first_token.as_ref()?.p99,
        steady: |steady| steady.time_to_first_token.as_ref()?.p99,
    },
    Measure {
        name: "requestLatencyP99",
        title: "99th percentile of request latency",
        unit: Unit::Seconds,
        better: Better::Lower,
        value: |stage| stage.request_latency.as_ref()?.p99,
        steady: |steady| steady.request_latency.as_ref()?.p99,
    },
    GOODPUT,
    COST,
];

fn median(distribution: Option<&Distribution>) -> Option<f64> {
    distribution?.p50
}
