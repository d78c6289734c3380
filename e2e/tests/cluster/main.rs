//! End-to-end tests on a real cluster: `cargo e2e test`.
//!
//! One binary, so that it links once. Each module holds one subject; a test begins with
//! `if !has_cluster() { return Ok(()) }` and lives in `with_namespace`.

mod admission;
mod faults;
mod install;
mod operators;
mod runs;
mod scale;
mod smoke;
mod turns;
