//! `bakeoff`: Bakeoff's command line and load generator. Called by the name of an engine's program,
//! as it is in the images of simulated engines, it plays that program.

use std::process::ExitCode;

use bakeoff_runner::{
    cli,
    simulate::entrypoint::{self, Program},
};
use clap::Parser;

fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    if let Some(program) = words.next().as_deref().and_then(Program::by_name) {
        return entrypoint::run(program, &words.collect::<Vec<_>>());
    }
    match cli::run(cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(cli::exit::FAILED)
        }
    }
}
