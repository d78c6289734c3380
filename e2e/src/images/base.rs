//! The image that every pod needs before it can have one of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Build, is_loaded};
use crate::command::output;
use crate::settings::Layout;

/// A shell and the usual programs in one static binary; as `pause`, it sleeps.
pub const PAUSE: &str = "bakeoff.test/busybox:1";

/// Where the machine has it.
pub(super) const BUSYBOX: &str = "/bin/busybox";

/// Builds and loads the base image, unless it is there.
pub fn import_base(layout: &Layout) -> Result<()> {
    if is_loaded(PAUSE) {
        return Ok(());
    }
    let context = layout.state_file("images/busybox")?;
    let _ = fs::remove_dir_all(&context);
    let bin = context.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy(BUSYBOX, bin.join("busybox")).context("copying busybox")?;
    for applet in output(Command::new(BUSYBOX).arg("--list"))?.lines() {
        if applet != "busybox" {
            symlink("busybox", bin.join(applet))?;
        }
    }
    let file = layout.repository.join("e2e/images/busybox.Dockerfile");
    Build {
        image: PAUSE,
        file: &file,
        context: Path::new(&context),
        target: None,
        args: &[],
    }
    .load(layout)
}
