//! Files that a user names on the command line.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use bakeoff_crds::{
    BenchmarkRun,
    plan::Problems,
    profile::ProfileSet,
    validate::document::{Document, read},
};

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// Where it cannot be read, with its name.
pub fn text(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// The BenchmarkRun of a file.
///
/// # Errors
/// Where it cannot be read, with every problem that its schema finds.
pub fn benchmark_run(file: &Path) -> anyhow::Result<BenchmarkRun> {
    match read(&text(file)?) {
        Ok(Document::BenchmarkRun(run)) => Ok(run),
        Ok(Document::EngineProfile(_)) => {
            bail!(
                "{} is an EngineProfile; name a BenchmarkRun",
                file.display()
            )
        }
        Err(problems) => Err(Problems(problems)).with_context(|| format!("{}", file.display())),
    }
}

/// The built-in profiles and those of files, named by their `metadata.name`.
///
/// # Errors
/// Where one cannot be read, with every problem that its schema finds.
pub fn profiles(files: &[PathBuf]) -> anyhow::Result<ProfileSet> {
    let mut set = ProfileSet::builtin();
    for file in files {
        match read(&text(file)?) {
            Ok(Document::EngineProfile(profile)) => {
                set = set.with(profile.metadata.name.unwrap_or_default(), profile.spec);
            }
            Ok(Document::BenchmarkRun(_)) => {
                bail!(
                    "{} is a BenchmarkRun; name an EngineProfile",
                    file.display()
                )
            }
            Err(problems) => {
                return Err(Problems(problems)).with_context(|| format!("{}", file.display()));
            }
        }
    }
    Ok(set)
}
