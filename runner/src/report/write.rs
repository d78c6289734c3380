//! Stores a report with its pages and pictures, and last of all the manifest.

use bakeoff_crds::{
    common::shortened, plan::Plan, report::Report, run::Format, summary::ReporterSummary,
};

use super::{chart, csv, html};
use crate::{
    export::{self, ExportError, Exported},
    store::{Store, StoreError, manifest},
};

/// Name of the report in a run's folder.
pub const REPORT: &str = "report.json";
/// Where the formats of other tools lie in a run's folder.
pub const EXPORTS: &str = "exports/";
/// What of the run is in them, and what is not.
const EXPORTS_INDEX: &str = "exports/index.json";
/// Most reasons that a termination message carries.
const REASONS: usize = 5;
/// Longest reason that a termination message carries, in characters.
const REASON_LENGTH: usize = 300;
/// The same of the sentence, which has two comparisons with their intervals.
const SENTENCE_LENGTH: usize = 600;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The bucket refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page or picture could not be made of the report.
    #[error("{file} could not be made of the report: {cause}")]
    Render {
        /// The file.
        file: &'static str,
        /// What went wrong.
        cause: String,
    },
}

/// A file of the report, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Name in the run's folder.
    pub name: &'static str,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Renders a report: report.json, and what else `formats` names.
///
/// # Errors
/// [`WriteError::Render`] naming the file.
pub fn render(report: &Report, formats: &[Format]) -> Result<Vec<File>, WriteError> {
    let mut files = vec![File {
        name: REPORT,
        bytes: rendered(REPORT, serde_json::to_vec_pretty(report))?,
    }];
    if formats.contains(&Format::Csv) {
        let name = "summary.csv";
        let bytes = rendered(name, csv::summary(report))?;
        files.push(File { name, bytes });
    }
    if formats.contains(&Format::Chart) {
        let picture = chart::comparison(report);
        let name = "comparison.png";
        let bytes = rendered(name, chart::png(&picture))?;
        files.push(File { name, bytes });
        files.push(File {
            name: "comparison.svg",
            bytes: picture.into_bytes(),
        });
    }
    if formats.contains(&Format::Html) {
        let name = "report.html";
        let bytes = rendered(name, html::page(report))?.into_bytes();
        files.push(File { name, bytes });
    }
    Ok(files)
}

/// Stores a report as `plan.spec.output.formats` says, and then the manifest over everything in the
/// run's folder.
///
/// Where the folder already holds a report, as after a reporter that was cut, that one stands and
/// the rest is made of it: nothing is ever overwritten.
///
/// # Errors
/// [`WriteError`] where something cannot be rendered or stored.
pub async fn write(
    store: &Store,
    plan: &Plan,
    report: Report,
) -> Result<ReporterSummary, WriteError> {
    finish(store, &plan.spec.output.formats, report).await
}

/// The same, for whoever has no plan.
///
/// # Errors
/// As [`write`].
pub async fn finish(
    store: &Store,
    formats: &[Format],
    report: Report,
) -> Result<ReporterSummary, WriteError> {
    let report = earlier(store).await?.unwrap_or(report);
    for file in render(&report, formats)? {
        store.put_new(file.name, file.bytes).await?;
    }
    write_exports(store, formats, &report).await?;
    manifest::write(store).await?;
    Ok(summary(store, &report))
}

/// The formats of other tools. A stage that cannot be in them is named in their index, and costs the
/// report nothing.
async fn write_exports(
    store: &Store,
    formats: &[Format],
    report: &Report,
) -> Result<(), WriteError> {
    let exported = export::write(report, store, store, EXPORTS, formats).await;
    let exported = exported.map_err(|error| match error {
        ExportError::Store(error) => WriteError::Store(error),
        ExportError::Format(error) => WriteError::Render {
            file: EXPORTS,
            cause: error.to_string(),
        },
    })?;
    if exported == Exported::default() {
        return Ok(());
    }
    for left_out in &exported.left_out {
        tracing::warn!(stage = left_out.stage, why = left_out.why, "not exported");
    }
    let index = rendered(EXPORTS_INDEX, serde_json::to_vec_pretty(&exported))?;
    store.put_new(EXPORTS_INDEX, index).await?;
    Ok(())
}

