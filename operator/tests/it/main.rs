//! The controller's decisions, walked through whole runs without a cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acceptance;
mod cleanup;
mod deadlines;
mod driver;
mod economy;
mod failure;
mod fields;
mod invariants;
mod leadership;
mod lifecycle;
mod node_loss;
mod objects;
mod prefetch;
mod preflight;
mod room;
mod suspension;
mod world;
