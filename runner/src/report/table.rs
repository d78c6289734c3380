//! Tables for terminals.

use bakeoff_crds::{
    report::{Basis, EngineReport, Report, RequestGroup, StageReport, TokenCountSource},
    run::status::VerdictStatus,
};

use super::{
    client, format,
    html::answers,
    measure::{FIRST_TOKEN, LATENCY, MEASURES, Measure, OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT},
    search,
    spread::{Spread, basis, samples, spread},
};

/// A table of text; the first `left` columns are aligned to the left, the others to the right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    left: usize,
}

impl Table {
    /// A table with a heading.
    pub fn new(left: usize, heading: &[&str]) -> Self {
        let mut table = Self {
            rows: Vec::new(),
            left,
        };
        table.row(heading.iter().map(|cell| (*cell).to_owned()).collect());
        table
    }

    /// Adds a row. Control characters, which could steer the terminal, are taken out of it.
    pub fn row(&mut self, cells: Vec<String>) {
        let plain = cells.into_iter().map(|cell| printable(&cell));
        self.rows.push(plain.collect());
    }

    /// The table as lines.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut lines = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<_> = cells
                .map(|(column, (cell, width))| match column < self.left {
                    true => format!("{cell:<width$}"),
                    false => format!("{cell:>width$}"),
                })
                .collect();
            lines.push_str(line.join("  ").trim_end());
            lines.push('\n');
        }
        lines
    }
}

/// Text without control characters.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

/// The comparison of a report: the sentence, one line per stage and engine, and the verdict.
pub fn comparison(report: &Report) -> String {
    let mut text = String::new();
    for stage in stage_names(report) {
        text.push_str(&printable(&stage));
        text.push_str(match basis(&report.engines, &stage, &REQUEST_THROUGHPUT) {
            Basis::SteadyState => ", steady state\n",
            Basis::WholeStage => ", whole stage\n",
        });
        text.push_str(&indent(&stage_table(report, &stage).render()));
        text.push('\n');
    }
    let searches = search::table(&report.engines);
    if !searches.is_empty() {
        text.push_str(&searches);
        text.push('\n');
    }
    text.push_str(&printable(&report.comparison.sentence));
    text.push('\n');
    for note in &report.comparison.notes {
        text.push_str(&printable(note));
        text.push('\n');
    }
    text.push_str(&verdict(report));
    text
}

/// Names of the stages that were measured, in the order in which they first come; those of a search,
/// of which each engine has others, in the order of their load.
pub fn stage_names(report: &Report) -> Vec<String> {
    names_of_stages(&report.engines)
}

/// As [`stage_names`].
pub fn names_of_stages(engines: &[EngineReport]) -> Vec<String> {
    let mut stages: Vec<&StageReport> = Vec::new();
    for stage in engines.iter().flat_map(|engine| &engine.stages) {
        if !stages.iter().any(|other| other.name == stage.name) {
            stages.push(stage);
        }
    }
    if engines.iter().any(|engine| !engine.searches.is_empty()) {
        stages.sort_by(|a, b| {
            let level = |stage: &StageReport| stage.load.level().unwrap_or_default();
            level(a).total_cmp(&level(b))
        });
    }
    stages.into_iter().map(|stage| stage.name.clone()).collect()
}

fn stage_table(report: &Report, stage: &str) -> Table {
    let mut table = Table::new(
        1,
        &[
            "engine",
            "tokens/s",
            "of whole stage",
            "requests/s",
            "TTFT p50",
            "TPOT p50",
            "latency p50",
            "latency p99",
            "failed",
            "verdict",
        ],
    );
    for engine in &report.engines {
        let stages: Vec<_> = engine
            .stages
            .iter()
            .filter(|one| one.name == stage)
            .collect();
        if !stages.is_empty() {
            table.row(engine_row(report, engine, stage, &stages));
        }
    }
    table
}

fn engine_row(
    report: &Report,
    engine: &EngineReport,
    stage: &str,
    stages: &[&StageReport],
) -> Vec<String> {
    let figure = |measure: &Measure, show: fn(f64) -> String| {
        let spread = spread(&report.engines, engine, stage, measure);
        spread.map_or_else(|| "–".into(), |spread| show(spread.mean))
    };
    let named = |name: &str| MEASURES.into_iter().find(|measure| measure.name == name);
    let seconds = |name: &str| {
        named(name).map_or_else(|| "–".into(), |measure| figure(&measure, format::seconds))
    };
    let whole = samples(engine, stage, &OUTPUT_THROUGHPUT, Basis::WholeStage);
    let whole = Spread::of(&whole);
    let failed: u64 = stages
        .iter()
        .map(|one| one.requests.failed + one.requests.dropped)
        .sum();
    let worst = stages
        .iter()
        .map(|one| one.verdict.status)
        .max()
        .unwrap_or_default();
    vec![
        engine.name.clone(),
        figure(&OUTPUT_THROUGHPUT, format::number),
        whole.map_or_else(|| "–".into(), |spread| format::number(spread.mean)),
        figure(&REQUEST_THROUGHPUT, format::number),
        figure(&FIRST_TOKEN, format::seconds),
        seconds("timePerOutputTokenP50"),
        figure(&LATENCY, format::seconds),
        seconds("requestLatencyP99"),
        format::count(failed),
        format!("{worst:?}"),
    ]
}

/// The verdict with its reasons, one a line; failed engines are among them.
pub fn verdict(report: &Report) -> String {
    let mut text = format!("Verdict: {:?}\n", report.verdict.status);
    for reason in &report.verdict.reasons {
        let line = format!("{:?}, {}: {}", reason.status, reason.reason, reason.message);
        text.push_str(&indent(&format!("{}\n", printable(&line))));
    }
    text
}

