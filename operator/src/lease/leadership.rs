//! Until when this instance may write.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// Another instance may act by now; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operator does not hold its Lease any more; another one may act by now")]
pub struct NotLeader;

/// Until when this instance may write. Shared by whoever renews and whoever writes.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<Mutex<Until>>);

#[derive(Clone, Copy, Debug)]
enum Until {
    Always,
    Never,
    /// By two clocks, of which the earlier end counts: a monotonic one stands still while a machine
    /// sleeps, a wall clock can be set back.
    Moment(Instant, SystemTime),
}

impl Leadership {
    /// Of an operator that is alone, by its installation.
    pub fn always() -> Self {
        Self(Arc::new(Mutex::new(Until::Always)))
    }

    /// Of one that has yet to be elected.
    pub fn none() -> Self {
        Self(Arc::new(Mutex::new(Until::Never)))
    }

    /// Asked right before every write, and nowhere earlier: a process may stand still for as long
    /// as it likes between any two lines.
    ///
    /// # Errors
    /// Where another may act by now.
    pub fn check(&self) -> Result<(), NotLeader> {
        let is_valid = match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Until::Always => true,
            Until::Never => false,
            Until::Moment(instant, wall) => Instant::now() < instant && SystemTime::now() < wall,
        };
        is_valid.then_some(()).ok_or(NotLeader)
    }

    pub(super) fn extend(&self, from: (Instant, SystemTime), by: Duration) {
        self.set(Until::Moment(from.0 + by, from.1 + by));
    }

    pub(super) fn give_up(&self) {
        self.set(Until::Never);
    }

    fn set(&self, until: Until) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}
