//! Reads the logs of a run's folder and stores the run in the formats of other tools.

use std::collections::BTreeSet;

use bakeoff_crds::{
    report::{EngineReport, Report, StageReport},
    run::Format,
};
use serde::Serialize;

use super::{FormatError, Pass, Stage, files, may_be_exported, requests};
use crate::{
    measure::{REQUESTS, attempt_folder},
    store::{Store, StoreError},
};

/// Why a run could not be stored in another tool's format.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value cannot be written.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// What was stored.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// Paths of the files, sorted.
    pub files: Vec<String>,
    /// Stages that are in none of them.
    pub left_out: Vec<LeftOut>,
}

/// A stage that was not exported.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Folder of its attempt in the run's folder.
    pub stage: String,
    /// Why, and what to do.
    pub why: String,
}

/// Stores the run whose folder is `from` in formats of other tools, under `to`. A stage that is
/// Invalid or has no log is left out, and named.
///
/// # Errors
/// Where a store gives no answer or does not take a file.
pub async fn write(
    report: &Report,
    from: &Store,
    to: &Store,
    prefix: &str,
    formats: &[Format],
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    let formats: Vec<Format> = super::FORMATS
        .into_iter()
        .filter(|format| formats.contains(format))
        .collect();
    if formats.is_empty() {
        return Ok(exported);
    }
    for engine in &report.engines {
        for (number, (round, repetition)) in turns(engine).into_iter().enumerate() {
            let mut pass = Pass {
                report,
                engine,
                round,
                repetition,
                number,
                stages: Vec::new(),
            };
            for stage in engine
                .stages
                .iter()
                .filter(|stage| (stage.round, stage.repetition) == (round, repetition))
            {
                match read(from, engine, stage).await? {
                    Ok(log) => pass.stages.push(Stage { report: stage, log }),
                    Err(left_out) => exported.left_out.push(left_out),
                }
            }
            if pass.stages.is_empty() {
                continue;
            }
            for format in &formats {
                for file in files(*format, &pass)? {
                    let path = format!("{prefix}{}", file.path);
                    to.put_new(&path, file.bytes).await?;
                    exported.files.push(path);
                }
            }
        }
    }
    exported.files.sort();
    Ok(exported)
}

/// Rounds and repetitions that an engine has stages of, in their order.
fn turns(engine: &EngineReport) -> BTreeSet<(u32, u32)> {
    let stages = engine.stages.iter();
    stages
        .map(|stage| (stage.round, stage.repetition))
        .collect()
}

/// The log of a stage, or why it is left out.
async fn read(
    from: &Store,
    engine: &EngineReport,
    stage: &StageReport,
) -> Result<Result<requests::Log, LeftOut>, StoreError> {
    let StageReport {
        round,
        repetition,
        attempt,
        ..
    } = *stage;
    let folder = attempt_folder(&engine.name, round, repetition, &stage.name, attempt);
    let left_out = |why: String| {
        Ok(Err(LeftOut {
            stage: folder.clone(),
            why,
        }))
    };
    if !may_be_exported(stage) {
        let reasons = stage
            .verdict
            .reasons
            .iter()
            .map(|reason| reason.reason.as_str());
        let reasons: Vec<&str> = reasons.collect();
        return left_out(format!(
            "its verdict is Invalid ({}), for which other tools' formats have no word",
            reasons.join(", ")
        ));
    }
    let mut logs = Vec::new();
    for path in paths(from, &folder).await? {
        match requests::read(&from.get(&path).await?) {
            Ok(log) => logs.push(log),
            Err(error) => {
                return left_out(format!(
                    "{} cannot be read: {error}; it was changed since, or written by another version",
                    from.uri(&path)
                ));
            }
        }
    }
    match requests::merged(logs) {
        Some(log) => Ok(Ok(log)),
        None => left_out(format!(
            "{} does not exist; have Requests in output.formats, which other tools' formats are made of",
            from.uri(&format!("{folder}/{REQUESTS}"))
        )),
    }
}

/// Logs of an attempt: its own, or where it has none, those of the runner pods below it, whose times
/// count from one start.
async fn paths(from: &Store, folder: &str) -> Result<Vec<String>, StoreError> {
    let own = format!("{folder}/{REQUESTS}");
    let ending = format!("/{REQUESTS}");
    let entries = from.list(folder).await?.into_iter();
    let found: Vec<String> = entries
        .map(|entry| entry.path)
        .filter(|path| path.ends_with(&ending))
        .collect();
    Ok(match found.contains(&own) {
        true => vec![own],
        false => found,
    })
}
