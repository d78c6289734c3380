//! Puts a finished run under another address, or finishes one whose bucket was away.

mod logs;

use std::path::Path;

use anyhow::Context;
use bakeoff_crds::{report::Report, run::Format};

use crate::{
    cli::files,
    report::{
        read,
        write::{self, REPORT},
    },
    store::{
        Environment, Store, StoreError,
        manifest::{self, Manifest},
        sha256_hex,
    },
};

/// Copies the folder of a run, or stores what the logs of its pods hold.
pub(super) async fn upload(
    runs: &[String],
    target: &str,
    environment: &Environment,
) -> anyhow::Result<String> {
    let is_log = |run: &String| run == "-" || Path::new(run).is_file();
    if runs.iter().all(is_log) {
        let mut text = String::new();
        for run in runs {
            text.push_str(&files::text(Path::new(run))?);
            text.push('\n');
        }
        return logs::upload(&text, target, environment).await;
    }
    let [run] = runs else {
        anyhow::bail!("--upload takes one folder, or the logs of one run; name either");
    };
    folder(run, target, environment).await
}

/// Copies every file that the run's manifest names, each checked against its hash, and the manifest
/// last.
async fn folder(run: &str, target: &str, environment: &Environment) -> anyhow::Result<String> {
    let source = Store::at(run, environment)?;
    let manifest_bytes = match source.get(manifest::PATH).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { uri }) => {
            return unfinished(&source, &uri, target, environment).await;
        }
        Err(error) => return Err(error.into()),
    };
    let manifest: Manifest = serde_json::from_slice(&manifest_bytes)
        .with_context(|| format!("reading {}", source.uri(manifest::PATH)))?;
    let report = report_of(&source).await?;
    let destination = destination(&report, target, environment)?;
    for file in &manifest.files {
        let bytes = source.get(&file.path).await?;
        let found = sha256_hex(&bytes);
        anyhow::ensure!(
            found == file.sha256,
            "{} was changed since the run: SHA-256 {found}, but the manifest says {}",
            source.uri(&file.path),
            file.sha256
        );
        destination.put_new(&file.path, bytes).await?;
    }
    destination.put_new(manifest::PATH, manifest_bytes).await?;
    Ok(format!(
        "{} files stored as {}\n",
        manifest.files.len() + 1,
        destination.uri("")
    ))
}

/// A folder whose reporter was cut before the manifest: copied, and finished there.
async fn unfinished(
    source: &Store,
    missing: &str,
    target: &str,
    environment: &Environment,
) -> anyhow::Result<String> {
    if !source.exists(REPORT).await? {
        anyhow::bail!(
            "neither {missing} nor {REPORT} exists, so the run is not whole, or {} is not the folder \
             of a run; wait until it is Complete, or give the logs of its pods",
            source.uri("")
        );
    }
    let report = report_of(source).await?;
    let destination = destination(&report, target, environment)?;
    for entry in source.list("").await? {
        let bytes = source.get(&entry.path).await?;
        destination.put_new(&entry.path, bytes).await?;
    }
    let summary = write::finish(&destination, &formats_of(&report), report).await?;
    Ok(format!("The run is whole: {}\n", summary.report_uri))
}

async fn report_of(source: &Store) -> anyhow::Result<Report> {
    let bytes = source.get(REPORT).await?;
    read::report(&bytes).with_context(|| format!("reading {}", source.uri(REPORT)))
}

/// The run's folder under another address.
fn destination(
    report: &Report,
    target: &str,
    environment: &Environment,
) -> Result<Store, StoreError> {
    let folder = report.run.identity.folder();
    Store::at(
        &format!("{}/{folder}", target.trim_end_matches('/')),
        environment,
    )
}

/// The formats that the run of a report asks for.
fn formats_of(report: &Report) -> Vec<Format> {
    let named = report.run.spec.pointer("/output/formats").cloned();
    named
        .and_then(|formats| serde_json::from_value(formats).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{self, fixture};

    #[tokio::test]
    async fn copies_a_whole_run_and_refuses_a_changed_one() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::default();
        let address = |name: &str| format!("file://{}", folder.path().join(name).display());
        let run = address("run");
        let source = Store::at(&run, &environment).unwrap();
        let error = upload(std::slice::from_ref(&run), &address("out"), &environment)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("is not whole"), "{error}");
        // A reporter that was cut before the manifest: what it began is finished elsewhere.
        let cut = address("cut");
        let json = serde_json::to_vec_pretty(&fixture::report()).unwrap();
        let store = Store::at(&cut, &environment).unwrap();
        store.put_new(REPORT, json).await.unwrap();
        upload(
            std::slice::from_ref(&cut),
            &address("finished"),
            &environment,
        )
        .await
        .unwrap();
        let finished =
            Store::at(&address("finished/bench/mistral-0f9a1b2c"), &environment).unwrap();
        assert!(finished.exists("report.html").await.unwrap());
        assert!(finished.exists(manifest::PATH).await.unwrap());
        assert!(!store.exists(manifest::PATH).await.unwrap());
        report::write(&source, &fixture::plan(), fixture::report())
            .await
            .unwrap();
        upload(std::slice::from_ref(&run), &address("out"), &environment)
            .await
            .unwrap();
        let copy = Store::at(&address("out/bench/mistral-0f9a1b2c"), &environment).unwrap();
        assert_eq!(copy.list("").await.unwrap(), source.list("").await.unwrap());
        std::fs::write(folder.path().join("run/summary.csv"), "changed").unwrap();
        let error = upload(std::slice::from_ref(&run), &address("other"), &environment)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("summary.csv was changed"),
            "{error}"
        );
    }
}
