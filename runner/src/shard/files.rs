//! Shards' results in the run's folder: `shard-<i>/` under the attempt's.

use std::collections::BTreeSet;

use super::result::{Part, ResultError, ShardResult};
use crate::{
    drive::Control,
    record::{Record, log},
    store::{Store, StoreError, held},
};

/// A shard's result; written last, so that its presence says that the log is there too.
pub const RESULT: &str = "shard.json";
/// The log of its requests.
const REQUESTS: &str = "requests.jsonl.zst";

/// Why shards' files cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The store does not take or give them.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file is none of ours.
    #[error("{uri} cannot be used: {cause}; it was written by another version or changed since")]
    Malformed {
        /// The file.
        uri: String,
        /// What is wrong with it.
        cause: ResultError,
    },
    /// The log cannot be compressed.
    #[error("the log of requests cannot be written: {0}")]
    Log(#[from] std::io::Error),
}

fn folder(attempt: &str, index: u32) -> String {
    format!("{attempt}/shard-{index}")
}

/// Stores what a shard measured in an attempt; where the store does not take it, it is on the log.
///
/// # Errors
/// See [`FilesError`].
pub async fn write(
    store: &Store,
    attempt: &str,
    result: &ShardResult,
    (start, records): (log::Start, &[Record]),
    control: &Control,
) -> Result<(), FilesError> {
    let folder = folder(attempt, result.index);
    let requests = log::compressed(&result.stage.name, start, records)?;
    let json = serde_json::to_vec(result).unwrap_or_default();
    let files = vec![
        (format!("{folder}/{REQUESTS}"), requests.into()),
        (format!("{folder}/{RESULT}"), json.into()),
    ];
    Ok(held::store_or_hold(store, files, control).await?)
}

/// What shards have stored of an attempt, by index. `paths` are files of the run's folder, at least
/// those of the attempt.
///
/// # Errors
/// See [`FilesError`].
pub async fn read<'a>(
    store: &Store,
    attempt: &str,
    paths: impl Iterator<Item = &'a str>,
) -> Result<Vec<Part>, FilesError> {
    let indexes: BTreeSet<u32> = paths.filter_map(|path| index_of(attempt, path)).collect();
    let mut parts = Vec::with_capacity(indexes.len());
    for index in indexes {
        let folder = folder(attempt, index);
        let path = format!("{folder}/{RESULT}");
        let result = store.get(&path).await?;
        let requests = store.get(&format!("{folder}/{REQUESTS}")).await?;
        let part = Part::read(&result, &requests).map_err(|cause| FilesError::Malformed {
            uri: store.uri(&path),
            cause,
        })?;
        parts.push(part);
    }
    Ok(parts)
}

/// The shard whose result a path is.
fn index_of(attempt: &str, path: &str) -> Option<u32> {
    let (shard, file) = path
        .strip_prefix(attempt)?
        .strip_prefix("/shard-")?
        .split_once('/')?;
    (file == RESULT).then(|| shard.parse().ok()).flatten()
}

/// The attempt whose shard's result a path is.
pub fn attempt_of(path: &str) -> Option<&str> {
    let (attempt, _) = path.rsplit_once("/shard-")?;
    index_of(attempt, path)?;
    Some(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_known_by_its_path() {
        let attempt = "engines/a/round-1/rep-1/rate-2/attempt-1";
        let path = format!("{attempt}/shard-12/{RESULT}");
        assert_eq!(index_of(attempt, &path), Some(12));
        assert_eq!(attempt_of(&path), Some(attempt));
        for other in [
            format!("{attempt}/stage.json"),
            format!("{attempt}/shard-1/requests.jsonl.zst"),
            format!("{attempt}/shard-x/{RESULT}"),
            format!("{attempt}0/shard-1/{RESULT}"),
        ] {
            assert_eq!(index_of(attempt, &other), None, "{other}");
        }
    }
}