async fn earlier(store: &Store) -> Result<Option<Report>, WriteError> {
    match store.get(REPORT).await {
        Ok(bytes) => rendered(REPORT, serde_json::from_slice(&bytes)).map(Some),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn summary(store: &Store, report: &Report) -> ReporterSummary {
    let reasons = report.verdict.reasons.iter().take(REASONS);
    let reasons = reasons.map(|reason| {
        let text = format!("{}: {}", reason.reason, reason.message);
        shortened(&text, REASON_LENGTH)
    });
    ReporterSummary {
        report_uri: store.uri(REPORT),
        verdict: report.verdict.status,
        reasons: reasons.collect(),
        sentence: shortened(&report.comparison.sentence, SENTENCE_LENGTH),
    }
}

fn rendered<T, E: std::fmt::Display>(
    file: &'static str,
    result: Result<T, E>,
) -> Result<T, WriteError> {
    result.map_err(|error| WriteError::Render {
        file,
        cause: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::{
        run::status::VerdictStatus,
        summary::{MAX_BYTES, Termination},
    };

    use super::*;
    use crate::report::fixture::{self, invalid};

    #[tokio::test]
    async fn writes_what_the_spec_asks_for_and_the_manifest_last() {
        let store = Store::in_memory();
        store
            .put_new(
                "engines/vllm/round-1/rep-1/concurrency-1/attempt-1/stage.json",
                "{}",
            )
            .await
            .unwrap();
        let summary = write(&store, &fixture::plan(), fixture::report())
            .await
            .unwrap();
        assert_eq!(summary.report_uri, "s3://memory/report.json");
        let manifest: manifest::Manifest =
            serde_json::from_slice(&store.get(manifest::PATH).await.unwrap()).unwrap();
        let paths: Vec<_> = manifest
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "comparison.png",
                "comparison.svg",
                "engines/vllm/round-1/rep-1/concurrency-1/attempt-1/stage.json",
                "report.html",
                "report.json",
                "summary.csv",
            ]
        );
        let mut plan = fixture::plan();
        plan.spec.output.formats = vec![Format::Csv];
        let store = Store::in_memory();
        write(&store, &plan, fixture::report()).await.unwrap();
        let names: Vec<_> = store
            .list("")
            .await
            .unwrap()
            .into_iter()
            .map(|entry| entry.path)
            .collect();
        assert_eq!(names, ["manifest.json", "report.json", "summary.csv"]);
    }

    #[tokio::test]
    async fn a_second_reporter_finishes_the_report_of_the_first() {
        let store = Store::in_memory();
        let first = fixture::report();
        let json = serde_json::to_vec_pretty(&first).unwrap();
        store.put_new(REPORT, json.clone()).await.unwrap();
        let mut second = first.clone();
        second.run.end_time = "2027-01-01T00:00:00Z".into();
        write(&store, &fixture::plan(), second).await.unwrap();
        assert_eq!(store.get(REPORT).await.unwrap(), json);
        assert!(store.exists(manifest::PATH).await.unwrap());
    }

    #[test]
    fn the_summary_fits_a_termination_message() {
        let mut report = fixture::report();
        report.verdict = invalid(&"long ".repeat(500));
        report.verdict.reasons = vec![report.verdict.reasons[0].clone(); 50];
        report.comparison.sentence = "ü".repeat(5000);
        let summary = summary(&Store::in_memory(), &report);
        assert_eq!(summary.verdict, VerdictStatus::Invalid);
        let message = serde_json::to_string(&Termination {
            reporter: Some(summary),
            ..Termination::default()
        });
        assert!(message.unwrap().len() <= MAX_BYTES);
    }
}
