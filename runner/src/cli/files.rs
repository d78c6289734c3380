//! Files that a user names on the command line.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use bakeoff_crds::{
    BenchmarkRun,
    plan::Problems,
    profile::ProfileSet,
    validate::document::{Document, MOST_BYTES, read},
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

/// The text of a document of ours, or of standard input for `-`.
///
/// # Errors
/// Where it cannot be read, is longer than such a document can be, or is not UTF-8, with its name.
pub fn document(file: &Path) -> anyhow::Result<String> {
    let name = file.display();
    let mut bytes = Vec::new();
    // One more than may be: a file without an end is not read to its end.
    let most = MOST_BYTES as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("reading {name}"))?;
    if bytes.len() > MOST_BYTES {
        bail!(
            "{name} has more than {MOST_BYTES} bytes, which is what the API server takes; name a \
             BenchmarkRun or an EngineProfile, and keep data sets in files of their own"
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        let line = 1 + good.filter(|&&byte| byte == b'\n').count();
        anyhow::anyhow!("{name} line {line}: this is not UTF-8; save the file in UTF-8")
    })
}

/// The BenchmarkRun of a file.
///
/// # Errors
/// Where it cannot be read, with every problem that its schema finds.
pub fn benchmark_run(file: &Path) -> anyhow::Result<BenchmarkRun> {
    match read(&document(file)?) {
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
        match read(&document(file)?) {
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
