//! The Bakeoff controller: brings each `BenchmarkRun` to its end.
//!
//! In reading order:
//! - [`controller`]: the story. Watches runs, pods and Jobs; reconcile is observe, decide, make, write
//!   the status, publish events, delete;
//! - [`idle`]: which runs need no look; [`watched`]: a run as its watch shows it;
//! - [`observe`]: the only module that reads the API server; fills [`observed::Observed`];
//! - [`decide`]: what to do next, a pure function; [`engine`], [`object`], [`job`], [`pod`], [`classify`]
//!   and [`mask`] tell it what objects say, [`status`] derives the parts of a status;
//! - [`apply`]: the only module that writes; [`child`] is what it writes;
//! - [`events`]: what people read of a change;
//! - [`lease`]: of several operators one acts;
//! - [`metrics`], [`requests`] and [`admin`]: what is known of the operator itself.

pub mod admin;
pub mod admission;
pub mod apply;
pub mod args;
pub mod autoscaler;
pub mod backoff;
pub mod child;
pub mod claims;
pub mod classify;
pub mod clock;
pub mod controller;
pub mod decide;
pub mod engine;
pub mod error;
pub mod events;
pub mod idle;
pub mod job;
pub mod lease;
pub mod mask;
pub mod metrics;
pub mod neighbours;
pub mod node_facts;
pub mod object;
pub mod observe;
pub mod observed;
pub mod pod;
pub mod progress;
pub mod reconcile;
pub mod requests;
pub mod room;
pub mod run;
pub mod slim;
pub mod status;
pub mod volumes;
pub mod watched;
