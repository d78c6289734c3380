//! `bakeoff-operator`: see the library for the story.

use std::{io::IsTerminal, process::ExitCode};

use bakeoff_operator::{
    args::{Args, LogFormat},
    run::run,
};
use clap::Parser;
use tracing_subscriber::EnvFilter;

// It waits for the API server nearly all the time. One thread has one heap: with several, each kept what
// its largest answers had needed.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    log_as(args.log_format);
    // Only fails where one is installed already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_as(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Json => logs.json().init(),
        LogFormat::Text => logs.with_ansi(std::io::stdout().is_terminal()).init(),
    }
}
