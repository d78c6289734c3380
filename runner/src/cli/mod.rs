//! The command line: one module per subcommand, each with its arguments and its `run`.

pub mod agent;
pub mod bench;
mod files;
#[cfg(test)]
mod fuzz;
mod live;
pub mod plan;
pub mod report;
pub mod run;
mod shards;
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
    Bench(Box<bench::Arguments>),
    /// Print every manifest and request that a run would make, and its GPU-hours
    Plan(plan::Arguments),
    /// Check a BenchmarkRun or EngineProfile as the API server and the operator would
    Validate(validate::Arguments),
    /// Render, compare, convert or upload the reports of runs
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

    /// Tells of a bad file, and ends so.
    ///
    /// # Errors
    /// Never; it gives what a command gives.
    pub(super) fn usage(error: &anyhow::Error) -> anyhow::Result<std::process::ExitCode> {
        eprintln!("error: {error:#}");
        Ok(std::process::ExitCode::from(USAGE))
    }
}

/// Runs one command to its end.
///
/// # Errors
/// Whatever keeps the command from doing its work, with its causes.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    init_logs();
    match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Bench(arguments) => bench::run(*arguments),
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

/// Log lines on standard error, as many as `RUST_LOG` asks for. On a terminal, where live progress
/// is shown, only warnings.
fn init_logs() {
    use std::io::IsTerminal;
    // What the libraries under the bucket's client log on the way, its error says at the end.
    let usual = if std::io::stderr().is_terminal() {
        "warn,rustls_platform_verifier=off,object_store=warn"
    } else {
        "info,rustls_platform_verifier=off"
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    // Tests that run several commands in one process set it once.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

/// The runtime of everything but the load path, which has threads of its own.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}

/// Ends the load in order when the process is told to end: what was measured is kept and marked. A
/// second signal ends the process.
pub(crate) fn cancel_on_signal(progress: std::sync::Arc<crate::measure::Progress>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::warn!("signals cannot be caught; an interrupted stage is lost");
        return;
    };
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if progress.control().is_cancelled() {
                std::process::exit(i32::from(exit::FAILED));
            }
            tracing::warn!("told to stop; what was measured is kept");
            progress.control().cancel();
        }
    });
}

/// Writes a result to standard output; a reader that has gone away is no failure of ours.
fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
