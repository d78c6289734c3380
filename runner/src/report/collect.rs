//! Reads what a run left in its folder: stages and the preflight's facts.

use std::collections::BTreeSet;

use bakeoff_crds::{
    plan::{Plan, PlannedEngine},
    report::{Probe, StageReport},
    summary::PreflightSummary,
};

use super::Measured;
use crate::{
    measure::{PROBE, STAGE},
    shard::{
        files::{self, FilesError},
        merge_parts,
    },
    store::{Entry, Store, StoreError},
    workload::frozen::{self, FrozenError},
};

/// Name of the preflight's facts in a run's folder.
pub const PREFLIGHT: &str = "preflight.json";

/// Why a run's folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The bucket refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What shards of a lost one stored cannot be used.
    #[error(transparent)]
    Shards(#[from] FilesError),
    /// The prompts that go with it cannot be read.
    #[error(transparent)]
    Prompts(#[from] FrozenError),
    /// A file is malformed.
    #[error("{uri} cannot be read: {cause}; it was written by another version or changed since")]
    Malformed {
        /// The file.
        uri: String,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// Every stage of every engine of the plan.
///
/// # Errors
/// Where the store gives no answer or a file is malformed.
pub async fn stages(store: &Store, plan: &Plan) -> Result<Vec<Measured>, CollectError> {
    let mut stages = Vec::new();
    for engine in &plan.engines {
        let ending = format!("/{STAGE}");
        let entries = store.list(&format!("engines/{}", engine.name)).await?;
        for stage in unmerged(store, plan, engine, &entries).await? {
            stages.push(Measured {
                engine: engine.name.clone(),
                stage,
            });
        }
        for entry in entries.iter().filter(|entry| entry.path.ends_with(&ending)) {
            let stage: StageReport = read(store, &entry.path).await?;
            stages.push(Measured {
                engine: engine.name.clone(),
                stage,
            });
        }
    }
    Ok(stages)
}

/// What every engine of the plan answered before it was loaded, in the order in which it was asked.
///
/// # Errors
/// Where the store gives no answer or a file is malformed.
pub async fn probes(store: &Store, plan: &Plan) -> Result<Vec<(String, Probe)>, CollectError> {
    let mut probes = Vec::new();
    for engine in &plan.engines {
        let mut entries = store.list(&format!("engines/{}", engine.name)).await?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let is_probe = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            name.starts_with(PROBE) && path.split('/').count() == 4
        };
        for entry in entries.iter().filter(|entry| is_probe(&entry.path)) {
            probes.push((engine.name.clone(), read(store, &entry.path).await?));
        }
    }
    Ok(probes)
}

/// Attempts whose shards stored their parts, but whose first shard was lost before it laid them
/// together.
async fn unmerged(
    store: &Store,
    plan: &Plan,
    engine: &PlannedEngine,
    entries: &[Entry],
) -> Result<Vec<StageReport>, CollectError> {
    let paths = || entries.iter().map(|entry| entry.path.as_str());
    let whole: BTreeSet<&str> = paths()
        .filter_map(|path| path.strip_suffix(STAGE)?.strip_suffix('/'))
        .collect();
    let attempts: BTreeSet<&str> = paths()
        .filter_map(files::attempt_of)
        .filter(|attempt| !whole.contains(attempt))
        .collect();
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    let (prompts, _) = frozen::load(store, None).await?;
    let mut stages = Vec::new();
    for attempt in attempts {
        let parts = files::read(store, attempt, paths()).await?;
        stages.extend(merge_parts(plan, engine, &prompts, &parts).map(|merged| merged.report));
    }
    Ok(stages)
}

/// The preflight's facts; empty where there was no preflight.
///
/// # Errors
/// Where the store gives no answer or the file is malformed.
pub async fn preflight(store: &Store) -> Result<PreflightSummary, CollectError> {
    match read(store, PREFLIGHT).await {
        Err(CollectError::Store(StoreError::NotFound { .. })) => Ok(PreflightSummary::default()),
        found => found,
    }
}

async fn read<T: serde::de::DeserializeOwned>(
    store: &Store,
    path: &str,
) -> Result<T, CollectError> {
    let bytes = store.get(path).await?;
    serde_json::from_slice(&bytes).map_err(|cause| CollectError::Malformed {
        uri: store.uri(path),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{measure::attempt_folder, report::fixture};

    #[tokio::test]
    async fn finds_every_stage_of_every_engine() {
        let store = Store::in_memory();
        for measured in fixture::measured() {
            let stage = &measured.stage;
            let folder = attempt_folder(&measured.engine, 1, 1, &stage.name, 1);
            let json = serde_json::to_vec(stage).unwrap();
            store
                .put_new(&format!("{folder}/{STAGE}"), json)
                .await
                .unwrap();
            store
                .put_new(&format!("{folder}/requests.jsonl.zst"), "x")
                .await
                .unwrap();
        }
        let mut found = stages(&store, &fixture::plan()).await.unwrap();
        let mut expected = fixture::measured();
        let key = |measured: &Measured| (measured.engine.clone(), measured.stage.name.clone());
        found.sort_by_key(key);
        expected.sort_by_key(key);
        assert_eq!(found, expected);
        assert_eq!(
            preflight(&store).await.unwrap(),
            PreflightSummary::default()
        );
        store
            .put_new("engines/tgi/round-1/rep-1/x/attempt-1/stage.json", "{")
            .await
            .unwrap();
        let error = stages(&store, &fixture::plan()).await.unwrap_err();
        assert!(error.to_string().contains("tgi/round-1/rep-1/x"), "{error}");
    }
}
