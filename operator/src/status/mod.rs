//! Parts of a run's status that follow from other parts. Pure.

pub mod conditions;
pub mod engines;
pub mod progress;
