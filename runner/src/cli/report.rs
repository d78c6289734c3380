//! `bakeoff report`: shows, compares, renders and uploads runs that are done.

mod upload;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use bakeoff_crds::{
    report::Report,
    run::{Format, status::VerdictStatus},
};

use super::{exit, files};
use crate::{
    report::{join::join, log, table, write},
    store::{Environment, Store, StoreError},
};

/// Arguments of `bakeoff report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folders of runs (gs://, s3:// or a path), report.json files, or - for a reporter's log
    #[arg(required = true, value_name = "URI")]
    runs: Vec<String>,
    /// Write report.json, report.html, summary.csv and the comparison picture there
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Copy the whole folder of the run under this address; nothing is overwritten
    #[arg(long, value_name = "URI", conflicts_with = "output")]
    upload: Option<String>,
}

/// Runs the command: prints the comparison of one run, or of several side by side.
///
/// # Errors
/// Where a run cannot be read, or a file cannot be written.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    super::runtime()?.block_on(report(arguments))
}

async fn report(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        runs,
        output,
        upload,
    } = arguments;
    let environment = Environment::of_process();
    if let Some(target) = upload {
        return upload::upload(&runs, &target, &environment).await;
    }
    let mut reports = Vec::new();
    for run in &runs {
        reports.push(read(run, &environment).await?);
    }
    let joined = join(&reports).context("name at least one run")?;
    let mut text = table::comparison(&joined);
    if let Some(folder) = output {
        let uri = format!("file://{}", folder.display());
        let store = Store::at(&uri, &environment)?;
        for file in write::render(&joined, &[Format::Html, Format::Chart, Format::Csv])? {
            store.put_new(file.name, file.bytes).await?;
        }
        text.push_str(&format!("Written to {}\n", folder.display()));
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(match joined.verdict.status {
        VerdictStatus::Invalid => ExitCode::from(exit::INVALID),
        VerdictStatus::Valid | VerdictStatus::Suspect => ExitCode::SUCCESS,
    })
}

/// The report of one run: of a folder or bucket, of a file, or of a log on standard input.
async fn read(run: &str, environment: &Environment) -> anyhow::Result<Report> {
    let path = Path::new(run);
    if run == "-" || path.is_file() {
        return log::read(&files::text(path)?).with_context(|| format!("reading {run}"));
    }
    anyhow::ensure!(
        run.contains("://") || path.is_dir(),
        "{run} does not exist; name a run's folder, a report.json, an address, or - for a log"
    );
    let store = Store::at(run, environment)?;
    let bytes = match store.get(write::REPORT).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { uri }) => anyhow::bail!(
            "{uri} does not exist; name the folder of one run, which is <output.uri>/<namespace>/<run>-<uid>"
        ),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&bytes).with_context(|| format!("reading {}", store.uri(write::REPORT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn arguments(runs: &[&str], output: Option<&Path>) -> Arguments {
        Arguments {
            runs: runs.iter().map(|run| (*run).to_owned()).collect(),
            output: output.map(Path::to_owned),
            upload: None,
        }
    }

    #[tokio::test]
    async fn renders_a_run_and_two_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.json");
        std::fs::write(&file, serde_json::to_vec(&fixture::report()).unwrap()).unwrap();
        let (one, run) = (folder.path().join("one"), folder.path().to_str().unwrap());
        report(arguments(&[run], Some(&one))).await.unwrap();
        let names = [
            "report.json",
            "report.html",
            "summary.csv",
            "comparison.svg",
            "comparison.png",
        ];
        assert!(names.iter().all(|name| one.join(name).is_file()));
        let both = folder.path().join("both");
        report(arguments(&[run, file.to_str().unwrap()], Some(&both)))
            .await
            .unwrap();
        let joined = std::fs::read(both.join("report.json")).unwrap();
        let joined: Report = serde_json::from_slice(&joined).unwrap();
        assert_eq!(joined.engines.len(), 6);
    }

    #[tokio::test]
    async fn says_what_it_wants_in_place_of_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        for (run, words) in [
            (
                folder.path().to_str().unwrap(),
                "name the folder of one run",
            ),
            ("/nowhere/at/all", "does not exist"),
        ] {
            let error = report(arguments(&[run], None)).await.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
