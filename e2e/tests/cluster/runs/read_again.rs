//! The runs' folders read from outside the cluster: compared, converted and copied, from the two
//! buckets at once.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::Report;
use bakeoff_e2e::command::output;
use bakeoff_e2e::services::{gcs, s3};
use bakeoff_e2e::settings::Layout;

/// What each format writes for a run of two engines, two stages each: a file per stage, or one in
/// a folder of its own.
const FORMATS: [&str; 5] = ["google", "vllm", "llm-d", "inference-perf", "aiperf"];

/// Runs `bakeoff report` over the folders of two runs, as a user on another machine would.
pub(super) fn from_outside(layout: &Layout, folders: &[String; 2]) -> Result<()> {
    let here = layout.state_file("read-again/compared")?;
    let here = here.parent().context("a file lies in a folder")?;
    let _ = fs::remove_dir_all(here);

    let compared = here.join("compared");
    let table = report(layout, |command| {
        command.args(folders).arg("--output").arg(&compared);
    })?;
    for engine in ["quick", "slow"] {
        ensure!(table.contains(engine), "no {engine} in {table}");
    }
    let joined: Report = read(&compared.join("report.json"))?;
    ensure!(joined.engines.len() == 4, "{:#?}", joined.engines);
    ensure!(compared.join("report.html").exists(), "no report.html");

    for (index, folder) in folders.iter().enumerate() {
        let converted = here.join(format!("converted-{index}"));
        report(layout, |command| {
            command.arg(folder).arg("--output").arg(&converted);
            for format in FORMATS {
                command.args(["--format", format]);
            }
        })?;
        let files = output(Command::new("find").arg(&converted).args(["-type", "f"]))?;
        ensure!(files.lines().count() >= 4 * FORMATS.len(), "{files}");

        let copied = here.join(format!("copied-{index}"));
        report(layout, |command| {
            command.arg(folder).arg("--upload").arg(&copied);
        })?;
        let manifest = output(
            Command::new("find")
                .arg(&copied)
                .args(["-name", "manifest.json"]),
        )?;
        ensure!(!manifest.trim().is_empty(), "no manifest in the copy");
    }
    Ok(())
}

fn report(layout: &Layout, with: impl FnOnce(&mut Command)) -> Result<String> {
    let mut command = Command::new(binary());
    command
        .arg("report")
        .env("STORAGE_EMULATOR_HOST", gcs::endpoint()?);
    with(of_s3(&mut command, layout)?);
    output(&mut command)
}

/// A command with the variables by which its user reaches the S3 bucket.
pub(super) fn of_s3<'a>(command: &'a mut Command, layout: &Layout) -> Result<&'a mut Command> {
    Ok(command
        .env("AWS_ENDPOINT_URL", s3::endpoint()?)
        .env("AWS_REGION", s3::REGION)
        .env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY)
        .env("BAKEOFF_CA_BUNDLE", s3::ca_certificate(layout)))
}

fn read(path: &Path) -> Result<Report> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The program that the images were made of.
pub(super) fn binary() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name(format!("{ARCH}-unknown-linux-gnu"))
        .join("e2e/bakeoff")
}
