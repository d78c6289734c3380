//! A real Kubernetes cluster on one machine without Docker, real object stores and a real
//! Prometheus beside it, and what end-to-end tests need to use them.
//!
//! Reading order: [`cluster`] and [`services`] say what there is; [`harness`] is for tests.

pub mod cluster;
pub mod services;

pub mod harness;

pub mod images;
pub mod inputs;
pub mod kubectl;

pub mod certificates;
pub mod command;
pub mod daemon;
pub mod kubeconfig;
pub mod packages;
pub mod settings;
pub mod tools;
pub mod wait;
