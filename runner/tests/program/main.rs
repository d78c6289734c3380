//! The real program, started as a person or a pod would: starved of CPU, told to stop, for
//! long enough that memory would show, asked for the files of other tools, killed, and left without a
//! bucket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)] // tests

mod away;
mod bucket;
mod common;
mod formats;
mod limits;
mod memory;
mod pod;
mod profile;
mod prometheus_away;
mod quota;
mod shards;
mod signals;
mod soak;
mod starved;
