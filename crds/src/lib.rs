//! The Bakeoff API and everything that can be said about a run without a cluster.
//!
//! In reading order:
//! - [`run`]: `BenchmarkRun`, what a person writes, and its status;
//! - [`profile`]: `EngineProfile`, what Bakeoff knows of an engine, as data, and its rendering;
//! - [`validate`]: every verdict on a run that needs no cluster, each naming field, value and remedy;
//! - [`plan`]: the fully resolved run, made once when a run is accepted and never changed after;
//! - [`manifests`]: the Kubernetes objects of a plan;
//! - [`summary`], [`outcome`], [`report`]: what comes back.
//!
//! Nothing here holds a client, reads a clock or does I/O: same input, same output.

pub mod common;
pub mod manifests;
pub mod outcome;
pub mod plan;
pub mod profile;
pub mod report;
pub mod run;
pub mod summary;
pub mod validate;

pub use common::Duration;
pub use profile::{EngineProfile, EngineProfileSpec};
pub use run::{BenchmarkRun, BenchmarkRunSpec};

/// API group of every Bakeoff kind, and prefix of its labels and annotations.
pub const GROUP: &str = "bakeoff.dev";
/// Served and stored version of the API.
pub const VERSION: &str = "v1alpha1";
