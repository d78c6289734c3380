//! `bakeoff validate`: the verdicts of the API server and the operator, offline.

use std::{path::PathBuf, process::ExitCode};

use bakeoff_crds::{
    plan::{Place, PlanSettings, Problem, resolve},
    profile::ProfileSet,
    validate::document::{Document, read},
};

use super::exit;

/// Arguments of `bakeoff validate`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files with one BenchmarkRun or EngineProfile each; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Files with an EngineProfile that the cluster has beside the built-in ones
    #[arg(long = "profile", value_name = "FILE")]
    profiles: Vec<PathBuf>,
    /// Judge the file for `bakeoff run`, without a cluster
    #[arg(long)]
    local: bool,
}

/// Runs the command.
///
/// # Errors
/// Never: what cannot be read is told, and counts as bad.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        files,
        profiles,
        local,
    } = arguments;
    let profiles = match super::files::profiles(&profiles) {
        Ok(profiles) => profiles,
        Err(error) => return exit::usage(&error),
    };
    let place = if local { Place::Local } else { Place::Cluster };
    let mut bad = false;
    for file in files {
        let yaml = match super::files::document(&file) {
            Ok(yaml) => yaml,
            Err(error) => {
                bad = true;
                eprintln!("{error:#}");
                continue;
            }
        };
        let problems = problems(&yaml, &profiles, place);
        if problems.is_empty() {
            super::print(&format!("{}: valid", file.display()));
        }
        for problem in problems {
            bad = true;
            eprintln!("{}: {problem}", file.display());
        }
    }
    Ok(if bad {
        ExitCode::from(exit::USAGE)
    } else {
        ExitCode::SUCCESS
    })
}

pub(super) fn problems(yaml: &str, profiles: &ProfileSet, place: Place) -> Vec<Problem> {
    match read(yaml) {
        Err(problems) => problems,
        Ok(Document::EngineProfile(_)) => Vec::new(),
        Ok(Document::BenchmarkRun(run)) => {
            let settings = PlanSettings {
                runner_image: String::new(),
                place,
            };
            resolve(&run, profiles, &settings)
                .err()
                .map_or_else(Vec::new, |problems| problems.0)
        }
    }
}
