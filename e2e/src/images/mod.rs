//! Container images without a registry: built by buildah, carried as archives.

mod base;
mod llama;
mod ours;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub use base::{PAUSE, import_base};
pub use llama::{MODEL, import_llama};
pub use ours::{REGISTRY, TAG, import_ours, name};

use crate::cluster::{FIRST, Machine};
use crate::command::{output, run};
use crate::settings::{Layout, RUN_DIR, foreign_kubeconfig};

/// A Dockerfile with the folder that it copies from.
#[derive(Debug)]
pub struct Build<'a> {
    /// Name and tag.
    pub image: &'a str,
    /// The Dockerfile.
    pub file: &'a Path,
    /// The folder that `COPY` sees.
    pub context: &'a Path,
    /// The stage to end at; the last one without it.
    pub target: Option<&'a str>,
    /// Build arguments.
    pub args: &'a [(&'a str, &'a str)],
}

impl Build<'_> {
    /// Builds the image and hands it to the cluster.
    pub fn load(&self, layout: &Layout) -> Result<()> {
        tracing::info!("building image {}", self.image);
        let mut command = buildah(layout)?;
        command.args([
            "bud",
            "--quiet",
            "--pull-never",
            "--isolation",
            "chroot",
            "--tag",
            self.image,
        ]);
        if let Some(target) = self.target {
            command.args(["--target", target]);
        }
        for (name, value) in self.args {
            command.arg("--build-arg").arg(format!("{name}={value}"));
        }
        run(command.arg("--file").arg(self.file).arg(self.context))?;
        load(layout, self.image)
    }
}

/// Hands an image of buildah's to the cluster.
pub fn load(layout: &Layout, image: &str) -> Result<()> {
    let archive = layout.state_file(&format!("images/{}.tar", image.replace(['/', ':'], "_")))?;
    let _ = fs::remove_file(&archive);
    let destination = format!("docker-archive:{}:{image}", archive.display());
    run(buildah(layout)?.args(["push", "--quiet", image, &destination]))?;
    import(&archive).with_context(|| format!("loading {image} into the cluster"))?;
    fs::remove_file(&archive).context("removing the image's archive")
}

/// Whether containerd has the image. A foreign cluster is not asked: it gets it again.
fn is_loaded(image: &str) -> bool {
    foreign_kubeconfig().is_none() && has(&FIRST, image)
}

fn has(machine: &Machine, image: &str) -> bool {
    output(ctr(machine).args(["images", "ls", "-q", &format!("name=={image}")]))
        .is_ok_and(|found| !found.trim().is_empty())
}

/// Hands images of the first node to another one that has not got them.
pub(crate) fn copy(layout: &Layout, images: &[&str], to: &Machine) -> Result<()> {
    for image in images {
        if has(to, image) {
            continue;
        }
        let archive =
            layout.state_file(&format!("images/{}.tar", image.replace(['/', ':'], "_")))?;
        run(ctr(&FIRST)
            .args(["images", "export"])
            .arg(&archive)
            .arg(image))?;
        run(ctr(to).args(["images", "import"]).arg(&archive))
            .with_context(|| format!("loading {image} into {}", to.name))?;
        fs::remove_file(&archive).context("removing the image's archive")?;
    }
    Ok(())
}

/// `BAKEOFF_E2E_LOAD` is the command that loads an archive into a foreign cluster, as
/// `kind load image-archive`; the archive's path is added to it.
fn import(archive: &Path) -> Result<()> {
    match env::var("BAKEOFF_E2E_LOAD") {
        Ok(command) => run(Command::new("sh")
            .args(["-c", &format!("{command} \"$1\""), "sh"])
            .arg(archive)),
        Err(_) => run(ctr(&FIRST).args(["images", "import"]).arg(archive)),
    }
}

fn ctr(machine: &Machine) -> Command {
    let mut command = Command::new("ctr");
    command.args(["--address", machine.socket, "--namespace", "k8s.io"]);
    command
}

fn buildah(layout: &Layout) -> Result<Command> {
    let mut command = Command::new("buildah");
    command.envs(buildah_environment(layout)?);
    Ok(command)
}

/// Gives buildah a storage of our own, so that the machine's images stay out of it.
///
/// As environment, not as flags, so that a script which calls buildah itself uses it too.
fn buildah_environment(layout: &Layout) -> Result<[(&'static str, PathBuf); 1]> {
    let config = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{RUN_DIR}/buildah\"\n",
        layout.state.join("buildah/storage").display()
    );
    let path = layout.write_state_file("buildah/storage.conf", config)?;
    Ok([("CONTAINERS_STORAGE_CONF", path)])
}
