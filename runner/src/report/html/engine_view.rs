//! One engine as the page shows it.

use bakeoff_crds::report::{
    ColdStartStep, EngineReport, ModelFiles, Provenance, RevisionSource, StageReport,
    TokenCountSource,
};
use serde::Serialize;

use super::{
    answers, cache,
    conditions::Row,
    groups::{self, GroupRow},
    metrics::{HARDWARE, MetricRow, OWN, absent, energy, metrics},
    reconciliation::{self, ReconciliationRow},
    shards::{self, ShardRow},
    steady::{self, SteadyRow},
    view::{VerdictView, status},
};
use crate::report::{chart::panel, client::COLUMNS, format, measure::LatencyOf};

/// One engine.
#[derive(Debug, Serialize)]
pub struct EngineView {
    name: String,
    display_name: String,
    class: String,
    verdict: VerdictView,
    deviations: Vec<String>,
    cautions: Vec<String>,
    failures: Vec<FailureView>,
    latencies: Vec<LatencyTable>,
    client_columns: Vec<&'static str>,
    stages: Vec<StageView>,
    steady: Vec<SteadyRow>,
    groups: Vec<GroupRow>,
    shards: Vec<ShardRow>,
    cold_start: Vec<[String; 10]>,
    reconciliation: Vec<ReconciliationRow>,
    metrics: Vec<MetricRow>,
    resources: Vec<MetricRow>,
    absent_resources: Vec<(String, String)>,
    metric_stages: Vec<String>,
    absent: Vec<(String, String)>,
    provenance: Vec<Row>,
    command_line: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FailureView {
    round: u32,
    reason: String,
    message: String,
    exit_code: Option<i32>,
}

/// One latency over the stages.
#[derive(Debug, Serialize)]
struct LatencyTable {
    title: &'static str,
    rows: Vec<(String, Vec<String>)>,
}

/// Requests and the client's own figures of one stage.
#[derive(Debug, Serialize)]
struct StageView {
    label: String,
    intended: String,
    succeeded: String,
    failed: String,
    dropped: String,
    failures: String,
    duration: String,
    input_tokens: String,
    output_tokens: String,
    counted_by: &'static str,
    goodput: String,
    objectives: Vec<String>,
    answers: Vec<String>,
    client: Vec<String>,
    verdict: &'static str,
    reasons: Vec<String>,
}

const LATENCIES: [(&str, LatencyOf); 8] = [
    ("Time to first token", |stage| {
        stage.time_to_first_token.as_ref()
    }),
    ("Time to first token, from when it was due", |stage| {
        stage.time_to_first_token_scheduled.as_ref()
    }),
    ("Time per output token", |stage| {
        stage.time_per_output_token.as_ref()
    }),
    ("Inter-token latency", |stage| {
        stage.inter_token_latency.as_ref()
    }),
    ("Inter-chunk latency", |stage| {
        stage.inter_chunk_latency.as_ref()
    }),
    ("Request latency", |stage| stage.request_latency.as_ref()),
    ("Request latency, from when it was due", |stage| {
        stage.request_latency_scheduled.as_ref()
    }),
    ("Schedule delay", |stage| stage.schedule_delay.as_ref()),
];

impl EngineView {
    /// An engine at its place in the report.
    pub fn of(place: usize, engine: &EngineReport) -> Self {
        let measured: Vec<(String, &StageReport)> = engine
            .stages
            .iter()
            .map(|stage| (label(engine, stage), stage))
            .collect();
        Self {
            name: engine.name.clone(),
            display_name: engine.display_name.clone(),
            class: panel::series_class(place),
            verdict: VerdictView::of(&engine.verdict),
            deviations: engine.deviations.clone(),
            cautions: engine.cautions.clone(),
            failures: failures(engine),
            latencies: LATENCIES
                .iter()
                .filter_map(|(title, of)| latency_table(title, *of, &measured))
                .collect(),
            client_columns: COLUMNS.iter().map(|column| column.title).collect(),
            stages: measured
                .iter()
                .map(|(label, stage)| StageView::of(label, stage))
                .collect(),
            steady: steady::rows(&measured),
            groups: groups::rows(&measured),
            shards: shards::rows(&measured),
            cold_start: cold_start(engine),
            reconciliation: reconciliation::rows(engine),
            metrics: metrics(engine, OWN),
            resources: metrics(engine, HARDWARE)
                .into_iter()
                .chain(energy(engine))
                .collect(),
            absent_resources: absent(engine, HARDWARE),
            metric_stages: measured.iter().map(|(label, _)| label.clone()).collect(),
            absent: absent(engine, OWN),
            provenance: provenance(engine),
            command_line: engine.provenance.command_line.clone(),
        }
    }
}

/// Name of a stage, with round, repetition and attempt where there are several.
fn label(engine: &EngineReport, stage: &StageReport) -> String {
    let several = |of: fn(&StageReport) -> u32| engine.stages.iter().any(|other| of(other) > 1);
    let mut label = stage.name.clone();
    for (word, number, shown) in [
        ("round", stage.round, several(|stage| stage.round)),
        (
            "repetition",
            stage.repetition,
            several(|stage| stage.repetition),
        ),
        ("attempt", stage.attempt, several(|stage| stage.attempt)),
    ] {
        if shown {
            label.push_str(&format!(", {word} {number}"));
        }
    }
    label
}

fn failures(engine: &EngineReport) -> Vec<FailureView> {
    let failures = engine.failures.iter();
    failures
        .map(|failure| FailureView {
            round: failure.round,
            reason: failure.reason.clone(),
            message: failure.message.clone(),
            exit_code: failure.exit_code,
        })
        .collect()
}

fn latency_table(
    title: &'static str,
    of: LatencyOf,
    stages: &[(String, &StageReport)],
) -> Option<LatencyTable> {
    let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), format::seconds);
    let rows: Vec<_> = stages
        .iter()
        .filter_map(|(label, stage)| {
            let found = of(stage)?;
            let cells = vec![
                format::seconds(found.mean),
                show(found.p50),
                show(found.p90),
                show(found.p95),
                show(found.p99),
                show(found.p999),
                format::seconds(found.max),
                format::count(found.count),
            ];
            Some((label.clone(), cells))
        })
        .collect();
    (!rows.is_empty()).then_some(LatencyTable { title, rows })
}

