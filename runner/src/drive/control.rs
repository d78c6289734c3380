//! The handle by which others look into a stage under way and end it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Progress of the stage under way, and the wish to stop.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    requests_done: AtomicU64,
    chunks: AtomicU64,
}

/// Why a stage was cut.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// It took longer than the policy allows.
    Deadline,
    /// The client was told to stop.
    Cancelled,
}

impl Control {
    /// Ends the load: requests in flight count as cancelled, what was measured stays.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the load was told to end.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Requests that have ended so far, in whatever way.
    pub fn requests_done(&self) -> u64 {
        self.requests_done.load(Ordering::Relaxed)
    }

    /// Frames with content so far.
    pub fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    pub(super) fn request_done(&self, chunks: u32) {
        self.requests_done.fetch_add(1, Ordering::Relaxed);
        self.chunks.fetch_add(u64::from(chunks), Ordering::Relaxed);
    }

    /// Begins to count anew, for the next stage.
    pub fn reset_counts(&self) {
        self.requests_done.store(0, Ordering::Relaxed);
        self.chunks.store(0, Ordering::Relaxed);
    }
}
