//! `bakeoff`: Bakeoff's command line and load generator.

use std::process::ExitCode;

use bakeoff_runner::cli;
use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(cli::exit::FAILED)
        }
    }
}
