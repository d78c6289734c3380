//! `summary.csv`: one line per stage, for spreadsheets and data frames.

use bakeoff_crds::report::{EngineReport, MetricValue, Report, StageReport};

use super::measure::LatencyOf;

/// Columns of a latency: percentiles that are not known stay empty.
const LATENCIES: [(&str, LatencyOf); 6] = [
    ("time_to_first_token", |stage| {
        stage.time_to_first_token.as_ref()
    }),
    ("inter_token_latency", |stage| {
        stage.inter_token_latency.as_ref()
    }),
    ("inter_chunk_latency", |stage| {
        stage.inter_chunk_latency.as_ref()
    }),
    ("time_per_output_token", |stage| {
        stage.time_per_output_token.as_ref()
    }),
    ("request_latency", |stage| stage.request_latency.as_ref()),
    ("schedule_delay", |stage| stage.schedule_delay.as_ref()),
];

const FIGURES: [&str; 5] = ["mean", "p50", "p90", "p95", "p99"];

const FIRST_COLUMNS: [&str; 23] = [
    "namespace",
    "run",
    "engine",
    "profile",
    "stage",
    "mode",
    "concurrency",
    "rate_per_second",
    "round",
    "repetition",
    "attempt",
    "verdict",
    "start",
    "duration_seconds",
    "requests_intended",
    "requests_succeeded",
    "requests_failed",
    "requests_dropped",
    "requests_per_second",
    "input_tokens_per_second",
    "output_tokens_per_second",
    "output_tokens_mean",
    "goodput_requests_per_second",
];

/// Columns of the steady part of a stage; empty where there is none, but for the reason.
const STEADY_COLUMNS: [&str; 10] = [
    "steady_start_seconds",
    "steady_duration_seconds",
    "steady_requests",
    "steady_requests_per_second",
    "steady_output_tokens_per_second",
    "steady_time_to_first_token_p50_seconds",
    "steady_time_to_first_token_p99_seconds",
    "steady_request_latency_p50_seconds",
    "steady_request_latency_p99_seconds",
    "no_steady_state",
];

/// Columns of what the answers' texts tell; empty where they were not read.
const ANSWER_COLUMNS: [&str; 9] = [
    "answers_judged",
    "answers_empty",
    "answers_shorter_than_asked",
    "answers_longer_than_asked",
    "answers_cut_off",
    "answers_repeating",
    "answers_right_share",
    "answers_right_low",
    "answers_right_high",
];

/// Columns of what the stage cost; empty where no price is known.
const COST_COLUMNS: [&str; 3] = [
    "cost",
    "cost_per_million_output_tokens",
    "cost_per_million_tokens",
];

/// Columns of the engine's hardware; empty where no Prometheus told.
const HARDWARE_COLUMNS: [&str; 7] = [
    "gpu_utilization_mean",
    "gpu_memory_used_bytes_max",
    "gpu_power_watts_mean",
    "energy_joules",
    "energy_joules_per_output_token",
    "container_cpus_mean",
    "container_memory_bytes_max",
];

/// The lines of a report, with a heading.
///
/// # Errors
/// Where the writer fails, which in memory it does not.
pub fn summary(report: &Report) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let latencies = LATENCIES
        .iter()
        .flat_map(|(name, _)| FIGURES.map(|figure| format!("{name}_{figure}_seconds")));
    let first = FIRST_COLUMNS.map(String::from).into_iter();
    let last = STEADY_COLUMNS.iter().chain(&ANSWER_COLUMNS);
    let last = last.chain(&COST_COLUMNS).chain(&HARDWARE_COLUMNS);
    writer.write_record(first.chain(latencies).chain(last.map(ToString::to_string)))?;
    for engine in &report.engines {
        for stage in &engine.stages {
            writer.write_record(record(report, engine, stage))?;
        }
    }
    writer
        .into_inner()
        .map_err(|error| error.into_error().into())
}

