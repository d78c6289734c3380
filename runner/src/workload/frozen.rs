//! `prompts.jsonl.zst`: the frozen prompts as they lie in the bucket.

use std::io::{self, BufRead};

use crate::{prompt::Prompt, store::sha256_hex};

/// Path in the run's folder.
pub const PATH: &str = "prompts.jsonl.zst";
/// Level of compression.
const ZSTD_LEVEL: i32 = 3;

/// The file's content.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptsFile {
    /// The compressed file.
    pub bytes: Vec<u8>,
    /// SHA-256 of the uncompressed lines.
    pub sha256: String,
}

/// Why a prompts file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FrozenError {
    /// Not such a file.
    #[error("{PATH} cannot be read: {0}")]
    Malformed(#[from] io::Error),
    /// Not the prompts that the preflight froze.
    #[error("{PATH} has SHA-256 {found}, but the preflight froze {expected}; the bucket's file was changed, so begin a new run")]
    Hash {
        /// Of the file.
        found: String,
        /// Of the preflight.
        expected: String,
    },
}

/// Writes prompts, one line each.
///
/// # Errors
/// When the compressor fails.
pub fn write(prompts: &[Prompt]) -> io::Result<PromptsFile> {
    let mut lines = Vec::new();
    for prompt in prompts {
        serde_json::to_writer(&mut lines, prompt)?;
        lines.push(b'\n');
    }
    Ok(PromptsFile {
        bytes: zstd::encode_all(&lines[..], ZSTD_LEVEL)?,
        sha256: sha256_hex(&lines),
    })
}

/// Reads prompts back, and checks them against the hash where one is given.
///
/// # Errors
/// See [`FrozenError`].
pub fn read(bytes: &[u8], expected_sha256: Option<&str>) -> Result<Vec<Prompt>, FrozenError> {
    let lines = zstd::decode_all(bytes)?;
    let found = sha256_hex(&lines);
    if let Some(expected) = expected_sha256
        && expected != found
    {
        return Err(FrozenError::Hash {
            found,
            expected: expected.to_owned(),
        });
    }
    lines
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?).map_err(io::Error::from)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_come_back_as_they_were() {
        let prompts = [Prompt { text: "a\nb".into(), max_tokens: 3, ..Prompt::default() }];
        let file = write(&prompts).unwrap();
        assert_eq!(read(&file.bytes, Some(&file.sha256)).unwrap(), prompts);
        assert_eq!(read(&file.bytes, None).unwrap(), prompts);
        let error = read(&file.bytes, Some("0")).unwrap_err().to_string();
        assert!(error.contains("begin a new run"), "{error}");
        assert!(read(b"nonsense", None).is_err());
    }
}
