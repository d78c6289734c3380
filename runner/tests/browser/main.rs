//! The report's page in a real browser: at phone and desktop width, light and dark, as it usually is
//! and with the worst that models and users may write into it.
//!
//! It needs ChromeDriver and Chromium. `cargo e2e test` installs them and says where the driver is;
//! by hand:
//!
//! ```sh
//! BAKEOFF_CHROMEDRIVER=/usr/bin/chromedriver cargo test -p bakeoff-runner --test browser
//! ```

mod driver;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use driver::Browser;

const REPORT: &str = include_str!("../../src/report/snapshots/report.json.snap");
const HOSTILE: &str = "</style></script><script>owned=1</script><img src=x onerror=owned=1>\
    <svg onload=owned=1>\"' onmouseover=owned=1 {{7*191}}";
/// Text that nobody can break at a space.
const LONG: &str =
    "an-engine-whose-name-nobody-can-break-at-a-space-as-it-is-far-longer-than-a-phone";

/// Members of a report that hold text of others: of models, engines, users and clusters.
const FOREIGN: &[&str] = &[
    "message", "model", "image", "node", "args", "example", "sentence",
];

/// The report as it usually is: what the test of its making keeps.
fn usual() -> Result<Value> {
    let (_, report) = REPORT
        .split_once("\n---\n")
        .context("the snapshot has no head")?;
    Ok(serde_json::from_str(report)?)
}

/// Puts this text into all that others write.
fn spoilt(value: &Value, text: &str) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::String(old) if FOREIGN.contains(&key.as_str()) => {
                        json!(format!("{old}{text}"))
                    }
                    value => spoilt(value, text),
                };
                (key.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| spoilt(item, text)).collect(),
        other => other.clone(),
    }
}

/// The page that the program makes of a report.
fn page(report: &Value, folder: &Path) -> Result<PathBuf> {
    let source = folder.join("source.json");
    fs::write(&source, report.to_string())?;
    let made = folder.join("made");
    let output = Command::new(env!("CARGO_BIN_EXE_bakeoff"))
        .args([
            "report".as_ref(),
            source.as_os_str(),
            "--output".as_ref(),
            made.as_os_str(),
        ])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(made.join("report.html"))
}

#[tokio::test]
async fn the_page_reads_well_and_runs_nothing() -> Result<()> {
    let Some(driver) = std::env::var_os("BAKEOFF_CHROMEDRIVER") else {
        eprintln!("skipped: BAKEOFF_CHROMEDRIVER names no driver; `cargo e2e test` does");
        return Ok(());
    };
    let usual = usual()?;
    let browser = Browser::start(Path::new(&driver)).await?;
    let mut problems = Vec::new();
    for (kind, report, mark) in [
        ("usual", usual.clone(), "Results by load"),
        ("hostile", spoilt(&usual, HOSTILE), "onmouseover=owned"),
        ("long", spoilt(&usual, LONG), LONG),
    ] {
        let folder = tempfile::tempdir()?;
        let page = page(&report, folder.path())?;
        ensure!(
            fs::read_to_string(&page)?.contains(mark),
            "{mark} is nowhere"
        );
        for width in [360, 1280] {
            for scheme in ["light", "dark"] {
                browser.show(&page, width, scheme).await?;
                let seen = browser.run(include_str!("look.js")).await?;
                let said = browser.console().await?;
                for problem in seen.as_array().into_iter().chain(said.as_array()).flatten() {
                    problems.push(format!("{kind} at {width}, {scheme}: {problem}"));
                }
            }
        }
    }
    browser.end().await?;
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}