impl StageView {
    fn of(label: &str, stage: &StageReport) -> Self {
        let requests = &stage.requests;
        let kinds = requests
            .failures
            .iter()
            .map(|(kind, number)| format!("{kind} {}", format::count(*number)))
            .chain(requests.retry_after.as_ref().map(format::retry_after));
        let mean = |tokens: &Option<bakeoff_crds::report::TokenDistribution>| {
            let tokens = tokens.as_ref();
            tokens.map_or_else(
                || "–".to_owned(),
                |tokens| format::number(tokens.distribution.mean),
            )
        };
        Self {
            label: label.to_owned(),
            intended: format::count(requests.intended),
            succeeded: format::count(requests.succeeded),
            failed: format::count(requests.failed),
            dropped: format::count(requests.dropped),
            failures: kinds.collect::<Vec<_>>().join(", "),
            duration: format::seconds(stage.window.duration_seconds),
            input_tokens: mean(&stage.input_tokens),
            output_tokens: mean(&stage.output_tokens),
            counted_by: match stage.token_count_source {
                TokenCountSource::Server => "engine",
                TokenCountSource::Tokenizer => "tokenizer",
                TokenCountSource::None => "nobody",
            },
            goodput: stage.goodput.as_ref().map_or_else(String::new, |goodput| {
                format!(
                    "{} requests/s, {} of all",
                    format::number(goodput.requests_per_second),
                    format::percent(goodput.attainment)
                )
            }),
            objectives: objectives(stage),
            answers: answers::lines(stage)
                .into_iter()
                .chain(cache::line(stage))
                .collect(),
            client: client(stage),
            verdict: status(stage.verdict.status),
            reasons: stage
                .verdict
                .reasons
                .iter()
                .map(|reason| format!("{}: {}", reason.reason, reason.message))
                .collect(),
        }
    }
}

fn objectives(stage: &StageReport) -> Vec<String> {
    let objectives = stage.goodput.iter().flat_map(|goodput| &goodput.objectives);
    objectives
        .map(|objective| {
            let value = objective
                .value_seconds
                .map_or_else(|| "too few samples".to_owned(), format::seconds);
            let met = match objective.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "not judged",
            };
            format!(
                "{:?} p{} under {}: {value}, {met}",
                objective.metric,
                objective.percentile,
                format::seconds(objective.less_than_seconds)
            )
        })
        .collect()
}

