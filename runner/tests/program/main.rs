//! The real program, started as a person or a pod would: starved of CPU, told to stop, for
//! long enough that memory would show, and asked for the files of other tools.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)] // tests

mod common;
mod formats;
mod limits;
mod memory;
mod profile;
mod quota;
mod shards;
mod signals;
mod starved;
