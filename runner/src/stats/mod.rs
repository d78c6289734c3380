//! Figures from time stamps. Knows no protocol, reads no clock, does no I/O.
//!
//! Per request, every value is kept and quantiles are exact; per frame, a histogram holds them to
//! three digits, so that memory does not grow with the number of tokens.

mod client;
mod distribution;
pub mod energy;
mod gaps;
pub mod goodput;
mod groups;
pub mod interval;
mod latency;
mod mser;
mod pace;
pub mod reconcile;
mod requests;
pub mod sanity;
mod settle;
pub mod stage;
pub mod steady;
mod token_counts;
pub mod verdict;
mod work;

pub use distribution::{distribution, quantile, token_distribution};
pub use gaps::{Gaps, Latencies};
