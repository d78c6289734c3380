//! `bakeoff run`: a BenchmarkRun without a cluster.

pub mod local;
mod turn;

use std::{path::PathBuf, process::ExitCode};

use bakeoff_crds::{
    plan::{Place, PlanSettings, resolve},
    run::status::VerdictStatus,
};

pub use turn::Place as EnginePlace;

use super::exit;
use crate::{report::table, store::Environment};

/// Environment for runs that name no image: nothing is deployed.
const NO_IMAGE: &str = "none";

/// Arguments of `bakeoff run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File with a BenchmarkRun; `-` is standard input
    file: PathBuf,
    /// Where an engine that a cluster would deploy is already up
    #[arg(long = "at", value_name = "ENGINE=URL")]
    at: Vec<String>,
    /// Files with an EngineProfile beside the built-in ones
    #[arg(long = "profile", value_name = "FILE")]
    profiles: Vec<PathBuf>,
    /// Where results go, in place of the run's own output.uri; a folder or an address
    #[arg(long, value_name = "URI")]
    output: Option<String>,
    /// Event loops of the load path, each on a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
}

/// Runs the command.
///
/// # Errors
/// Where a file cannot be read, or prompts or report cannot be made or stored.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let usage = |message: String| {
        eprintln!("error: {message}");
        Ok(ExitCode::from(exit::USAGE))
    };
    let mut run = match super::files::benchmark_run(&arguments.file) {
        Ok(run) => run,
        Err(error) => return usage(format!("{error:#}")),
    };
    let profiles = match super::files::profiles(&arguments.profiles) {
        Ok(profiles) => profiles,
        Err(error) => return usage(format!("{error:#}")),
    };
    if let Some(output) = arguments.output {
        run.spec.output.uri = if output.contains("://") {
            output
        } else {
            format!("file://{output}")
        };
    }
    // Each run has a folder of its own, also the second one of a file.
    run.metadata.uid = Some(format!("{:032x}", rand::random::<u128>()));
    let settings = PlanSettings {
        runner_image: NO_IMAGE.into(),
        place: Place::Local,
    };
    let plan = match resolve(&run, &profiles, &settings) {
        Ok(plan) => plan,
        Err(problems) => return usage(problems.to_string()),
    };
    let places = match turn::places(&plan, &arguments.at) {
        Ok(places) => places,
        Err(message) => return usage(message),
    };
    let base = arguments
        .file
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let runtime = super::runtime()?;
    let (report, summary) = runtime.block_on(local::run(
        &plan,
        &places,
        base,
        Environment::of_process(),
        arguments.threads.max(1),
    ))?;
    super::print(&table::comparison(&report));
    super::print(&format!("Report: {}", summary.report_uri));
    if report.engines.iter().all(|engine| engine.stages.is_empty()) {
        return Ok(ExitCode::from(exit::FAILED));
    }
    Ok(match report.verdict.status {
        VerdictStatus::Invalid => ExitCode::from(exit::INVALID),
        VerdictStatus::Valid | VerdictStatus::Suspect => ExitCode::SUCCESS,
    })
}