/// One stage of one engine, figure by figure: what `bakeoff bench` ends with.
pub fn stage(stage: &StageReport) -> String {
    let mut table = Table::new(1, &["", "mean", "p50", "p90", "p99", "max"]);
    for (name, distribution) in [
        ("time to first token", &stage.time_to_first_token),
        ("inter-token latency", &stage.inter_token_latency),
        ("inter-chunk latency", &stage.inter_chunk_latency),
        ("time per output token", &stage.time_per_output_token),
        ("request latency", &stage.request_latency),
        (
            "request latency, scheduled",
            &stage.request_latency_scheduled,
        ),
    ] {
        let Some(found) = distribution else { continue };
        let show = |value: Option<f64>| value.map_or_else(|| "–".into(), format::seconds);
        table.row(vec![
            name.to_owned(),
            format::seconds(found.mean),
            show(found.p50),
            show(found.p90),
            show(found.p99),
            format::seconds(found.max),
        ]);
    }
    let requests = &stage.requests;
    let mut text = format!(
        "{} requests: {} succeeded, {} failed, {} dropped, in {}\n",
        format::count(requests.intended),
        format::count(requests.succeeded),
        format::count(requests.failed),
        format::count(requests.dropped),
        format::seconds(stage.window.duration_seconds),
    );
    for (kind, number) in &requests.failures {
        text.push_str(&format!(
            "  failed by {}: {}\n",
            printable(kind),
            format::count(*number)
        ));
    }
    if let Some(asked) = &requests.retry_after {
        text.push_str(&format!("  {}\n", format::retry_after(asked)));
    }
    let throughput = &stage.throughput;
    text.push_str(&format!(
        "{} requests/s",
        format::number(throughput.requests_per_second)
    ));
    if stage.token_count_source != TokenCountSource::None {
        text.push_str(&format!(
            ", {} output tokens/s",
            format::number(throughput.output_tokens_per_second)
        ));
    }
    if stage.input_tokens.is_some() {
        text.push_str(&format!(
            ", {} input tokens/s",
            format::number(throughput.input_tokens_per_second)
        ));
    }
    text.push('\n');
    text.push_str(&steady(stage));
    text.push_str(&table.render());
    text.push_str(&client::line(stage));
    text.push_str(&client::shards(stage));
    for line in answers::lines(stage) {
        text.push_str(&format!("{line}\n"));
    }
    for (what, groups) in [("model", &stage.models), ("turns", &stage.turns)] {
        text.extend(groups.iter().map(|group| one_group(what, group)));
    }
    if stage.verdict.status != VerdictStatus::Valid {
        text.push_str(&format!("Verdict: {:?}\n", stage.verdict.status));
        for reason in &stage.verdict.reasons {
            text.push_str(&format!(
                "  {}: {}\n",
                reason.reason,
                printable(&reason.message)
            ));
        }
    }
    text
}

/// A part of the requests in a line.
fn one_group(what: &str, group: &RequestGroup) -> String {
    let mut line = format!(
        "{what} {}: {} sent, {} failed",
        printable(&group.name),
        format::count(group.sent),
        format::count(group.failed),
    );
    for (title, found) in [
        ("time to first token", &group.time_to_first_token),
        ("request latency", &group.request_latency),
    ] {
        if let Some(found) = found {
            line.push_str(&format!(", mean {title} {}", format::seconds(found.mean)));
        }
    }
    line.push('\n');
    line
}

/// The steady part of a stage in a line, or why there is none.
fn steady(stage: &StageReport) -> String {
    if let Some(none) = &stage.no_steady_state {
        return format!(
            "no steady state ({:?}): {}\n",
            none.reason,
            printable(&none.message)
        );
    }
    let Some(steady) = &stage.steady_state else {
        return String::new();
    };
    let mut line = format!(
        "steady for {}, from {} on: {} requests/s",
        format::seconds(steady.duration_seconds),
        format::seconds(steady.start_seconds),
        format::number(steady.throughput.requests_per_second),
    );
    if stage.token_count_source != TokenCountSource::None {
        let tokens = format::number(steady.throughput.output_tokens_per_second);
        line.push_str(&format!(", {tokens} output tokens/s"));
    }
    for (title, found) in [
        ("time to first token", &steady.time_to_first_token),
        ("request latency", &steady.request_latency),
    ] {
        if let Some(median) = found.as_ref().and_then(|found| found.p50) {
            line.push_str(&format!(", median {title} {}", format::seconds(median)));
        }
    }
    line.push('\n');
    line
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{self, settings};

    #[test]
    fn the_comparison_reads_well() {
        settings()
            .bind(|| insta::assert_snapshot!("comparison.txt", comparison(&fixture::report())));
    }

    #[test]
    fn one_stage_reads_well() {
        let mut one = fixture::stage(8, 610.0, 0.045);
        one.verdict = fixture::invalid("ErrorRateExceeded");
        settings().bind(|| insta::assert_snapshot!("stage.txt", stage(&one)));
    }

    #[test]
    fn what_nobody_counted_is_not_shown() {
        let mut one = fixture::stage(8, 610.0, 0.045);
        one.input_tokens = None;
        one.throughput.input_tokens_per_second = 0.0;
        let text = stage(&one);
        assert!(text.contains("610 output tokens/s\n"), "{text}");
    }

    #[test]
    fn no_name_steers_the_terminal() {
        let mut report = fixture::report();
        report.engines[0].name = "\u{1b}[2Jvllm\n".into();
        report.comparison.sentence = "\u{1b}]0;title\u{7}".into();
        let text = comparison(&report);
        assert!(
            text.chars()
                .all(|character| character == '\n' || !character.is_control())
        );
    }
}
