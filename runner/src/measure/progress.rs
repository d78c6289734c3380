//! How far a round is, for whoever asks.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

use crate::drive::Control;

/// Where a round is.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<State>,
    control: Control,
    /// Requests of stages that have ended, since the process began.
    requests_before: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct State {
    repetition: u32,
    stage: String,
    stages_done: u32,
    stages_planned: u32,
    /// Requests of the stage under way that other shards have ended.
    others: u64,
    missing: Vec<u32>,
}

/// A look at a round: what `/progress` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Repetition, from 1; 0 before the first.
    pub repetition: u32,
    /// Name of the stage under way; `calibration` and `warm-up` before the first, empty
    /// before that.
    pub stage: String,
    /// Stages that are stored.
    pub stages_done: u32,
    /// Stages that the round holds; of a search, the most that there can be.
    pub stages_planned: u32,
    /// Requests of the stage under way that have ended, those of all shards together.
    pub requests_done: u64,
    /// Shards that are not there; empty where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards_missing: Vec<u32>,
}

impl Progress {
    /// The handle that ends the load.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Where the round is now.
    pub fn snapshot(&self) -> Snapshot {
        let State {
            repetition,
            stage,
            stages_done,
            stages_planned,
            others,
            missing,
        } = self.state().clone();
        Snapshot {
            repetition,
            stage,
            stages_done,
            stages_planned,
            requests_done: self.control.requests_done() + others,
            shards_missing: missing,
        }
    }

    /// Requests that have ended since the process began.
    pub fn requests_total(&self) -> u64 {
        self.requests_before.load(Ordering::Relaxed) + self.control.requests_done()
    }

    /// What the other shards have done of the stage under way, and which of them are not there.
    pub(crate) fn others(&self, requests: u64, missing: Vec<u32>) {
        let mut state = self.state();
        state.others = requests;
        state.missing = missing;
    }

    pub(super) fn begin(&self, stages_done: u32, stages_planned: u32) {
        *self.state() = State {
            stages_done,
            stages_planned,
            ..State::default()
        };
    }

    pub(super) fn stage(&self, repetition: u32, name: &str) {
        self.requests_before
            .fetch_add(self.control.requests_done(), Ordering::Relaxed);
        self.control.reset_counts();
        let mut state = self.state();
        state.repetition = repetition;
        state.others = 0;
        name.clone_into(&mut state.stage);
    }

    /// One more is stored; how many the round will hold may be known better now.
    pub(super) fn stage_done(&self, stages_planned: u32) {
        let mut state = self.state();
        state.stages_done += 1;
        state.stages_planned = stages_planned;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves these plain values whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
