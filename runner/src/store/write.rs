//! Writing once: never over something else, and again until it is there.

use std::time::Duration;

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};

use super::{Store, StoreError, patience, sha256_hex};

/// Time for the question whether something is there already: a server that takes connections and
/// says nothing shows here, not after the long time that a large object may take. A quarter of the time
/// for the write with all its tries, where that is less.
const LOOK: Duration = Duration::from_secs(30);

/// See [`Store::put_new`].
pub(super) async fn put_new(store: &Store, path: &str, bytes: Bytes) -> Result<(), StoreError> {
    let once = || put_once(store, path, &bytes);
    patience::until(store, path, "written", store.upload_timeout, once).await
}

async fn put_once(store: &Store, path: &str, bytes: &Bytes) -> Result<(), StoreError> {
    let key = store.key(path);
    let refused = |cause| StoreError::refused(store, path, "written", cause);
    // Asked first because some servers ignore the condition of a put and would overwrite.
    match look(store, &key).await {
        Ok(found) => return same_as_there(store, path, &key, bytes, found.size).await,
        Err(object_store::Error::NotFound { .. }) => {}
        Err(cause) => {
            let error = refused(cause);
            if error.is_transient() {
                return Err(error);
            }
            // Whoever may write need not be allowed to look; the condition of the put has to do.
        }
    }
    match put(store, &key, bytes, PutMode::Create).await {
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

async fn look(store: &Store, key: &Path) -> Result<ObjectMeta, object_store::Error> {
    let time = LOOK.min(store.upload_timeout / 4);
    let asked = tokio::time::timeout(time, store.client.head(key)).await;
    asked.unwrap_or_else(|_| {
        Err(object_store::Error::Generic {
            store: "store",
            source: format!("no answer within {time:?}").into(),
        })
    })
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
