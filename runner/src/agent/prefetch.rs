//! `bakeoff agent prefetch`: fetches the model into the volume that all engines mount.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use axum::{Json, Router, routing::get};
use bakeoff_crds::{
    manifests::RUNNER_PORT,
    summary::{Failure, PrefetchSummary, Termination, reason},
};
use tokio::signal::unix::{SignalKind, signal};

use super::last_words::{TERMINATION_LOG, check_ca_bundle, failure, read_plan, say};
use crate::{
    models::{self, progress::Progress},
    store::{Environment, Inputs},
};

/// Arguments of `bakeoff agent prefetch`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The plan of the run
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Where the model's volume is mounted
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
    /// Folder that the model is copied from, in place of the hub or the bucket
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
    /// Where /progress is served
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], RUNNER_PORT as u16)))]
    listen: SocketAddr,
    /// File for the last words
    #[arg(long, value_name = "FILE", default_value = TERMINATION_LOG, env = "BAKEOFF_TERMINATION_LOG")]
    termination_log: PathBuf,
}

/// Runs the command. Told to end, it does at once: what was fetched until then stays for the next
/// try.
///
/// # Errors
/// Where not even the last words can be written.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let result = tokio::select! {
        result = prefetch(&arguments) => result,
        _ = terminate.recv() => Err(Failure {
            may_pass: true,
            ..failure(reason::ABORTED, "the fetching of the model was told to stop")
        }),
    };
    let result = result.map(|summary| Termination {
        prefetch: Some(summary),
        ..Termination::default()
    });
    say(result, &arguments.termination_log)
}

async fn prefetch(arguments: &Arguments) -> Result<PrefetchSummary, Failure> {
    let plan = read_plan(&arguments.plan)?;
    let environment = Environment::of_process();
    check_ca_bundle(&plan, &environment)?;
    let inputs = Inputs {
        base: PathBuf::from("/"),
        output: plan.spec.output.clone(),
        environment,
    };
    let progress = Arc::new(Progress::default());
    serve(arguments.listen, Arc::clone(&progress)).await;
    let from = arguments.from.as_deref();
    models::fill(&plan, &inputs, &arguments.into, from, &progress).await
}

/// Tells the operator how far it is; where that cannot be, it fetches all the same.
async fn serve(address: SocketAddr, progress: Arc<Progress>) {
    let answer = get(move || async move { Json(progress.snapshot()) });
    let routes = Router::new().route("/progress", answer);
    match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => {
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
        Err(error) => tracing::warn!(%address, %error, "progress is not served"),
    }
}
