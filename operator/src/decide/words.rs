//! The words in which a status tells how far its run is, apart from all that is concluded in it.

use bakeoff_crds::run::{BenchmarkRunStatus, status::condition};

/// How far a run is, in words: all that is ever written of a run upon an older look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// `status.progress`.
    pub progress: Option<String>,
    /// The message of its condition Progressing.
    pub message: String,
}

impl Words {
    /// Those of a status.
    pub fn of(status: &BenchmarkRunStatus) -> Self {
        let mut conditions = status.conditions.iter();
        let progressing = conditions.find(|found| found.type_ == condition::PROGRESSING);
        Self {
            progress: status.progress.clone(),
            message: progressing
                .map(|found| found.message.clone())
                .unwrap_or_default(),
        }
    }

    /// Puts them into a status, which stays as it is but for them.
    pub fn put_into(&self, status: &mut BenchmarkRunStatus) {
        status.progress.clone_from(&self.progress);
        for found in &mut status.conditions {
            if found.type_ == condition::PROGRESSING {
                found.message.clone_from(&self.message);
            }
        }
    }

    /// Whether two statuses say the same but for these words.
    pub fn differ_alone(one: &BenchmarkRunStatus, other: &BenchmarkRunStatus) -> bool {
        let mut one = one.clone();
        Self::of(other).put_into(&mut one);
        one == *other
    }
}
