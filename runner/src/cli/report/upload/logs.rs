//! Finishes a run from the logs of its pods, where its bucket was away.

use std::collections::BTreeSet;

use anyhow::Context;
use bakeoff_crds::{outcome::Outcome, plan::Plan, report::Report};
use bytes::Bytes;

use crate::{
    agent::report::{OUTCOME, PLAN, make},
    report::{log, write},
    store::{Environment, Store, StoreError, held, manifest},
};

/// What logs hold of one run.
#[derive(Default)]
struct Found {
    /// The run's folder.
    folder: String,
    /// Files of it.
    files: Vec<(String, Bytes)>,
    /// What the report is made of.
    plan: Option<Plan>,
    outcome: Option<Outcome>,
    /// The report, where the reporter could make it.
    report: Option<Report>,
}

/// Stores what the logs hold under `target`, and then the report and the manifest, where the logs say
/// enough for it. What is there already stays.
pub(super) async fn upload(
    text: &str,
    target: &str,
    environment: &Environment,
) -> anyhow::Result<String> {
    let found = find(text)?;
    let store = Store::at(
        &format!("{}/{}", target.trim_end_matches('/'), found.folder),
        environment,
    )?;
    let mut told = String::new();
    if store.exists(manifest::PATH).await? {
        return Ok(format!("{} is whole already\n", store.uri("")));
    }
    let mut stored = 0_usize;
    for (path, bytes) in found.files {
        match store.put_new(&path, bytes).await {
            Ok(()) => stored += 1,
            // The stage was driven again meanwhile, and this attempt marked as cut.
            Err(StoreError::Differs { uri, .. }) => {
                told.push_str(&format!(
                    "{uri} is there already with other content, and stays\n"
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    told.push_str(&format!(
        "{stored} files of the logs stored in {}\n",
        store.uri("")
    ));
    let (formats, report) = match (found.plan, found.outcome, found.report) {
        (Some(plan), Some(outcome), _) => {
            let report = make(&store, &plan, outcome).await?;
            (plan.spec.output.formats, report)
        }
        (_, _, Some(report)) => (super::formats_of(&report), report),
        _ => {
            told.push_str(
                "The run is not whole: no log has a report or what it is made of; add the reporter's log\n",
            );
            return Ok(told);
        }
    };
    let summary = write::finish(&store, &formats, report).await?;
    told.push_str(&format!("The run is whole: {}\n", summary.report_uri));
    Ok(told)
}

fn find(text: &str) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut folders = BTreeSet::new();
    for file in held::read(text)? {
        let (folder, path) = split(&file.path)
            .with_context(|| format!("{} in the log is in no run's folder", file.path))?;
        folders.insert(folder.to_owned());
        let reading = || format!("reading {path} of the log");
        match path {
            PLAN => found.plan = Some(Plan::read(&file.bytes).with_context(reading)?),
            OUTCOME => {
                found.outcome = Some(serde_json::from_slice(&file.bytes).with_context(reading)?);
            }
            _ => found.files.push((path.to_owned(), file.bytes)),
        }
    }
    match log::read(text) {
        Ok(report) => {
            folders.insert(report.run.identity.folder());
            found.report = Some(report);
        }
        // A runner's log has none.
        Err(log::LogError::Missing) if !folders.is_empty() => {}
        Err(error) => return Err(error.into()),
    }
    anyhow::ensure!(
        folders.len() == 1,
        "the logs are of several runs ({}); give those of one",
        folders
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    );
    found.folder = folders.into_iter().next().unwrap_or_default();
    Ok(found)
}

/// A run's folder, which is `<namespace>/<run>-<uid>`, and the path within it. A log may have lines of
/// whoever can write to one, so a path that leads out of its folder is none.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\\') {
        return None;
    }
    let namespace = path.find('/')?;
    let run = namespace + 1 + path.get(namespace + 1..)?.find('/')?;
    Some((path.get(..run)?, path.get(run + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_a_log_leads_nowhere_but_into_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a/b/results");
        std::fs::create_dir_all(&target).unwrap();
        let target = target.display().to_string();
        for path in [
            "../../x",
            "team/../../../x",
            "team/run-1/../../../../x",
            "/etc/run-1/x",
            "team//x",
            "team/run-1/./x",
            "team/run-1/",
            "..\\..\\x\\y\\z",
            "x",
        ] {
            let log = held::write(path, b"{}");
            let error = upload(&log, &target, &Environment::default()).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("is in no run's folder"), "{path}: {error}");
        }
        let log = held::write("team/run-1/engines/x", b"{}");
        upload(&log, &target, &Environment::default())
            .await
            .unwrap();
        let stored = folder.path().join("a/b/results/team/run-1/engines/x");
        assert_eq!(std::fs::read(stored).unwrap(), b"{}");
        let beside = std::fs::read_dir(folder.path().join("a/b"))
            .unwrap()
            .count();
        let above = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!((beside, above), (1, 1));
    }
}
