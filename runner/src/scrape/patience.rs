//! How long a Prometheus that is slow or away is asked of one window. The accelerator waits meanwhile:
//! a stage has some dozens of questions, and each may take its time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::promql::TimeWindow;
use crate::clock::{self, Nanos};

/// Longest time for all questions of one window.
const MOST: Duration = Duration::from_secs(60);
/// Questions in a row without an answer, after which a window is asked of no more.
const MOST_UNANSWERED: u32 = 2;

/// What a Prometheus has taken of our time, window by window.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    most: Duration,
    window: Arc<Mutex<Asked>>,
}

/// What was asked of a window.
#[derive(Debug, Default)]
struct Asked {
    /// Its end, by which one is told from another; none before the first.
    end: Option<f64>,
    since: Nanos,
    unanswered: u32,
    /// Why the last question had no answer.
    cause: String,
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Patience {
    /// So much for each window.
    pub(super) fn of(most: Duration) -> Self {
        Self {
            most,
            window: Arc::default(),
        }
    }

    /// How long the next question of a window may take.
    ///
    /// # Errors
    /// Why there is no next question.
    pub(super) fn left(&self, window: TimeWindow) -> Result<Duration, String> {
        let asked = self.of_window(window);
        if asked.unanswered >= MOST_UNANSWERED {
            return Err(format!("not asked, for it did not answer: {}", asked.cause));
        }
        let taken = Duration::from_nanos(clock::now().saturating_sub(asked.since));
        match self.most.checked_sub(taken) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.is_over()),
        }
    }

    /// A question of this window was answered, with whatever.
    pub(super) fn answered(&self, window: TimeWindow) {
        self.of_window(window).unanswered = 0;
    }

    /// A question of this window was not.
    pub(super) fn unanswered(&self, window: TimeWindow, cause: &str) {
        let mut asked = self.of_window(window);
        asked.unanswered += 1;
        cause.clone_into(&mut asked.cause);
    }

    /// What is said of a question for which there was no time.
    pub(super) fn is_over(&self) -> String {
        format!(
            "not answered: all questions of one window have {} s together",
            self.most.as_secs_f64()
        )
    }

    /// What was asked of a window, which begins with its first question.
    fn of_window(&self, window: TimeWindow) -> MutexGuard<'_, Asked> {
        let mut asked = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.end != Some(window.end) {
            *asked = Asked {
                end: Some(window.end),
                since: clock::now(),
                ..Asked::default()
            };
        }
        asked
    }
}
