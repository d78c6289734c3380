//! Bakeoff's own images, built by the script that users build them with, and the simulated engines
//! that are made of the runner's.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result};

use super::{Build, buildah_environment, load};
use crate::command::{outside_cargo, run_in_view};
use crate::settings::Layout;

/// Where our images seem to come from.
pub const REGISTRY: &str = "localhost/bakeoff";
/// The tag of all images that are built here.
pub const TAG: &str = "e2e";

/// Stages of the simulators' Dockerfile, one for each kind of engine.
const SIMULATORS: &[&str] = &[
    "vllm",
    "tgi",
    "llama-cpp",
    "jetstream",
    "maxengine-server",
    "commands",
];
/// Names of real entrypoints, by which the binary knows what to be.
const ENTRYPOINTS: &[&str] = &[
    "usr/local/bin/vllm",
    "usr/local/bin/text-generation-launcher",
    "usr/local/bin/tritonserver",
    "usr/local/bin/python3",
    "usr/local/bin/bash",
    "usr/local/bin/trtllm-serve",
    "usr/local/bin/transformers",
    "usr/local/bin/openllm",
    "usr/local/bin/jetstream-http",
    "usr/local/bin/maxengine-server",
    "app/llama-server",
];

/// A model in Triton's repository, where it is without a volume: its folder is all that is looked at.
const TRITON_MODEL: &str = "models/tiny/config.pbtxt";

/// The full name of an image that is built here.
#[must_use]
pub fn name(image: &str) -> String {
    format!("{REGISTRY}/{image}:{TAG}")
}

/// Builds and loads operator, runner and simulators.
pub fn import_ours(layout: &Layout) -> Result<()> {
    tracing::info!("building operator and runner");
    let mut script = std::process::Command::new(layout.repository.join("deploy/images/build.sh"));
    script
        .args(["--registry", REGISTRY, "--tag", TAG, "--tool", "buildah"])
        // `dist` costs many minutes more and changes nothing that these tests see.
        .args(["--profile", "e2e"])
        .envs(buildah_environment(layout)?);
    run_in_view(outside_cargo(&mut script)).context("building our images")?;
    for image in ["bakeoff-operator", "bakeoff-runner"] {
        load(layout, &name(image))?;
    }
    simulators(layout)
}

fn simulators(layout: &Layout) -> Result<()> {
    let context = layout.state_file("images/simulator")?;
    let _ = fs::remove_dir_all(&context);
    for entrypoint in ENTRYPOINTS {
        let link = context.join(entrypoint);
        fs::create_dir_all(link.parent().context("an entrypoint lies in a folder")?)?;
        symlink("/usr/local/bin/bakeoff", &link)?;
    }
    let model = context.join(TRITON_MODEL);
    fs::create_dir_all(model.parent().context("a model lies in a folder")?)?;
    fs::write(&model, "name: \"tiny\"\n")?;
    let file = layout.repository.join("e2e/images/simulator.Dockerfile");
    let runner = name("bakeoff-runner");
    for engine in SIMULATORS {
        let image = name(&format!("simulator-{engine}"));
        Build {
            image: &image,
            file: &file,
            context: &context,
            target: Some(engine),
            args: &[("RUNNER", &runner)],
        }
        .load(layout)?;
    }
    Ok(())
}
