//! Real input that cannot be fetched here, and so is made: a model, its tokenizer, a data set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{output, run};
use crate::packages;
use crate::settings::Layout;
use crate::tools::{build_once, digest, lock};

/// Files made by the scripts in `e2e/scripts`.
#[derive(Debug)]
pub struct Inputs {
    folder: PathBuf,
}

impl Inputs {
    /// Makes them, unless the cache has them.
    pub fn make(layout: &Layout) -> Result<Self> {
        let libraries = python_packages(layout)?;
        let scripts = layout.repository.join("e2e/scripts");
        let name = format!("inputs-{}-{}", python_version()?, digest(&scripts)?);
        let folder = layout.cache.join(name);
        let _lock = lock(layout)?;
        build_once(&folder.join("tiny.gguf"), |unfinished| {
            tracing::info!("making a tiny model and a data set");
            let python = |script: &str| {
                let mut command = Command::new("python3");
                command
                    .arg(scripts.join(script))
                    .env("PYTHONPATH", &libraries)
                    .env("PYTHONDONTWRITEBYTECODE", "1");
                command
            };
            run(python("make_sharegpt.py").arg(unfinished.join("sharegpt.json")))?;
            run(python("make_tiny_model.py").arg(unfinished))
        })
        .context("making the input files")?;
        Ok(Self { folder })
    }

    /// A Llama of random weights.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.folder.join("tiny.gguf")
    }

    /// The model's tokenizer, as Hugging Face writes it.
    #[must_use]
    pub fn tokenizer(&self) -> PathBuf {
        self.folder.join("tokenizer.json")
    }

    /// Some thousand conversations in ShareGPT's format.
    #[must_use]
    pub fn share_gpt(&self) -> PathBuf {
        self.folder.join("sharegpt.json")
    }
}

/// The packages that the scripts import, llama.cpp's server among them, in a folder of their own.
pub(crate) fn python_packages(layout: &Layout) -> Result<PathBuf> {
    let requirements = layout.repository.join("e2e/scripts/requirements.txt");
    require_pip()?;
    let wanted = fs::read(&requirements).context("reading requirements.txt")?;
    let name = format!(
        "python-{}-{}",
        python_version()?,
        crate::tools::short_hash([wanted])
    );
    let folder = layout.cache.join(name);
    let _lock = lock(layout)?;
    build_once(&folder.join("installed"), |unfinished| {
        install(&requirements, unfinished)
    })?;
    Ok(folder)
}

fn install(requirements: &Path, folder: &Path) -> Result<()> {
    tracing::info!("installing Python packages");
    run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--root-user-action=ignore",
        ])
        .arg("--requirement")
        .arg(requirements)
        .arg("--target")
        .arg(folder))
    .context("installing Python packages")?;
    Ok(fs::write(folder.join("installed"), "")?)
}

/// Packages with native code are made for one version.
fn python_version() -> Result<String> {
    let version = output(Command::new("python3").args([
        "-c",
        "import sys; print('{}.{}.{}'.format(*sys.version_info))",
    ]))?;
    Ok(version.trim().to_owned())
}

fn require_pip() -> Result<()> {
    let pip = run(Command::new("python3").args(["-m", "pip", "--version"]));
    if pip.is_ok() {
        Ok(())
    } else {
        packages::install_named(&["python3", "python3-pip"])
    }
}
