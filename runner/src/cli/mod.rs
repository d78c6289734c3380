//! The command line: one module per subcommand, each with its arguments and its `run`.

pub mod agent;
pub mod bench;
mod files;
pub mod plan;
pub mod report;
pub mod run;
pub mod simulate;
pub mod validate;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Bakes LLM serving engines off against each other, honestly.
#[derive(Debug, Parser)]
#[command(name = "bakeoff", version, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a BenchmarkRun without a cluster: against simulated engines or servers that are up
    Run(run::Arguments),
    /// Load one URL: one engine, one stage, no file
    Bench(bench::Arguments),
    /// Print every manifest and request that a run would make, and its GPU-hours
    Plan(plan::Arguments),
    /// Check a BenchmarkRun or EngineProfile as the API server and the operator would
    Validate(validate::Arguments),
    /// Render, compare or upload the reports of runs
    Report(report::Arguments),
    /// Be a simulated engine
    Simulate(simulate::Arguments),
    /// What the Jobs of a cluster start
    #[command(hide = true)]
    Agent(agent::Arguments),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Ends of the program, as promised to scripts.
pub mod exit {
    /// Failed.
    pub const FAILED: u8 = 1;
    /// Bad usage or a bad file.
    pub const USAGE: u8 = 2;
    /// Done, but the verdict is Invalid.
    pub const INVALID: u8 = 3;
}

/// Runs one command to its end.
///
/// # Errors
/// Whatever keeps the command from doing its work, with its causes.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Validate(arguments) => validate::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Agent(arguments) => agent::run(arguments),
        Command::Completion { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "bakeoff",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Writes a result to standard output; a reader that has gone away is no failure of ours.
fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
