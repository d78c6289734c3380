//! One file, brought whole.
//!
//! What was fetched stays where a connection is cut, in this process and the next: the rest is asked
//! for. A file gets its name when its size and SHA-256 are those that its source tells.

use std::{fmt::Write as _, path::Path, time::Duration};

use bakeoff_crds::{
    plan::PlannedRepository,
    summary::{Failure, reason},
};
use bytes::Bytes;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufWriter},
};

use super::{
    progress::Progress,
    source::{RemoteFile, Source, Trouble},
    volume::{Staging, StoredFile, not_written},
};
use crate::agent::last_words::failure;

/// Tries in a row that bring nothing.
const TRIES: u32 = 8;
/// The pause after the first of them; each is twice as long as the one before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a file may arrive whole and be another than its source says.
const WRONG_HASHES: u32 = 2;
/// Bytes that are written and read at once.
const BUFFER: usize = 1 << 20;

/// From where, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Who has the files.
    pub source: &'a Source,
    /// The commit that they are of.
    pub commit: Option<&'a str>,
    /// The repository that they are of.
    pub repository: &'a PlannedRepository,
    /// Where they are kept.
    pub staging: &'a Staging,
    /// Who is told.
    pub progress: &'a Progress,
}

/// A file that is there in part.
struct Partial {
    file: BufWriter<File>,
    hash: Sha256,
    length: u64,
}

/// Fetches a file; also tells how many bytes came over the line.
///
/// # Errors
/// Where it is not given, cannot be kept, or is another than its source says.
pub async fn download(place: &Place<'_>, file: RemoteFile) -> Result<(StoredFile, u64), Failure> {
    let target = place.staging.path(&file.path);
    let partial = place.staging.partial_path(&file.path);
    let name = place.source.describe(place.repository, &file.path);
    // Whole since an earlier try.
    if target.exists() {
        let (sha256, size) = hash_of(&target).await?;
        place.progress.add(size);
        return Ok((stored(file, size, sha256), 0));
    }
    let mut fetched = 0;
    let mut wrong_hashes = 0;
    loop {
        let mut here = Partial::open(&partial).await?;
        place.progress.add(here.length);
        match complete(place, &file, &mut here, &name).await {
            Ok(bytes) => fetched += bytes,
            Err(failure) => {
                // What came is kept for the next try, as far as it can be.
                let _ = here.close().await;
                return Err(failure);
            }
        }
        let length = here.length;
        let sha256 = here.close().await?;
        let expected = file.sha256.as_deref();
        if expected.is_none_or(|expected| expected == sha256) {
            std::fs::rename(&partial, &target).map_err(|error| not_written(&target, &error))?;
            tracing::info!(file = file.path, bytes = length, "fetched");
            return Ok((stored(file, length, sha256), fetched));
        }
        std::fs::remove_file(&partial).map_err(|error| not_written(&partial, &error))?;
        place.progress.take_back(length);
        wrong_hashes += 1;
        let told = format!(
            "{name} has SHA-256 {sha256}, and its source says {}",
            expected.unwrap_or_default()
        );
        if wrong_hashes == WRONG_HASHES {
            let told = format!("{told}, {WRONG_HASHES} times; what lies between may change it");
            return Err(failure(reason::HASH_MISMATCH, told));
        }
        tracing::warn!(told, "fetching it anew");
    }
}

fn stored(file: RemoteFile, size: u64, sha256: String) -> StoredFile {
    StoredFile {
        path: file.path,
        size,
        sha256,
    }
}