fn client(stage: &StageReport) -> Vec<String> {
    COLUMNS
        .iter()
        .map(|column| (column.value)(stage).unwrap_or_else(|| "–".to_owned()))
        .collect()
}

/// What ran before the engine, each with its time and what it said of it.
fn steps(steps: &[ColdStartStep]) -> String {
    let told: Vec<String> = steps
        .iter()
        .map(|step| {
            let time = format::seconds(step.seconds);
            match &step.message {
                Some(message) => format!("{} {time} ({message})", step.name),
                None => format!("{} {time}", step.name),
            }
        })
        .collect();
    match told.is_empty() {
        true => "–".to_owned(),
        false => told.join(", "),
    }
}

fn cold_start(engine: &EngineReport) -> Vec<[String; 10]> {
    let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), format::seconds);
    let rounds = engine.cold_start.iter();
    rounds
        .map(|start| {
            [
                start.round.to_string(),
                show(start.scheduled_seconds),
                match start.image_was_present {
                    Some(true) => "was there".to_owned(),
                    _ => show(start.image_pulled_seconds),
                },
                steps(&start.steps),
                show(start.container_started_seconds),
                match start.model_files {
                    Some(ModelFiles::Cold) => "not read before",
                    Some(ModelFiles::JustFetched) => "just fetched",
                    Some(ModelFiles::Warm) => "read before",
                    None => "–",
                }
                .to_owned(),
                show(start.weight_loading_seconds),
                show(start.ready_seconds),
                show(start.first_token_seconds),
                show(start.first_request_seconds),
            ]
        })
        .collect()
}

fn provenance(engine: &EngineReport) -> Vec<Row> {
    let provenance = &engine.provenance;
    let nodes = (!provenance.nodes.is_empty()).then(|| provenance.nodes.join(", "));
    let rows = [
        ("Profile", Some(engine.profile.clone())),
        ("Version", provenance.engine_version.clone()),
        ("Image", provenance.image.clone()),
        ("Image, resolved", provenance.image_id.clone()),
        ("Model", provenance.model.clone()),
        ("Commit of the model", revision(provenance)),
        ("Protocol", provenance.protocol.clone()),
        ("Address", provenance.url.clone()),
        ("Nodes", nodes),
        ("Hardware", hardware(provenance)),
        ("Accelerators", accelerators(provenance)),
    ];
    rows.into_iter()
        .filter_map(|(label, value)| Some((label.to_owned(), value?)))
        .collect()
}

/// The commit, and who told it.
fn revision(provenance: &Provenance) -> Option<String> {
    let commit = provenance.model_revision.as_deref()?;
    Some(match provenance.model_revision_from? {
        RevisionSource::Engine => format!("{commit}, by the engine"),
        RevisionSource::Hub => format!("{commit}, by the hub before the run"),
        RevisionSource::Volume => format!("{commit}, fetched before the run"),
    })
}

/// What its nodes are.
fn hardware(provenance: &Provenance) -> Option<String> {
    let nodes = provenance.hardware.iter().map(|node| {
        let driver = node
            .driver
            .as_ref()
            .map(|driver| format!("driver {driver}"));
        let kernel = node
            .kernel
            .as_ref()
            .map(|kernel| format!("kernel {kernel}"));
        let parts = [
            node.accelerator.clone(),
            driver,
            node.machine_type.clone(),
            kernel,
            node.os_image.clone(),
            node.container_runtime.clone(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    let nodes: Vec<String> = nodes.collect();
    (!nodes.is_empty()).then(|| nodes.join("; "))
}

/// Which accelerators it had.
fn accelerators(provenance: &Provenance) -> Option<String> {
    let devices = provenance.accelerators.iter();
    let devices: Vec<String> = devices
        .map(|device| {
            let words = [device.product.clone(), Some(device.uuid.clone())];
            words.into_iter().flatten().collect::<Vec<_>>().join(" ")
        })
        .collect();
    (!devices.is_empty()).then(|| devices.join(", "))
}
