//! A cgroup with a CPU quota of its own, of whichever version this machine has.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A group with a quota. It is removed when this is dropped; the processes in it must have ended.
pub struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// A group that may take so many microseconds of every 100 ms. `Err` says why there is none.
    pub fn new(micros: u32) -> Result<Self, String> {
        let name = format!("bakeoff-test-{}", std::process::id());
        let version_1 = Path::new("/sys/fs/cgroup/cpu");
        let version_2 = Path::new("/sys/fs/cgroup");
        if version_1.join("cpu.cfs_quota_us").is_file() {
            let folder = make(version_1.join(name))?;
            write(&folder, "cpu.cfs_period_us", "100000")?;
            write(&folder, "cpu.cfs_quota_us", &micros.to_string())?;
            return Ok(Self { folder });
        }
        let controllers = fs::read_to_string(version_2.join("cgroup.controllers"));
        if controllers.is_ok_and(|names| names.split_whitespace().any(|name| name == "cpu")) {
            write(version_2, "cgroup.subtree_control", "+cpu")?;
            let folder = make(version_2.join(name))?;
            write(&folder, "cpu.max", &format!("{micros} 100000"))?;
            return Ok(Self { folder });
        }
        Err("no CPU controller is mounted under /sys/fs/cgroup".into())
    }

    /// The file by which a process enters the group.
    pub fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("{} is left behind: {error}", self.folder.display());
        }
    }
}

fn make(folder: PathBuf) -> Result<PathBuf, String> {
    match fs::create_dir(&folder) {
        Ok(()) => Ok(folder),
        Err(error) => Err(refused(&folder, &error)),
    }
}

fn write(folder: &Path, file: &str, text: &str) -> Result<(), String> {
    let path = folder.join(file);
    fs::write(&path, text).map_err(|error| refused(&path, &error))
}

fn refused(path: &Path, error: &io::Error) -> String {
    format!(
        "{}: {error} (it takes root and a writable mount)",
        path.display()
    )
}
