//! Several runner pods, or processes, that act as one client.
//!
//! Shard 0 leads: it says which stage comes next, compares clocks, names the start, and lays the
//! results together. Every shard takes its part of one arrival sequence, and stores what it measured
//! by itself, so that no shard's loss, the leader's included, costs the others' results.

mod board;
pub mod files;
pub mod follower;
#[cfg(test)]
mod fuzz;
pub mod leader;
pub mod merge;
pub mod message;
pub mod offset;
pub mod result;

pub use follower::{Follower, Next};
pub use leader::Leader;
pub use merge::{Merged, SHARD_LOST, merge, merge_parts};
pub use message::Step;
pub use offset::{Offset, RoundTrip};
pub use result::{Part, Place, ShardResult};
