//! `bakeoff plan`.

use std::process::ExitCode;

/// Arguments of `bakeoff plan`.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Runs the command.
///
/// # Errors
/// Always, until it is written.
pub fn run(_arguments: Arguments) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not there yet")
}
