//! The model's volume: one folder for each repository, there whole or not at all.
//!
//! A repository is fetched into `.FOLDER-COMMIT.partial` and gets its name when all of it is there,
//! with the list of its files in `.bakeoff.json`. A folder that has its name is never changed again,
//! since engines of other runs may be reading it.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bakeoff_crds::{
    plan::PlannedRepository,
    summary::{Failure, PrefetchSummary, reason},
};
use serde::{Deserialize, Serialize};

use super::source::RemoteFile;
use crate::{agent::last_words::failure, store::sha256_hex};

/// The list of a folder's files.
pub(super) const CONTENT: &str = ".bakeoff.json";
/// How often to look whether another Job is done with a folder.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The volume.
#[derive(Clone, Debug)]
pub struct Volume {
    root: PathBuf,
}

/// What a folder of the volume holds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Id of the repository.
    pub id: String,
    /// Revision that was asked for.
    pub revision: String,
    /// Commit that it stood for; absent where the source was no hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The files, in the order of their paths.
    pub files: Vec<StoredFile>,
}

/// A file of the volume.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct StoredFile {
    /// Path below the folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// A folder in the making.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    published: PathBuf,
}

impl Content {
    /// The content of a repository with these files.
    pub fn new(
        repository: &PlannedRepository,
        commit: Option<String>,
        mut files: Vec<StoredFile>,
    ) -> Self {
        files.sort();
        Self {
            id: repository.id.clone(),
            revision: repository.revision.clone(),
            commit,
            files,
        }
    }
}

/// What the volume holds for a run: the model first, its adapters after it.
pub fn summary_of(contents: &[Content], fetched_bytes: u64, seconds: f64) -> PrefetchSummary {
    let files = || contents.iter().flat_map(|content| &content.files);
    let lines: String = files()
        .map(|file| format!("{} {}\n", file.sha256, file.path))
        .collect();
    PrefetchSummary {
        commit: contents.first().and_then(|model| model.commit.clone()),
        files: files().count() as u64,
        bytes: files().map(|file| file.size).sum(),
        fetched_bytes,
        seconds,
        content_sha256: sha256_hex(lines.as_bytes()),
    }
}

impl Volume {
    /// The volume that is mounted at `root`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        match root.is_dir() {
            true => Ok(Self {
                root: root.to_owned(),
            }),
            false => Err(failure(
                reason::VOLUME_NOT_WRITABLE,
                format!("{} is no folder", root.display()),
            )),
        }
    }

    /// Keeps other Jobs from a folder for as long as the file is open; waits for those that came
    /// before. On a volume that knows no locks it goes on without: two Jobs then fetch the same.
    pub(super) async fn lock(&self, folder: &str) -> Result<File, Failure> {
        let path = self.root.join(format!(".{folder}.lock"));
        let mut options = File::options();
        options.create(true).write(true).truncate(false);
        let file = options
            .open(&path)
            .map_err(|error| not_written(&path, &error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    tracing::info!(folder, "another Job fetches it; waiting");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(%error, "the volume knows no locks; going on without");
                    return Ok(file);
                }
            }
        }
    }

    /// What a folder holds; none where it is not there.
    ///
    /// # Errors
    /// Where somebody changed what is in it.
    pub fn content(&self, folder: &str) -> Result<Option<Content>, Failure> {
        let path = self.root.join(folder);
        if !path.exists() {
            return Ok(None);
        }
        let changed = |what: String| {
            failure(
                reason::HASH_MISMATCH,
                format!(
                    "folder {folder} of the model's volume is not as it was filled: {what}. Delete the folder or the claim, and make a new run"
                ),
            )
        };
        let json = fs::read(path.join(CONTENT))
            .map_err(|error| changed(format!("{CONTENT} cannot be read: {error}")))?;
        let content: Content = serde_json::from_slice(&json)
            .map_err(|error| changed(format!("{CONTENT} is damaged: {error}")))?;
        for file in &content.files {
            let size = fs::metadata(path.join(&file.path)).map(|found| found.len());
            match size {
                Ok(size) if size == file.size => {}
                Ok(size) => {
                    let (path, expected) = (&file.path, file.size);
                    return Err(changed(format!("{path} has {size} bytes, not {expected}")));
                }
                Err(error) => return Err(changed(format!("{}: {error}", file.path))),
            }
        }
        Ok(Some(content))
    }

    /// A folder to fetch into; what an earlier try brought of the same commit is in it.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn staging(&self, folder: &str, commit: Option<&str>) -> Result<Staging, Failure> {
        let commit = commit.and_then(|it| it.get(..12)).unwrap_or("0");
        let name = format!(".{folder}-{commit}.partial");
        self.remove_other_commits(folder, &name);
        let path = self.root.join(&name);
        fs::create_dir_all(&path).map_err(|error| not_written(&path, &error))?;
        Ok(Staging {
            folder: path,
            published: self.root.join(folder),
        })
    }

    /// A branch that moved while it was fetched leaves what nobody will use.
    fn remove_other_commits(&self, folder: &str, keep: &str) {
        let prefix = format!(".{folder}-");
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_other = name.starts_with(&prefix) && name.ends_with(".partial") && name != keep;
            if is_other && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, %name, "what was fetched of another commit cannot be removed");
            }
        }
    }
}

