//! The check that results can be stored, made before accelerator time is spent.

use std::time::Duration;

use object_store::ObjectStoreExt;

use super::{Store, StoreError};

/// Time for the check: long enough for a metadata server that comes up with the pod, short enough
/// that a wrong endpoint shows soon.
const TIMEOUT: Duration = Duration::from_secs(60);

/// See [`Store::check_writable`].
pub(super) async fn check_writable(store: &Store, attempt: &str) -> Result<(), StoreError> {
    let store = store
        .clone()
        .with_upload_timeout(TIMEOUT.min(store.upload_timeout));
    let path = format!(".bakeoff-write-check-{attempt}");
    let content = format!("Bakeoff checks that it can write here ({attempt}).\n");
    store.put_new(&path, content.clone()).await?;
    let there = store.get(&path).await?;
    if there != content.as_bytes() {
        return Err(StoreError::Corrupt {
            uri: store.uri(&path),
        });
    }
    // Deleting is a right that results do not need, so a refusal is no failure.
    if let Err(error) = store.client.delete(&store.key(&path)).await {
        tracing::info!(%error, "the write check's object stays: {}", store.uri(&path));
    }
    Ok(())
}
