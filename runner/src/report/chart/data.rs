//! Which figures of a report go into which panel.

use bakeoff_crds::{
    plan::LoadMode,
    report::{EngineReport, Report, StageReport},
};

use crate::report::{
    measure::{Better, FIRST_TOKEN, LATENCY, Measure, OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT, Unit},
    spread::{Spread, counts, spread},
    table::stage_names,
};

/// One panel: lines of figures over a load.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Heading.
    pub title: String,
    /// `higher is better`, `lower is better`.
    pub better: &'static str,
    /// Name of the horizontal axis, with its unit.
    pub x_label: String,
    /// Unit of the figures.
    pub unit: Unit,
    /// Whether figures may stand on a logarithmic axis.
    pub wide: bool,
    /// Loads that get a tick of their own; empty where the axis has round ticks.
    pub loads: Vec<f64>,
    /// One line per engine, in the order of the report; an engine without figures has none.
    pub lines: Vec<Line>,
    /// What is written in place of lines where there are none.
    pub empty: &'static str,
}

/// One engine's line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Place of the engine in the report; decides colour and mark.
    pub place: usize,
    /// Name of the engine.
    pub engine: String,
    /// The points, in the order of the load.
    pub points: Vec<Point>,
}

/// One point of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// The figure over rounds and repetitions.
    pub y: Spread,
    /// Words beside the point; empty for none.
    pub note: String,
    /// Name of the stage.
    pub stage: String,
}

/// The panels of a report: throughput, latency and time to first token over the load; for a sweep
/// of request rates, latency over throughput too.
pub fn panels(report: &Report) -> Vec<Panel> {
    let stages = report.engines.iter().flat_map(|engine| &engine.stages);
    let open = stages
        .clone()
        .any(|stage| stage.load.mode == LoadMode::Open);
    let tokens = stages
        .clone()
        .filter(|stage| counts(stage))
        .all(|stage| (OUTPUT_THROUGHPUT.value)(stage).is_some());
    let throughput = if tokens {
        OUTPUT_THROUGHPUT
    } else {
        REQUEST_THROUGHPUT
    };
    let axis = Axis::of(report, open);
    let over_load =
        |title: &str, measure: &Measure, empty| over_load(report, title, measure, &axis, empty);
    let mut panels = vec![
        over_load("Throughput", &throughput, "nothing was measured"),
        over_load("Request latency, median", &LATENCY, "no request succeeded"),
        over_load(
            "Time to first token, median",
            &FIRST_TOKEN,
            "answers did not stream",
        ),
    ];
    if open {
        panels.push(latency_over_throughput(report, &throughput, &axis));
    }
    panels
}

/// The axis of loads.
struct Axis {
    label: &'static str,
    /// Where each stage stands, by its name.
    places: Vec<(String, Option<f64>)>,
    /// Whether the places are those of the loads themselves.
    by_load: bool,
}

impl Axis {
    /// Stages that were written out can mix open and closed loops, or have one load twice. Then they
    /// stand side by side in their order.
    fn of(report: &Report, open: bool) -> Self {
        let names = stage_names(report);
        let all = || report.engines.iter().flat_map(|engine| &engine.stages);
        let load_of = |name: &String| all().find(|stage| stage.name == *name)?.load.level();
        let mut loads: Vec<f64> = names.iter().filter_map(load_of).collect();
        let stages = loads.len();
        loads.sort_by(f64::total_cmp);
        loads.dedup();
        let replay = all().any(|stage| stage.load.replay_speed.is_some());
        let kind = |stage: &StageReport| (stage.load.mode, stage.load.replay_speed.is_some());
        let mixed = all().any(|stage| all().next().map(kind) != Some(kind(stage)));
        let by_load = !mixed && loads.len() == stages;
        let places = names.into_iter().enumerate().map(|(number, name)| {
            let place = if by_load {
                load_of(&name)
            } else {
                Some(number as f64 + 1.0)
            };
            (name, place)
        });
        Self {
            places: places.collect(),
            by_load,
            label: match (by_load, open) {
                (false, _) => "Stage (in the order of the tables)",
                (true, true) if replay => "Speed of the replay (times the trace's)",
                (true, true) => "Request rate (requests/s)",
                (true, false) => "Concurrency (requests in flight)",
            },
        }
    }

    fn place(&self, stage: &str) -> Option<f64> {
        let found = self.places.iter().find(|(name, _)| name == stage);
        found.and_then(|(_, place)| *place)
    }
}

fn over_load(
    report: &Report,
    title: &str,
    measure: &Measure,
    axis: &Axis,
    empty: &'static str,
) -> Panel {
    let line = |engine: &EngineReport, stage: &str| {
        Some(Point {
            x: axis.place(stage)?,
            y: spread(&report.engines, engine, stage, measure)?,
            note: String::new(),
            stage: stage.to_owned(),
        })
    };
    let lines = lines(report, line);
    let points = lines.iter().flat_map(|line| &line.points);
    let mut loads: Vec<f64> = points.map(|point| point.x).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    Panel {
        title: title.to_owned(),
        better: better(measure),
        x_label: axis.label.to_owned(),
        unit: measure.unit,
        wide: measure.better == Better::Lower,
        loads,
        lines,
        empty,
    }
}

/// Each point is one rate; the knee shows how much an engine bears.
fn latency_over_throughput(report: &Report, throughput: &Measure, axis: &Axis) -> Panel {
    let line = |engine: &EngineReport, stage: &str| {
        let one = engine.stages.iter().find(|one| one.name == stage)?;
        Some(Point {
            x: spread(&report.engines, engine, stage, throughput)?.mean,
            y: spread(&report.engines, engine, stage, &LATENCY)?,
            note: match one.load.mean_rate().filter(|_| axis.by_load) {
                Some(rate) => format!("{rate}/s"),
                None => stage.to_owned(),
            },
            stage: stage.to_owned(),
        })
    };
    let unit = match throughput.unit {
        Unit::RequestsPerSecond => "requests/s",
        Unit::TokensPerSecond | Unit::Seconds | Unit::PerMillionOutputTokens => "output tokens/s",
    };
    Panel {
        title: "Latency over throughput".into(),
        better: "lower and further right is better",
        x_label: format!("Throughput ({unit})"),
        unit: Unit::Seconds,
        wide: true,
        loads: Vec::new(),
        lines: lines(report, line),
        empty: "no request succeeded",
    }
}

fn lines(report: &Report, point: impl Fn(&EngineReport, &str) -> Option<Point>) -> Vec<Line> {
    let stages = stage_names(report);
    let lines = report.engines.iter().enumerate().map(|(place, engine)| {
        let mut points: Vec<_> = stages
            .iter()
            .filter_map(|stage| point(engine, stage))
            .collect();
        // Over a load the order of the load; a curve of rates is in the order of its stages.
        if points.iter().all(|point| point.note.is_empty()) {
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
        }
        Line {
            place,
            engine: engine.name.clone(),
            points,
        }
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn better(measure: &Measure) -> &'static str {
    match measure.better {
        Better::Higher => "higher is better",
        Better::Lower => "lower is better",
    }
}
