//! Puts the folder of a finished run under another address.

use std::process::ExitCode;

use anyhow::Context;
use bakeoff_crds::report::Report;

use crate::{
    report::write::REPORT,
    store::{
        Environment, Store, StoreError,
        manifest::{self, Manifest},
        sha256_hex,
    },
};

/// Copies every file that the run's manifest names, each checked against its hash, and the manifest
/// last.
pub(super) async fn upload(
    runs: &[String],
    target: &str,
    environment: &Environment,
) -> anyhow::Result<(String, ExitCode)> {
    let [run] = runs else {
        anyhow::bail!("--upload takes one run; name one folder");
    };
    let source = Store::at(run, environment)?;
    let manifest_bytes = match source.get(manifest::PATH).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { uri }) => anyhow::bail!(
            "{uri} does not exist, so the run is not whole, or {run} is not the folder of a run"
        ),
        Err(error) => return Err(error.into()),
    };
    let manifest: Manifest = serde_json::from_slice(&manifest_bytes)
        .with_context(|| format!("reading {}", source.uri(manifest::PATH)))?;
    let report: Report = serde_json::from_slice(&source.get(REPORT).await?)
        .with_context(|| format!("reading {}", source.uri(REPORT)))?;
    let folder = report.run.identity.folder();
    let destination = Store::at(
        &format!("{}/{folder}", target.trim_end_matches('/')),
        environment,
    )?;
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
    let text = format!(
        "{} files stored as {}\n",
        manifest.files.len() + 1,
        destination.uri("")
    );
    Ok((text, ExitCode::SUCCESS))
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