impl Staging {
    /// Where a file goes.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Where a file is until it is whole.
    pub(super) fn partial_path(&self, file: &str) -> PathBuf {
        let path = self.path(file);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".bakeoff-partial");
        path.with_file_name(name)
    }

    /// Whether the files fit into the volume, as far as their sizes are told.
    pub(super) fn has_room(&self, files: &[RemoteFile]) -> Result<(), Failure> {
        let missing: u64 = files
            .iter()
            .map(|file| {
                let size = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
                let here = size(self.path(&file.path)) + size(self.partial_path(&file.path));
                file.size.unwrap_or(0).saturating_sub(here)
            })
            .fold(0, u64::saturating_add);
        // What the volume cannot tell shows while it is written.
        let Ok(volume) = rustix::fs::statvfs(&self.folder) else {
            return Ok(());
        };
        let room = volume.f_bavail.saturating_mul(volume.f_frsize);
        if missing <= room {
            return Ok(());
        }
        Err(full(&format!(
            "the files still to be fetched have {missing} bytes, and the volume has room for {room}"
        )))
    }

    /// Gives the folder its name, with the list of its files. Where another Job was faster, what it
    /// made stands.
    pub(super) fn publish(&self, content: &Content) -> Result<(), Failure> {
        let wrap = |path: &Path, error: &io::Error| not_written(path, error);
        let list = self.folder.join(CONTENT);
        let json = serde_json::to_vec_pretty(content)
            .map_err(|error| failure(reason::VOLUME_NOT_WRITABLE, error))?;
        let written = || {
            fs::write(&list, &json)?;
            File::open(&list)?.sync_all()
        };
        written().map_err(|error| wrap(&list, &error))?;
        match fs::rename(&self.folder, &self.published) {
            Ok(()) => {}
            Err(_) if self.published.join(CONTENT).exists() => {
                tracing::info!("another Job was faster");
                return Ok(());
            }
            Err(error) => return Err(wrap(&self.published, &error)),
        }
        // So that its name outlives a node that goes away now; not every volume can.
        let _ = self
            .published
            .parent()
            .map(|root| File::open(root)?.sync_all());
        Ok(())
    }
}

/// Why a file cannot be written, by its error.
pub(super) fn not_written(path: &Path, error: &io::Error) -> Failure {
    if matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    ) {
        return full(&format!("{}: {error}", path.display()));
    }
    Failure {
        may_pass: matches!(
            error.kind(),
            io::ErrorKind::Interrupted
                | io::ErrorKind::TimedOut
                | io::ErrorKind::StaleNetworkFileHandle
        ),
        ..failure(
            reason::VOLUME_NOT_WRITABLE,
            format!(
                "{}: {error}; the volume must be writable by user or group 65532 (fsGroup)",
                path.display()
            ),
        )
    }
}

fn full(what: &str) -> Failure {
    failure(
        reason::VOLUME_FULL,
        format!(
            "the model's volume is too small: {what}. Raise model.prefetch.size, or name fewer files in model.prefetch.files"
        ),
    )
}
