//! `manifest.json`: every file of a run with its hash. Written last, so that its presence means
//! that the run is whole.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, sha256_hex};

/// Version of the manifest's schema.
pub const SCHEMA_VERSION: &str = "bakeoff.dev/manifest/v1alpha1";
/// Name of the manifest in a run's folder.
pub const PATH: &str = "manifest.json";

/// Every file of a run.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: String,
    /// The files, sorted by path.
    pub files: Vec<ManifestFile>,
}

/// One file of a run.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFile {
    /// Path within the run's folder.
    pub path: String,
    /// Size, in bytes.
    pub size: u64,
    /// SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// Reads every file of the run's folder back, hashes it, and writes the manifest.
///
/// Hashing what the store gives back, rather than what was sent, finds files that a run does not
/// know of any more: those of an attempt that was cut.
///
/// # Errors
/// As [`Store::list`], [`Store::get`] and [`Store::put_new`].
pub async fn write(store: &Store) -> Result<Manifest, StoreError> {
    let mut files = Vec::new();
    for entry in store.list("").await? {
        let hidden = entry
            .path
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with('.'));
        if entry.path == PATH || hidden {
            continue;
        }
        let bytes = store.get(&entry.path).await?;
        files.push(ManifestFile {
            size: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
            path: entry.path,
        });
    }
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION.into(),
        files,
    };
    let json = serde_json::to_vec_pretty(&manifest).map_err(|error| StoreError::Configuration {
        what: PATH.into(),
        problem: error.to_string(),
    })?;
    store.put_new(PATH, json).await?;
    Ok(manifest)
}
