//! Writing once: never over something else, and again until it is there.

use std::time::Duration;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};

use super::{Store, StoreError, sha256_hex};

/// Pause after the first failed try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// See [`Store::put_new`].
pub(super) async fn put_new(store: &Store, path: &str, bytes: Bytes) -> Result<(), StoreError> {
    let mut last = None;
    let tries = async {
        let mut pause = FIRST_PAUSE;
        loop {
            match put_once(store, path, &bytes).await {
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "storing failed, trying again in {pause:?}");
                    last = Some(error.to_string());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                done => return done,
            }
        }
    };
    match tokio::time::timeout(store.upload_timeout, tries).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Deadline {
            uri: store.uri(path),
            seconds: store.upload_timeout.as_secs(),
            last: last.unwrap_or_else(|| "no answer".into()),
        }),
    }
}

async fn put_once(store: &Store, path: &str, bytes: &Bytes) -> Result<(), StoreError> {
    let key = store.key(path);
    let refused = |cause| StoreError::refused(store, path, "written", cause);
    // Asked first because some servers ignore the condition of a put and would overwrite.
    if let Ok(found) = store.client.head(&key).await {
        return same_as_there(store, path, &key, bytes, found.size).await;
    }
    let mode = PutMode::Create;
    match put(store, &key, bytes, mode).await {
        Err(
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
        ) => same_as_there(store, path, &key, bytes, bytes.len() as u64).await,
        // A server without conditional puts; the question above has to do.
        Err(
            object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. },
        ) => put(store, &key, bytes, PutMode::Overwrite)
            .await
            .map_err(refused),
        done => done.map_err(refused),
    }
}

async fn put(
    store: &Store,
    key: &Path,
    bytes: &Bytes,
    mode: PutMode,
) -> Result<(), object_store::Error> {
    let options = PutOptions {
        mode,
        ..PutOptions::default()
    };
    store
        .client
        .put_opts(key, bytes.clone().into(), options)
        .await
        .map(|_| ())
}

async fn same_as_there(
    store: &Store,
    path: &str,
    key: &Path,
    bytes: &Bytes,
    size: u64,
) -> Result<(), StoreError> {
    let read = |cause| StoreError::read(store, path, cause);
    let differs = |found| StoreError::Differs {
        uri: store.uri(path),
        found,
        wanted: sha256_hex(bytes),
    };
    if size != bytes.len() as u64 {
        return Err(differs(format!("of {size} bytes")));
    }
    let there = store
        .client
        .get(key)
        .await
        .map_err(read)?
        .bytes()
        .await
        .map_err(read)?;
    if there == *bytes {
        Ok(())
    } else {
        Err(differs(sha256_hex(&there)))
    }
}
