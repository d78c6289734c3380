//! `bakeoff agent`: what the Jobs of a cluster start.

use std::process::ExitCode;

use clap::Subcommand;

use crate::agent::load;

/// Arguments of `bakeoff agent`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    agent: Agent,
}

#[derive(Debug, Subcommand)]
enum Agent {
    /// Load one engine for one round
    Load(load::Arguments),
}

/// Runs the command.
///
/// # Errors
/// Where not even the last words can be written.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    match arguments.agent {
        Agent::Load(arguments) => runtime.block_on(load::run(arguments)),
    }
}
