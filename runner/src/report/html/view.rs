//! A report as the page shows it: every figure already in words.

use bakeoff_crds::{
    report::{Basis, EngineReport, IntervalMethod, Report, Verdict},
    run::status::VerdictStatus,
};
use serde::Serialize;

use super::{
    conditions::{Row, conditions, model_volume},
    cost,
    engine_view::EngineView,
    fairness::FairnessView,
};
use crate::report::{
    chart::{self, panel},
    format,
    measure::{Better, MEASURES, Measure, REQUEST_THROUGHPUT},
    search,
    spread::{Spread, basis, samples, spread},
    table::stage_names,
};

/// The page.
#[derive(Debug, Serialize)]
pub struct Page {
    name: String,
    namespace: String,
    model: String,
    sentence: String,
    notes: Vec<String>,
    verdict: VerdictView,
    fairness: Option<FairnessView>,
    legend: Vec<LegendEntry>,
    /// Markup that was made here, with every text in it escaped; the template takes it as it is.
    panels: Vec<String>,
    glance: Vec<StageGroup>,
    /// Cells of each search: engine, best, first that fails, goodput, stages, how it ended.
    searches: Vec<[String; 6]>,
    measures: Vec<String>,
    conditions: Vec<Row>,
    warnings: Vec<String>,
    features: Vec<Feature>,
    engines: Vec<EngineView>,
    has_cold_start: bool,
    costs: Vec<cost::CostRow>,
    hashes: Vec<Row>,
    metadata: Vec<Row>,
    start_time: String,
    end_time: String,
    version: String,
}

/// A verdict with its reasons.
#[derive(Debug, Serialize)]
pub struct VerdictView {
    /// The verdict's name.
    pub status: &'static str,
    /// In plain words.
    pub meaning: &'static str,
    /// Class, name and message of each reason.
    pub reasons: Vec<(&'static str, String, String)>,
}

#[derive(Debug, Serialize)]
struct LegendEntry {
    name: String,
    class: String,
    /// Markup, as with [`Page::panels`].
    mark: String,
}

/// One stage with a line for each engine.
#[derive(Debug, Serialize)]
struct StageGroup {
    stage: String,
    /// Which part of the stage the figures are of.
    part: &'static str,
    rows: Vec<GlanceRow>,
}

#[derive(Debug, Serialize)]
struct GlanceRow {
    engine: String,
    cells: Vec<Cell>,
    failed: String,
    verdict: &'static str,
}

#[derive(Debug, Serialize)]
struct Cell {
    text: String,
    range: String,
    best: bool,
}

#[derive(Debug, Serialize)]
struct Feature {
    name: &'static str,
    has: Vec<bool>,
}

/// Measures of the first table, with short headings.
const GLANCE: [(&str, &str); 8] = [
    ("outputTokensPerSecond", "Output tokens/s"),
    ("requestsPerSecond", "Requests/s"),
    ("timeToFirstTokenP50", "TTFT p50"),
    ("timeToFirstTokenP99", "TTFT p99"),
    ("timePerOutputTokenP50", "TPOT p50"),
    ("requestLatencyP50", "Latency p50"),
    ("requestLatencyP99", "Latency p99"),
    ("costPerMillionOutputTokens", "Cost of 1M output tokens"),
];

impl Page {
    /// The page of a report.
    pub fn of(report: &Report) -> Self {
        let run = &report.run;
        let measures = measures(report);
        let stages = stage_names(report);
        let deployed = report
            .engines
            .iter()
            .any(|engine| engine.provenance.image.is_some());
        Self {
            name: run.identity.name.clone(),
            namespace: run.identity.namespace.clone(),
            model: text_at(&run.spec, "/model/id"),
            sentence: report.comparison.sentence.clone(),
            notes: report.comparison.notes.clone(),
            verdict: VerdictView::of(&report.verdict),
            fairness: FairnessView::of(&report.fairness),
            legend: legend(&report.engines),
            panels: panels(report),
            glance: stages
                .iter()
                .map(|stage| group(report, stage, &measures))
                .collect(),
            searches: search::rows(&report.engines),
            measures: measures
                .iter()
                .map(|(_, heading)| (*heading).to_owned())
                .collect(),
            conditions: conditions(&run.spec, run.prompts, deployed)
                .into_iter()
                .chain(model_volume(run.model_volume.as_ref()))
                .collect(),
            warnings: run.warnings.clone(),
            features: features(&report.engines),
            engines: report
                .engines
                .iter()
                .enumerate()
                .map(|(place, engine)| EngineView::of(place, engine))
                .collect(),
            has_cold_start: report
                .engines
                .iter()
                .any(|engine| !engine.cold_start.is_empty()),
            costs: cost::rows(&report.engines),
            hashes: hashes(report),
            metadata: run.metadata.clone().into_iter().collect(),
            start_time: run.start_time.clone(),
            end_time: run.end_time.clone(),
            version: run.bakeoff_version.clone(),
        }
    }
}

impl VerdictView {
    /// A verdict.
    pub fn of(verdict: &Verdict) -> Self {
        Self {
            status: status(verdict.status),
            meaning: match verdict.status {
                VerdictStatus::Valid => "Nothing speaks against these figures.",
                VerdictStatus::Suspect => "Use these figures with care:",
                VerdictStatus::Invalid => "Do not rely on these figures:",
            },
            reasons: verdict
                .reasons
                .iter()
                .map(|reason| {
                    (
                        status(reason.status),
                        reason.reason.clone(),
                        reason.message.clone(),
                    )
                })
                .collect(),
        }
    }
}

/// Name of a verdict; a class of the page's style too.
pub fn status(status: VerdictStatus) -> &'static str {
    match status {
        VerdictStatus::Valid => "Valid",
        VerdictStatus::Suspect => "Suspect",
        VerdictStatus::Invalid => "Invalid",
    }
}

