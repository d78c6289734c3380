//! What shards say to each other: JSON over HTTP, each question by a POST to shard 0.

use bakeoff_crds::{plan::Stage, summary::Failure};
use serde::{Deserialize, Serialize};

use super::result::Place;
use crate::clock::Nanos;

/// Path of the questions.
pub const PATH: &str = "/shard";

/// A question of one shard to shard 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// What all shards of one Job were given; a stray pod of another has another.
    pub token: String,
    /// Who asks: 1 or more.
    pub index: u32,
    /// How many shards it knows of.
    pub of: u32,
    /// A number that the asking process made up: a pod that was started anew has another.
    pub process: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// What time is it?
    Clock,
    /// May I take part?
    Join,
    /// What comes next? Answered as soon as it is known, and at the latest after a moment.
    #[serde(rename_all = "camelCase")]
    Next {
        /// Number of the last step that was told; 0 for none.
        after: u64,
    },
    /// When does this step begin? I am ready. Answered as soon as it is known.
    Ready {
        /// Number of the step.
        step: u64,
    },
    /// My part of this step has been driven.
    Ended {
        /// Number of the step.
        step: u64,
    },
    /// My part of this step is stored.
    Stored {
        /// Number of the step.
        step: u64,
    },
    /// I am still here.
    Beat {
        /// Number of the step under way.
        step: u64,
        /// Requests of it that have ended.
        requests: u64,
    },
    /// I must leave.
    Leave(Failure),
}

/// Shard 0's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// A number that shard 0's process made up: one that was started anew has another.
    pub leader: u64,
    /// The answer.
    pub answer: Answer,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The time, by shard 0's monotonic clock, in nanoseconds.
    Clock {
        /// When the question came in.
        received: Nanos,
        /// When the answer went out.
        returned: Nanos,
    },
    /// Taken note of.
    Noted,
    /// Not known yet; ask again.
    Wait,
    /// This comes next.
    Step(Step),
    /// The step begins at this time of shard 0's clock.
    Start(Nanos),
    /// The step does not begin; ask what comes next.
    NotBegun,
    /// Nothing comes any more; a failure where shard 0 has one.
    End(Option<Failure>),
}

/// One stage to be driven together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Number of the step, from 1, by shard 0's process.
    pub number: u64,
    /// The stage.
    pub stage: Stage,
    /// Which attempt at it.
    pub place: Place,
    /// Which of the prompts comes first.
    pub first_request: u64,
    /// Seed of the arrivals.
    pub seed: u64,
    /// Folder of the attempt in the run's folder.
    pub folder: String,
}