/// Asks for what is missing until all of it is there; gives the bytes that came.
async fn complete(
    place: &Place<'_>,
    file: &RemoteFile,
    here: &mut Partial,
    name: &str,
) -> Result<u64, Failure> {
    let mut fetched = 0;
    let mut in_vain = 0;
    let mut pause = FIRST_PAUSE;
    // The most that was ever here: the same bytes once more are no progress.
    let mut most = here.length;
    loop {
        if file.size == Some(here.length) {
            return Ok(fetched);
        }
        let opened = place
            .source
            .open(place.repository, place.commit, file, here.length)
            .await;
        let (cause, wait) = match opened {
            Ok(opened) => {
                if opened.from != here.length {
                    place.progress.take_back(here.length);
                    here.restart().await?;
                }
                // A source that begins elsewhere than at the beginning or where it was asked to.
                if opened.from != here.length {
                    (format!("it begins at byte {}", opened.from), None)
                } else {
                    let mut bytes = opened.bytes;
                    let mut cut = None;
                    while let Some(part) = bytes.next().await {
                        match part {
                            Ok(part) => {
                                fetched += part.len() as u64;
                                place.progress.add(part.len() as u64);
                                here.write(&part).await?;
                            }
                            Err(cause) => {
                                cut = Some(cause);
                                break;
                            }
                        }
                    }
                    let has_grown = here.length > most;
                    most = most.max(here.length);
                    let trouble = match (cut, file.size) {
                        (None, Some(size)) if here.length != size => {
                            let length = here.length;
                            // Whole, and once more of that length.
                            if !has_grown {
                                let told = format!(
                                    "{name} has {length} bytes, and its source says {size}"
                                );
                                return Err(failure(reason::HASH_MISMATCH, told));
                            }
                            if length > size {
                                place.progress.take_back(here.length);
                                here.restart().await?;
                            }
                            (format!("it ended after {length} of {size} bytes"), None)
                        }
                        (None, _) => return Ok(fetched),
                        (Some(cause), _) => (cause, None),
                    };
                    if has_grown {
                        (in_vain, pause) = (0, FIRST_PAUSE);
                        tracing::warn!(
                            name,
                            cause = trouble.0,
                            at = here.length,
                            "cut; asking for the rest"
                        );
                        continue;
                    }
                    trouble
                }
            }
            Err(Trouble::Final(failure)) => return Err(failure),
            Err(Trouble::Passing(cause, wait)) => (cause, wait),
        };
        in_vain += 1;
        if in_vain > TRIES {
            return Err(Failure {
                may_pass: true,
                ..failure(
                    reason::MODEL_UNAVAILABLE,
                    format!(
                        "{name} cannot be fetched: {cause}, and {TRIES} further tries brought nothing"
                    ),
                )
            });
        }
        tracing::warn!(name, cause, at = here.length, "not given; trying again");
        tokio::time::sleep(wait.unwrap_or(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Partial {
    /// What an earlier process left, or nothing.
    async fn open(path: &Path) -> Result<Self, Failure> {
        let wrap = |error: std::io::Error| not_written(path, &error);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| not_written(folder, &error))?;
        }
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(false);
        let mut file = options.open(path).await.map_err(wrap)?;
        let (hash, length) = read_through(&mut file).await.map_err(wrap)?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER, file),
            hash,
            length,
        })
    }

    async fn write(&mut self, part: &Bytes) -> Result<(), Failure> {
        self.hash.update(part);
        self.length += part.len() as u64;
        let written = self.file.write_all(part).await;
        written.map_err(|error| not_written(Path::new("the model's volume"), &error))
    }

    /// Forgets all of it.
    async fn restart(&mut self) -> Result<(), Failure> {
        let emptied = async {
            self.file.flush().await?;
            let file = self.file.get_mut();
            file.set_len(0).await?;
            file.rewind().await
        };
        emptied.await.map_err(|error: std::io::Error| {
            not_written(Path::new("the model's volume"), &error)
        })?;
        (self.hash, self.length) = (Sha256::new(), 0);
        Ok(())
    }

    /// Has it on the disk; gives its SHA-256.
    async fn close(mut self) -> Result<String, Failure> {
        let kept = async {
            self.file.flush().await?;
            self.file.get_ref().sync_all().await
        };
        kept.await.map_err(|error: std::io::Error| {
            not_written(Path::new("the model's volume"), &error)
        })?;
        Ok(hex(&self.hash))
    }
}

async fn read_through(file: &mut File) -> std::io::Result<(Sha256, u64)> {
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Ok((hash, length));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
}

async fn hash_of(path: &Path) -> Result<(String, u64), Failure> {
    let read = async {
        let mut file = File::open(path).await?;
        read_through(&mut file).await
    };
    let (hash, length) = read.await.map_err(|error| not_written(path, &error))?;
    Ok((hex(&hash), length))
}

fn hex(hash: &Sha256) -> String {
    let digest = hash.clone().finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