fn legend(engines: &[EngineReport]) -> Vec<LegendEntry> {
    let entries = engines.iter().enumerate();
    entries
        .map(|(place, engine)| LegendEntry {
            name: engine.name.clone(),
            class: panel::series_class(place),
            mark: format!(
                "<svg class=\"mark {}\" viewBox=\"0 0 28 12\" width=\"28\" height=\"12\" aria-hidden=\"true\">\
                 <path class=\"line\" d=\"M1 6h26\"/>{}</svg>",
                panel::series_class(place),
                panel::marker(place, 14.0, 6.0, "")
            ),
        })
        .collect()
}

fn panels(report: &Report) -> Vec<String> {
    let panels = chart::panels(report);
    panels.iter().map(panel::document).collect()
}

/// The measures that any stage has.
fn measures(report: &Report) -> Vec<(Measure, &'static str)> {
    let stages = || report.engines.iter().flat_map(|engine| &engine.stages);
    GLANCE
        .iter()
        .filter_map(|(name, heading)| {
            let measure = MEASURES.into_iter().find(|measure| measure.name == *name)?;
            stages()
                .any(|stage| (measure.value)(stage).is_some())
                .then_some((measure, *heading))
        })
        .collect()
}

fn group(report: &Report, stage: &str, measures: &[(Measure, &'static str)]) -> StageGroup {
    let best: Vec<Option<f64>> = measures
        .iter()
        .map(|(measure, _)| best(report, stage, measure))
        .collect();
    let rows = report.engines.iter().filter_map(|engine| {
        let stages: Vec<_> = engine
            .stages
            .iter()
            .filter(|one| one.name == stage)
            .collect();
        let worst = stages.iter().map(|one| one.verdict.status).max()?;
        let cells = measures.iter().zip(&best).map(|((measure, _), best)| {
            let Some(spread) = spread(&report.engines, engine, stage, measure) else {
                return Cell {
                    text: "–".into(),
                    range: String::new(),
                    best: false,
                };
            };
            Cell {
                text: show(measure, spread.mean),
                range: details(report, engine, stage, measure, spread),
                best: *best == Some(spread.mean),
            }
        });
        let failed: u64 = stages
            .iter()
            .map(|one| one.requests.failed + one.requests.dropped)
            .sum();
        Some(GlanceRow {
            engine: engine.name.clone(),
            cells: cells.collect(),
            failed: format::count(failed),
            verdict: status(worst),
        })
    });
    let part = basis(&report.engines, stage, &REQUEST_THROUGHPUT);
    StageGroup {
        stage: stage.to_owned(),
        part: match part {
            Basis::SteadyState => "steady state",
            Basis::WholeStage => "whole stage",
        },
        rows: rows.collect(),
    }
}

/// What stands behind a figure: its interval, its measurements, and the figure of the whole stage
/// where it is of the steady part.
fn details(
    report: &Report,
    engine: &EngineReport,
    stage: &str,
    measure: &Measure,
    spread: Spread,
) -> String {
    let show = |value| show(measure, value);
    let interval = spread.interval.map(|interval| {
        let within = match interval.method {
            IntervalMethod::Rounds => "",
            IntervalMethod::Repetitions => " within one start",
            _ => " within one measurement",
        };
        format!(
            "95 % CI {} to {}{within}",
            show(interval.low),
            show(interval.high)
        )
    });
    let range = (spread.samples > 1).then(|| {
        format!(
            "{} to {}, {} measurements",
            show(spread.min),
            show(spread.max),
            spread.samples
        )
    });
    let steady = basis(&report.engines, stage, measure) == Basis::SteadyState;
    let whole = steady
        .then(|| Spread::of(&samples(engine, stage, measure, Basis::WholeStage)))
        .flatten()
        .map(|whole| format!("whole stage: {}", show(whole.mean)));
    let parts = [interval, range, whole];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn show(measure: &Measure, value: f64) -> String {
    match measure.better {
        Better::Higher => format::number(value),
        Better::Lower => format::seconds(value),
    }
}

/// The best mean of a stage, where one engine alone has it as far as the page's digits show.
fn best(report: &Report, stage: &str, measure: &Measure) -> Option<f64> {
    let engines = report.engines.iter();
    let mut means: Vec<_> = engines
        .filter_map(|engine| Some(spread(&report.engines, engine, stage, measure)?.mean))
        .collect();
    means.sort_by(f64::total_cmp);
    if measure.better == Better::Higher {
        means.reverse();
    }
    match means.as_slice() {
        [first, second, ..] if show(measure, *first) != show(measure, *second) => Some(*first),
        _ => None,
    }
}

fn features(engines: &[EngineReport]) -> Vec<Feature> {
    let row = |name, has: fn(&EngineReport) -> bool| Feature {
        name,
        has: engines.iter().map(has).collect(),
    };
    vec![
        row("Streaming", |engine| engine.capabilities.streaming),
        row("Continuous batching", |engine| {
            engine.capabilities.continuous_batching
        }),
        row("Several models or adapters", |engine| {
            engine.capabilities.multi_model
        }),
        row("Quantization", |engine| engine.capabilities.quantization),
        row("Speculative decoding", |engine| {
            engine.capabilities.speculative_decoding
        }),
        row("Answers of forced length", |engine| {
            engine.capabilities.ignore_eos
        }),
        row("Seed", |engine| engine.capabilities.seed),
        row("Token counts in the stream", |engine| {
            engine.capabilities.usage_in_stream
        }),
        row("Several prompts in a request", |engine| {
            engine.capabilities.prompt_lists
        }),
    ]
}

fn hashes(report: &Report) -> Vec<Row> {
    let run = &report.run;
    let rows = [
        ("Prompts", Some(run.prompts_sha256.clone())),
        ("Data set", run.dataset_sha256.clone()),
        ("Tokenizer", run.tokenizer_sha256.clone()),
    ];
    rows.into_iter()
        .filter_map(|(label, hash)| Some((label.to_owned(), hash.filter(|hash| !hash.is_empty())?)))
        .collect()
}

fn text_at(value: &serde_json::Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(|text| text.as_str());
    found.unwrap_or_default().to_owned()
}
