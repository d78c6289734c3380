//! How far the fetching is, for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// How far the fetching is.
#[derive(Debug, Default)]
pub struct Progress {
    planned: AtomicU64,
    done: AtomicU64,
}

/// A look at it: what `/progress` answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Bytes that are in the volume.
    pub bytes_done: u64,
    /// Bytes of all files that were listed until now, as far as their source told.
    pub bytes_planned: u64,
}

impl Progress {
    /// How far it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            bytes_done: self.done.load(Relaxed),
            bytes_planned: self.planned.load(Relaxed),
        }
    }

    pub(super) fn plan(&self, bytes: u64) {
        self.planned.fetch_add(bytes, Relaxed);
    }

    pub(super) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
    }

    /// What is thrown away is to be fetched again.
    pub(super) fn take_back(&self, bytes: u64) {
        let _ = self
            .done
            .fetch_update(Relaxed, Relaxed, |done| Some(done.saturating_sub(bytes)));
    }
}
