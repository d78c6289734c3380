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
    "sax",
    "sax-admin-server",
    "sax-model-server",
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
    "usr/local/bin/sax-http",
    "usr/local/bin/sax-admin-server",
    "usr/local/bin/sax-model-server",
    "usr/local/bin/mpirun",
    "usr/local/bin/trtllm-build",
    "usr/local/bin/nvidia-smi",
    "app/llama-server",
];

/// A model in Triton's repository, where it is without a volume: its folder is all that is looked at.
const TRITON_MODEL: &str = "models/tiny/config.pbtxt";

/// What a profile's own script calls of a Unix: the engines' images have it, the runner's does not.
const APPLETS: &[&str] = &[
    "sh",
    "chmod",
    "cp",
    "cut",
    "date",
    "dirname",
    "find",
    "grep",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "sort",
    "stat",
    "sync",
];

/// Templates of the models of Triton's repository for TensorRT engines, and where a profile looks for
/// them.
const TEMPLATES: (&str, &str) = (
    "runner/tests/fixtures/inflight_batcher_llm",
    "opt/inflight_batcher_llm",
);

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
    let bin = context.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(super::base::BUSYBOX, bin.join("busybox")).context("copying busybox")?;
    for applet in APPLETS {
        symlink("busybox", bin.join(applet))?;
    }
    let (templates, place) = TEMPLATES;
    for model in fs::read_dir(layout.repository.join(templates))? {
        let model = model?;
        let folder = context.join(place).join(model.file_name());
        fs::create_dir_all(&folder)?;
        fs::copy(
            model.path().join("config.pbtxt"),
            folder.join("config.pbtxt"),
        )?;
    }
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
