//! `bakeoff agent`: what the Jobs of a cluster start.

use std::process::ExitCode;

use clap::Subcommand;

use crate::agent::{hold, load, prefetch, preflight, report};

/// Arguments of `bakeoff agent`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    agent: Agent,
}

#[derive(Debug, Subcommand)]
enum Agent {
    /// Check bucket and inputs, and freeze the prompts
    Preflight(preflight::Arguments),
    /// Fetch the model into the volume that all engines mount
    Prefetch(prefetch::Arguments),
    /// Hold a node until told to end
    Hold,
    /// Load one engine for one round
    Load(load::Arguments),
    /// Write the report of what was measured
    Report(report::Arguments),
}

/// Runs the command.
///
/// # Errors
/// Where not even the last words can be written.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    match arguments.agent {
        Agent::Preflight(arguments) => runtime.block_on(preflight::run(arguments)),
        Agent::Prefetch(arguments) => runtime.block_on(prefetch::run(arguments)),
        Agent::Hold => runtime.block_on(hold::run()),
        Agent::Load(arguments) => runtime.block_on(load::run(arguments)),
        Agent::Report(arguments) => runtime.block_on(report::run(arguments)),
    }
}
