//! Results that a store did not take, on the pod's log: `bakeoff report --upload` stores them later.
//!
//! A file is some lines between two marks: its path in the bucket's prefix (the run's folder
//! included) and its SHA-256, then the bytes, compressed by zstd, as base64 in lines that a container
//! runtime does not split (16 KiB). What a log's reader puts before a line is passed over.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{Store, StoreError, sha256_hex};
use crate::drive::Control;

/// Begins the line before a file; path and SHA-256 follow.
const BEGIN: &str = "-----BEGIN BAKEOFF FILE ";
/// Begins the line after a file; the path follows.
const END: &str = "-----END BAKEOFF FILE ";
/// Ends both.
const DASHES: &str = "-----";
/// Stands before each line of base64, in which it cannot be.
const BAR: char = '|';
/// Characters of base64 in a line.
const WIDTH: usize = 8192;
/// Most bytes of all files of a stage on a log, compressed: a kubelet keeps 10 MiB of a container's
/// log by default.
const MOST: usize = 4 << 20;
/// Longest file that is read back, in bytes.
const MOST_UNPACKED: u64 = 1 << 30;
/// How long a runner that is told to stop still tries to store what it has: well within the 30 s
/// that its pod has to end.
const LAST_TRIES: Duration = Duration::from_secs(10);
/// Between two looks at whether the runner is told to stop.
const LOOK_FOR_STOP: Duration = Duration::from_millis(100);

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFile {
    /// The run's folder and the path within it.
    pub path: String,
    /// Its content.
    pub bytes: Bytes,
}

/// Why a file of a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HeldError {
    /// It ends before its end, or was changed.
    #[error(
        "{path} is not whole in the log: {problem}; read the whole log, with kubectl logs --tail=-1"
    )]
    Cut {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Stores files that belong together, in this order. What the store does not take is written to
/// standard output with all that comes after it, so that nothing is lost with the process; also where
/// the process is told to stop while the store is away.
///
/// # Errors
/// As [`Store::put_new`].
pub async fn store_or_hold(
    store: &Store,
    files: Vec<(String, Bytes)>,
    control: &Control,
) -> Result<(), StoreError> {
    for (number, (path, bytes)) in files.iter().enumerate() {
        let tries = store.put_new(path, bytes.clone());
        let stored = tokio::select! {
            stored = tries => stored,
            () = told_to_stop(control) => Err(StoreError::Deadline {
                uri: store.uri(path),
                action: "written",
                seconds: LAST_TRIES.as_secs(),
                last: "the runner was told to stop".into(),
            }),
        };
        let Err(error) = stored else { continue };
        if !matches!(error, StoreError::Differs { .. }) {
            let held = on_log(store, files.get(number..).unwrap_or_default());
            tracing::error!(%error, "results are on this log in place of the bucket; give it to bakeoff report --upload");
            let mut log = std::io::stdout().lock();
            // A log that cannot be written leaves nowhere to tell of it.
            let _ = log.write_all(held.as_bytes()).and_then(|()| log.flush());
        }
        return Err(error);
    }
    Ok(())
}

async fn told_to_stop(control: &Control) {
    while !control.is_cancelled() {
        tokio::time::sleep(LOOK_FOR_STOP).await;
    }
    tokio::time::sleep(LAST_TRIES).await;
}

/// As many of the files as a log has room for; small ones come first, since they count most.
fn on_log(store: &Store, files: &[(String, Bytes)]) -> String {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|(_, bytes)| bytes.len());
    let mut text = String::new();
    for (path, bytes) in files {
        let written = write(&store.folder_path(path), bytes);
        if text.len() + written.len() > MOST {
            tracing::warn!(
                path,
                bytes = bytes.len(),
                "too large for the log: it is lost"
            );
            continue;
        }
        text.push_str(&written);
    }
    text
}

/// A file as it is written into a log.
pub fn write(path: &str, bytes: &[u8]) -> String {
    let hash = sha256_hex(bytes);
    // Into memory, which takes everything.
    let packed = zstd::encode_all(bytes, 0).unwrap_or_default();
    let encoded = BASE64_STANDARD.encode(packed);
    let mut text = format!("{BEGIN}{path} {hash}{DASHES}\n");
    for line in encoded.as_bytes().chunks(WIDTH) {
        let _ = writeln!(text, "{BAR}{}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(text, "{END}{path}{DASHES}");
    text
}

/// The files of a log, each once and checked against its hash.
///
/// # Errors
/// Where one is not whole.
pub fn read(text: &str) -> Result<Vec<HeldFile>, HeldError> {
    let mut files: Vec<HeldFile> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((path, hash)) = begun(line) else {
            continue;
        };
        let cut = |problem: &str| HeldError::Cut {
            path: path.to_owned(),
            problem: problem.to_owned(),
        };
        let mut encoded = String::new();
        let mut ended = false;
        for line in lines.by_ref() {
            if line.contains(END) {
                ended = true;
                break;
            }
            // Other words of the program may come between.
            if let Some((_, data)) = line.rsplit_once(BAR) {
                encoded.push_str(data.trim_end());
            }
        }
        if !ended {
            return Err(cut("its end is missing"));
        }
        let bytes = unpacked(&encoded).map_err(|problem| cut(&problem))?;
        if sha256_hex(&bytes) != hash {
            return Err(cut("its SHA-256 is another"));
        }
        let file = HeldFile {
            path: path.to_owned(),
            bytes: bytes.into(),
        };
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(files)
}

fn begun(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once(BEGIN)?;
    rest.trim_end().strip_suffix(DASHES)?.rsplit_once(' ')
}

fn unpacked(encoded: &str) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let packed = BASE64_STANDARD
        .decode(encoded)
        .map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    zstd::Decoder::new(&packed[..])
        .and_then(|reader| reader.take(MOST_UNPACKED).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_back_from_whatever_log() {
        let large: Vec<u8> = (0..100_000_u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let one = write("team/run-1/a b/stage.json", b"{}");
        let two = write("team/run-1/requests.jsonl.zst", &large);
        assert!(two.lines().all(|line| line.len() < 16_000));
        let log = format!("INFO begins | here\n{one}WARN between\n{two}{one}");
        let stamped: String = log
            .lines()
            .map(|line| format!("2026-03-01T12:00:00.0Z [pod/x|y] {line}\r\n"))
            .collect();
        for text in [&log, &stamped] {
            let files = read(text).unwrap();
            assert_eq!(files.len(), 2, "each once");
            assert_eq!(files[0].path, "team/run-1/a b/stage.json");
            assert_eq!(files[0].bytes, "{}");
            assert_eq!(files[1].bytes, large);
        }
        assert_eq!(read("INFO nothing").unwrap(), []);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = write("team/run-1/stage.json", &[7; 50_000]);
        let cut = whole.split(END).next().unwrap();
        let changed = whole.replacen(&sha256_hex(&[7; 50_000]), &sha256_hex(b"x"), 1);
        let broken = whole.replacen("\n|", "\n|%", 1);
        for (text, words) in [
            (cut, "its end is missing"),
            (&changed, "its SHA-256 is another"),
            (&broken, "Invalid"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.contains("team/run-1/stage.json") && error.contains(words),
                "{error}"
            );
        }
    }
}
