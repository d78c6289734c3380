//! How sure a figure is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An interval that holds the true value of a figure with a confidence of 95 %.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Its lower end, in the figure's unit.
    pub low: f64,
    /// Its upper end, in the figure's unit.
    pub high: f64,
    /// How it was come by, and so which causes of difference are in it.
    pub method: IntervalMethod,
}

/// How an interval was come by.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum IntervalMethod {
    /// Student's t over the rounds, repetitions averaged within each: everything that changes from
    /// one start of an engine to the next is in it. Between engines, rounds are paired.
    Rounds,
    /// Student's t over the repetitions within one life of an engine. What changes from one start
    /// to the next is not in it.
    Repetitions,
    /// Student's t over the means of equal parts of one steady-state window. What changes from one
    /// measurement to the next is not in it.
    BatchMeans,
    /// Order statistics of one stage's requests, as if they were independent. What changes from one
    /// measurement to the next is not in it.
    OrderStatistics,
    /// Wilson's score interval of a share.
    Wilson,
    /// Newcombe's interval of a difference of two shares, by Wilson's scores.
    Newcombe,
}
