//! Report assembly, pages and pictures.
//!
//! In reading order: [`collect`] reads what the runners stored; [`assemble`] makes the `Report` of stages and outcome; [`compare`] says which
//! engine is best at what, over the figures that [`measure`] and [`mod@spread`] read, and [`search`] what load each bears; [`fairness`] whether it was the same for all; [`csv`], [`table`], [`chart`]
//! and [`html`] show it; [`write()`] stores all of it, [`read`] reads it back and [`join`] sets several runs side by side. Everything but [`mod@write`] is a pure function.

pub mod assemble;
pub mod chart;
mod client;
pub mod collect;
pub mod compare;
pub mod contrast;
pub mod cost;
pub mod csv;
pub mod fairness;
#[cfg(test)]
pub(crate) mod fixture;
pub mod format;
#[cfg(test)]
mod fuzz;
pub mod html;
pub mod join;
pub mod log;
pub mod measure;
mod model_files;
pub mod read;
pub mod search;
pub mod spread;
pub mod table;
pub mod verdict;
pub mod write;

pub use assemble::{Facts, Measured, assemble};
pub use write::{WriteError, write};
