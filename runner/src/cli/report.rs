//! `bakeoff report`: shows, compares, renders, converts and uploads runs that are done.

mod convert;
mod source;
mod upload;

use std::{io::Write as _, path::Path, path::PathBuf, process::ExitCode};

use bakeoff_crds::{
    report::Report,
    run::{Format, status::VerdictStatus},
};

use super::exit;
use crate::{
    report::{
        join::{self, Group},
        table, write,
    },
    store::{Environment, Store, manifest},
};
use convert::Other;
use source::Source;

/// Name of the overview of several runs.
const RUNS: &str = "runs.json";

/// Arguments of `bakeoff report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folders of runs (gs://, s3:// or a path), report.json files, or - for a reporter's log.
    /// Several are compared, as far as they can be
    #[arg(required = true, value_name = "URI")]
    runs: Vec<String>,
    /// Write report.json, report.html, summary.csv and the comparison picture there; with --format,
    /// the files of those formats. Nothing is overwritten
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Convert the runs for another tool, from the logs of their requests
    #[arg(
        long = "format",
        value_name = "FORMAT",
        value_delimiter = ',',
        requires = "output"
    )]
    formats: Vec<Other>,
    /// Log of the requests of a report of one stage, as bench --requests-log writes it
    #[arg(long, value_name = "FILE", requires = "formats")]
    requests_log: Option<PathBuf>,
    /// Copy the whole folder of the run under this address. With the logs of a run's pods in place of
    /// a folder (files, or - for standard input): store what its bucket did not take, and finish the
    /// run. Nothing is overwritten
    #[arg(long, value_name = "URI", conflicts_with = "output")]
    upload: Option<String>,
}

/// Runs the command: prints the comparison of one run, or of several side by side.
///
/// # Errors
/// Where a run cannot be read, or a file cannot be written.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    let (text, code) = runtime.block_on(report(arguments))?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(code)
}

/// What is printed, and how the program ends.
async fn report(arguments: Arguments) -> anyhow::Result<(String, ExitCode)> {
    let Arguments {
        runs,
        output,
        formats,
        requests_log,
        upload,
    } = arguments;
    let environment = Environment::of_process();
    if let Some(target) = upload {
        let text = upload::upload(&runs, &target, &environment).await?;
        return Ok((text, ExitCode::SUCCESS));
    }
    let mut sources = Vec::new();
    for run in &runs {
        sources.push(source::read(run, &environment).await?);
    }
    if let Some(log) = requests_log {
        source::add_log(&mut sources, &log).await?;
    }
    if let (Some(folder), false) = (&output, formats.is_empty()) {
        let text = convert::convert(&sources, &formats, folder, &environment).await?;
        return Ok((text, ExitCode::SUCCESS));
    }
    let reports: Vec<Report> = sources.into_iter().map(|source| source.report).collect();
    let groups = join::groups(&reports);
    let mut text = shown(&reports, &groups);
    if let Some(folder) = output {
        rendered(&reports, &groups, &folder, &environment).await?;
        text.push_str(&format!("Written to {}\n", folder.display()));
    }
    let invalid = |group: &Group| group.report.verdict.status == VerdictStatus::Invalid;
    Ok(match groups.iter().any(invalid) {
        true => (text, ExitCode::from(exit::INVALID)),
        false => (text, ExitCode::SUCCESS),
    })
}

/// The comparison of each group, after an overview where there are several runs.
fn shown(reports: &[Report], groups: &[Group]) -> String {
    let mut text = String::new();
    if reports.len() > 1 {
        text.push_str(&join::table(&join::overview(reports, groups)));
        text.push('\n');
    }
    for (number, group) in groups.iter().enumerate() {
        if groups.len() > 1 {
            let separator = if number > 0 { "\n" } else { "" };
            text.push_str(&format!("{separator}Group {}\n", number + 1));
        }
        text.push_str(&table::comparison(&group.report));
    }
    text
}

/// Writes what [`shown`] shows: for several groups, a folder each.
async fn rendered(
    reports: &[Report],
    groups: &[Group],
    folder: &Path,
    environment: &Environment,
) -> anyhow::Result<()> {
    let store = |folder: &Path| Store::at(&format!("file://{}", folder.display()), environment);
    for (number, group) in groups.iter().enumerate() {
        let store = match groups.len() {
            1 => store(folder)?,
            _ => store(&folder.join(format!("group-{}", number + 1)))?,
        };
        for file in write::render(&group.report, &[Format::Html, Format::Chart, Format::Csv])? {
            store.put_new(file.name, file.bytes).await?;
        }
        // So that the folder reads as that of a run does.
        manifest::write(&store).await?;
    }
    if reports.len() > 1 {
        let overview = join::overview(reports, groups);
        let json = serde_json::to_vec_pretty(&overview)?;
        store(folder)?.put_new(RUNS, json).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