fn record(report: &Report, engine: &EngineReport, stage: &StageReport) -> Vec<String> {
    let requests = &stage.requests;
    let throughput = &stage.throughput;
    let first: [String; FIRST_COLUMNS.len()] = [
        report.run.identity.namespace.clone(),
        report.run.identity.name.clone(),
        engine.name.clone(),
        engine.profile.clone(),
        stage.name.clone(),
        match stage.load.mode {
            bakeoff_crds::plan::LoadMode::Closed => "closed".into(),
            bakeoff_crds::plan::LoadMode::Open => "open".into(),
        },
        optional(stage.load.concurrency),
        optional(stage.load.rate),
        stage.round.to_string(),
        stage.repetition.to_string(),
        stage.attempt.to_string(),
        format!("{:?}", stage.verdict.status),
        stage.window.start.clone(),
        stage.window.duration_seconds.to_string(),
        requests.intended.to_string(),
        requests.succeeded.to_string(),
        requests.failed.to_string(),
        requests.dropped.to_string(),
        throughput.requests_per_second.to_string(),
        throughput.input_tokens_per_second.to_string(),
        throughput.output_tokens_per_second.to_string(),
        optional(
            stage
                .output_tokens
                .as_ref()
                .map(|tokens| tokens.distribution.mean),
        ),
        optional(
            stage
                .goodput
                .as_ref()
                .map(|goodput| goodput.requests_per_second),
        ),
    ];
    let latencies = LATENCIES.iter().flat_map(|(_, get)| {
        let found = get(stage);
        [
            optional(found.map(|latency| latency.mean)),
            optional(found.and_then(|latency| latency.p50)),
            optional(found.and_then(|latency| latency.p90)),
            optional(found.and_then(|latency| latency.p95)),
            optional(found.and_then(|latency| latency.p99)),
        ]
    });
    first
        .into_iter()
        .chain(latencies)
        .chain(steady(stage))
        .chain(answers(stage))
        .chain(cost(stage))
        .chain(hardware(stage))
        .collect()
}

fn steady(stage: &StageReport) -> [String; STEADY_COLUMNS.len()] {
    let found = stage.steady_state.as_ref();
    let first = found.and_then(|steady| steady.time_to_first_token.as_ref());
    let latency = found.and_then(|steady| steady.request_latency.as_ref());
    [
        optional(found.map(|steady| steady.start_seconds)),
        optional(found.map(|steady| steady.duration_seconds)),
        optional(found.map(|steady| steady.requests)),
        optional(found.map(|steady| steady.throughput.requests_per_second)),
        optional(found.map(|steady| steady.throughput.output_tokens_per_second)),
        optional(first.and_then(|distribution| distribution.p50)),
        optional(first.and_then(|distribution| distribution.p99)),
        optional(latency.and_then(|distribution| distribution.p50)),
        optional(latency.and_then(|distribution| distribution.p99)),
        stage
            .no_steady_state
            .as_ref()
            .map(|none| format!("{:?}", none.reason))
            .unwrap_or_default(),
    ]
}

fn answers(stage: &StageReport) -> [String; ANSWER_COLUMNS.len()] {
    let sanity = stage.output_sanity.as_ref();
    let quality = stage.quality.as_ref();
    [
        optional(sanity.map(|sanity| sanity.judged)),
        optional(sanity.map(|sanity| sanity.empty)),
        optional(sanity.and_then(|sanity| sanity.shorter_than_asked)),
        optional(sanity.map(|sanity| sanity.longer_than_asked)),
        optional(sanity.and_then(|sanity| sanity.cut_off)),
        optional(sanity.map(|sanity| sanity.repeating)),
        optional(quality.map(|quality| quality.share)),
        optional(quality.map(|quality| quality.interval.low)),
        optional(quality.map(|quality| quality.interval.high)),
    ]
}

fn cost(stage: &StageReport) -> [String; COST_COLUMNS.len()] {
    [
        optional(stage.cost.map(|cost| cost.total)),
        optional(stage.cost.and_then(|cost| cost.per_million_output_tokens)),
        optional(stage.cost.and_then(|cost| cost.per_million_tokens)),
    ]
}

fn hardware(stage: &StageReport) -> [String; HARDWARE_COLUMNS.len()] {
    let figure = |name: &str, of: fn(&MetricValue) -> Option<f64>| {
        let metric = stage.resources.get(name);
        optional(metric.and_then(|metric| of(metric.prometheus.as_ref()?)))
    };
    [
        figure("gpuUtilization", |value| value.mean),
        figure("gpuMemoryUsedBytes", |value| value.max),
        figure("gpuPowerWatts", |value| value.mean),
        optional(stage.energy.map(|energy| energy.joules)),
        optional(
            stage
                .energy
                .and_then(|energy| energy.joules_per_output_token),
        ),
        figure("containerCpus", |value| value.mean),
        figure("containerMemoryBytes", |value| value.max),
    ]
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, settings};

    #[test]
    fn one_line_per_stage() {
        let text = String::from_utf8(summary(&fixture::report()).unwrap()).unwrap();
        settings().bind(|| insta::assert_snapshot!("summary.csv", text));
    }

    #[test]
    fn odd_names_are_quoted() {
        let mut report = fixture::report();
        report.run.identity.name = "a,\"b\"\nc".into();
        let bytes = summary(&report).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let first = reader.records().next().unwrap().unwrap();
        assert_eq!(&first[1], "a,\"b\"\nc");
    }
}
