//! Reads a run: from its folder or bucket, a file, or a log on standard input.

use std::path::Path;

use anyhow::Context;
use bakeoff_crds::report::Report;

use crate::{
    cli::files,
    measure::{REQUESTS, attempt_folder},
    report::{log, read, write::REPORT},
    store::{
        Environment, Store, StoreError,
        manifest::{self, Manifest},
        sha256_hex,
    },
};

/// A run that was read.
pub(super) struct Source {
    /// As it was named.
    pub(super) name: String,
    /// Its report.
    pub(super) report: Report,
    /// Its folder; none where the report alone was given.
    pub(super) folder: Option<Store>,
}

/// Reads the run of an address. A folder must be whole; a report that is named itself is taken as it
/// is.
pub(super) async fn read(run: &str, environment: &Environment) -> anyhow::Result<Source> {
    let path = Path::new(run.strip_prefix("file://").unwrap_or(run));
    let alone = |report| Source {
        name: run.to_owned(),
        report,
        folder: None,
    };
    if run == "-" || path.is_file() {
        let text = files::text(path)?;
        let report = log::read(&text).with_context(|| format!("reading {run}"))?;
        return Ok(alone(report));
    }
    let elsewhere = run.contains("://") && !run.starts_with("file://");
    anyhow::ensure!(
        elsewhere || path.is_dir(),
        "{run} does not exist; name a run's folder, a report.json, an address, or - for a log"
    );
    if let Some(folder) = run.strip_suffix(&format!("/{REPORT}")) {
        let store = Store::at(folder, environment)?;
        let bytes = store.get(REPORT).await?;
        return Ok(alone(parsed(&store, &bytes)?));
    }
    let store = Store::at(run, environment)?;
    let report = of_folder(&store).await?;
    Ok(Source {
        name: run.to_owned(),
        report,
        folder: Some(store),
    })
}

/// Gives a report of one stage the log of its requests, as if it lay in a folder.
pub(super) async fn add_log(sources: &mut [Source], log: &Path) -> anyhow::Result<()> {
    let [source] = sources else {
        anyhow::bail!("--requests-log goes with one report; name one");
    };
    let [engine] = &source.report.engines[..] else {
        anyhow::bail!("--requests-log goes with a report of one stage; name a run's folder");
    };
    let [stage] = &engine.stages[..] else {
        anyhow::bail!("--requests-log goes with a report of one stage; name a run's folder");
    };
    let told = || format!("reading {}", log.display());
    let mut bytes = std::fs::read(log).with_context(told)?;
    if log.extension().is_none_or(|extension| extension != "zst") {
        bytes = zstd::encode_all(&bytes[..], 1).with_context(told)?;
    }
    let folder = attempt_folder(
        &engine.name,
        stage.round,
        stage.repetition,
        &stage.name,
        stage.attempt,
    );
    let store = Store::in_memory();
    store
        .put_new(&format!("{folder}/{REQUESTS}"), bytes)
        .await?;
    source.folder = Some(store);
    Ok(())
}

async fn of_folder(store: &Store) -> anyhow::Result<Report> {
    let Some(manifest) = get(store, manifest::PATH).await? else {
        anyhow::bail!(unfinished(store).await?);
    };
    let manifest: Manifest = serde_json::from_slice(&manifest).with_context(|| {
        format!(
            "{} is no manifest of a run; name another folder",
            store.uri(manifest::PATH)
        )
    })?;
    let bytes = get(store, REPORT).await?.with_context(|| {
        format!(
            "{} does not exist, although the manifest names it; copy the run again",
            store.uri(REPORT)
        )
    })?;
    let known = manifest.files.iter().find(|file| file.path == REPORT);
    if let Some(known) = known {
        let found = sha256_hex(&bytes);
        anyhow::ensure!(
            found == known.sha256,
            "{uri} was changed since the run: SHA-256 {found}, but the manifest says {}; copy the run \
             again, or name {uri} itself to read it as it is",
            known.sha256,
            uri = store.uri(REPORT),
        );
    }
    parsed(store, &bytes)
}

/// What a folder without a manifest is.
async fn unfinished(store: &Store) -> anyhow::Result<String> {
    let report = store.uri(REPORT);
    if store.exists(REPORT).await? {
        return Ok(format!(
            "{} does not exist, so the run is not whole: it is under way, or its reporter was cut. \
             Wait until it is Complete, or name {report} itself to read it as it is",
            store.uri(manifest::PATH)
        ));
    }
    Ok(match store.list("engines").await?.is_empty() {
        true => format!(
            "{report} does not exist; name the folder of one run, which is \
             <output.uri>/<namespace>/<run>-<uid>"
        ),
        false => format!(
            "{report} does not exist, but stages do: the run is under way, or was cut before its \
             report. Wait until it is Complete"
        ),
    })
}

async fn get(store: &Store, path: &str) -> Result<Option<bytes::Bytes>, StoreError> {
    match store.get(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parsed(store: &Store, bytes: &[u8]) -> anyhow::Result<Report> {
    read::report(bytes).with_context(|| format!("reading {}", store.uri(REPORT)))
}
