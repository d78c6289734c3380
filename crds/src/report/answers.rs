//! What the answers' texts tell: whether they are sound, alike and right.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Interval;

/// Answers that are not what was asked for, of the requests that succeeded. One answer may count
/// under several kinds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OutputSanity {
    /// Answers that were read.
    pub judged: u64,
    /// Answers of nothing but white space. Answers without any content failed as `empty`.
    pub empty: u64,
    /// Answers with fewer tokens than asked for, where they were to run to their full length
    /// (`sampling.ignoreEos`); absent where they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_than_asked: Option<u64>,
    /// Answers with more tokens than asked for.
    pub longer_than_asked: u64,
    /// Answers that ended because they had as many tokens as they may (`length`), where they were
    /// free to end before: cut off, perhaps within a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<u64>,
    /// Answers that turn in circles: more than half of the 16-character pieces of their end were
    /// said before.
    pub repeating: u64,
}

/// How many answers were right, where the data set tells what is right.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Quality {
    /// Right answers.
    pub matched: u64,
    /// Answers whose right answer is known.
    pub judged: u64,
    /// Different prompts among them.
    pub prompts: u64,
    /// `matched` over `judged`, 0 to 1.
    pub share: f64,
    /// Its interval of 95 %, as of so many answers as there are different prompts.
    pub interval: Interval,
}

/// How often two engines, or one engine twice, gave the same answer to the same prompt.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// One engine.
    pub first: String,
    /// The other; the same where one engine's answers are held against each other.
    pub second: String,
    /// Prompts that both answered; of one engine, prompts that it answered more than once.
    pub prompts: u64,
    /// Share of equal pairs of answers, 0 to 1: for each prompt, over all pairs of its answers, and
    /// the mean over the prompts.
    pub share: f64,
}

/// How two engines' shares of right answers differ.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QualityDifference {
    /// One engine.
    pub first: String,
    /// The other.
    pub second: String,
    /// Share of right answers of the first less that of the second: 0.02 is two percentage points.
    pub value: f64,
    /// Its interval of 95 %.
    pub interval: Interval,
    /// Whether the interval is on one side of 0.
    pub shown: bool,
}
