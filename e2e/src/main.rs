//! `cargo e2e up|test|down`.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use bakeoff_e2e::inputs::Inputs;
use bakeoff_e2e::services::{gcs, prometheus, s3};
use bakeoff_e2e::settings::{Layout, foreign_kubeconfig};
use bakeoff_e2e::{cluster, daemon, images, packages, services};
use clap::{Parser, Subcommand};

mod tests;

/// A real Kubernetes cluster on this machine, and the end-to-end tests on it.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start the cluster and the servers beside it, or whatever of them does not run, and load
    /// freshly built images.
    Up {
        /// Start everything but build no images.
        #[arg(long)]
        no_images: bool,
    },
    /// Run the unit tests, then the end-to-end tests on the cluster.
    Test(tests::Options),
    /// End everything that `up` started and remove what it made, but for the build cache.
    Down,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the backtrace: what failed is another program, or the machine.
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Up { no_images } => {
            let layout = up(!no_images)?;
            write!(io::stdout(), "{}", describe(&layout)?)?;
        }
        Verb::Test(options) => tests::run(options)?,
        Verb::Down => down()?,
    }
    Ok(())
}

fn up(with_images: bool) -> Result<Layout> {
    let began = Instant::now();
    let layout = Layout::from_env()?;
    packages::install()?;
    if foreign_kubeconfig().is_none() {
        cluster::up(&layout)?;
    } else {
        images::import_base(&layout)?;
    }
    services::up(&layout)?;
    if with_images {
        images::import_ours(&layout)?;
        images::import_llama(&layout, &Inputs::make(&layout)?)?;
    }
    daemon::require_all_running(&layout)?;
    tracing::info!("up after {:.1} s", began.elapsed().as_secs_f64());
    Ok(layout)
}

fn down() -> Result<()> {
    cluster::down(&Layout::of_running_cluster()?)?;
    tracing::info!("nothing is left but the build cache");
    Ok(())
}

fn describe(layout: &Layout) -> Result<String> {
    Ok(format!(
        "
The cluster is up. To use it:
  export KUBECONFIG={kubeconfig} PATH={bin}:$PATH
  kubectl get nodes


To install Bakeoff:
  helm install bakeoff charts/bakeoff --namespace bakeoff-system --create-namespace \\
    --set image.repository={registry}/bakeoff-operator,image.tag={tag} \\
    --set runnerImage.repository={registry}/bakeoff-runner,runnerImage.tag={tag}

Images      {registry}/{{simulator-vllm,simulator-tgi,simulator-commands,llama-server}}:{tag}
S3          {s3}, bucket {s3_bucket}, key {key}, secret {secret}
            trust {ca}
GCS         {gcs}, bucket {gcs_bucket}, no credentials
Prometheus  {prometheus}
Logs        {logs}

End it with `cargo e2e down`.
",
        kubeconfig = layout.kubeconfig().display(),
        bin = layout.bin().display(),
        registry = images::REGISTRY,
        tag = images::TAG,
        s3 = s3::endpoint()?,
        s3_bucket = s3::BUCKET,
        key = s3::ACCESS_KEY,
        secret = s3::SECRET_KEY,
        ca = s3::ca_certificate(layout).display(),
        gcs = gcs::endpoint()?,
        gcs_bucket = gcs::BUCKET,
        prometheus = prometheus::endpoint()?,
        logs = layout.state.join("logs").display(),
    ))
}
