//! `cargo e2e test`: unit tests, then end-to-end tests on a cluster.

use std::env;
use std::process::Command;

use anyhow::{Result, bail};
use bakeoff_e2e::command::{outside_cargo, run_in_view};
use bakeoff_e2e::harness::SWITCH;
use bakeoff_e2e::packages::CHROMEDRIVER;
use bakeoff_e2e::settings::Layout;
use bakeoff_e2e::tools;
use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// Leave the cluster up afterwards, for a look at it or for the next run.
    #[arg(long)]
    keep: bool,
    /// Skip the unit tests.
    #[arg(long)]
    no_units: bool,
    /// Use the images that are loaded, instead of building them again.
    #[arg(long)]
    no_images: bool,
    /// Run only the end-to-end tests whose name contains this.
    filter: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let layout = crate::up(!options.no_images)?;
    let result = tests(options, &layout);
    if options.keep {
        tracing::info!("the cluster stays up: end it with `cargo e2e down`");
    } else {
        crate::down()?;
    }
    match result {
        Ok(()) => tracing::info!("cargo e2e test: all passed"),
        Err(error) => bail!("cargo e2e test: failed: {error:#}"),
    }
    Ok(())
}

fn tests(options: &Options, layout: &Layout) -> Result<()> {
    if !options.no_units {
        run_in_view(
            cargo(layout)
                .args(["test", "--workspace"])
                .env("BAKEOFF_CHROMEDRIVER", CHROMEDRIVER)
                .env("BAKEOFF_PROMETHEUS", tools::PROMETHEUS.build(layout)?),
        )?;
    }
    end_to_end(options, layout, &["--test-threads=4"])?;
    // Those that lose a node leave nothing else in peace.
    end_to_end(options, layout, &["--test-threads=1", "--ignored"])
}

fn end_to_end(options: &Options, layout: &Layout, how: &[&str]) -> Result<()> {
    run_in_view(
        cargo(layout)
            .args([
                "test",
                "--package",
                "bakeoff-e2e",
                "--test",
                "cluster",
                "--",
            ])
            .args(how)
            .args(options.filter.as_deref())
            .env(SWITCH, "1")
            // A failed test says what it waited for; where in the harness is of no use.
            .env("RUST_BACKTRACE", "0")
            .env("BAKEOFF_E2E_STATE", &layout.state),
    )
}

fn cargo(layout: &Layout) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    outside_cargo(&mut command).current_dir(&layout.repository);
    command
}
