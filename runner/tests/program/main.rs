//! The real program, started as a person or a pod would: starved of CPU, told to stop, and for
//! long enough that memory would show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)] // tests

mod common;
mod memory;
mod quota;
mod signals;
mod starved;
