//! `prompts.jsonl.zst`: the frozen prompts as they lie in the bucket.

use std::io::{self, BufRead};

use super::{Frozen, Sources, tokens::TokenCounter};
use crate::{
    prompt::Prompt,
    store::{Store, StoreError, sha256_hex},
};

/// Path in the run's folder.
pub const PATH: &str = "prompts.jsonl.zst";
/// Path of the tokenizer in the run's folder, so that every runner counts with the same one and needs
/// no rights at its source.
pub const TOKENIZER_PATH: &str = "tokenizer.json.zst";
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
    /// The store does not take or give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored tokenizer cannot be used.
    #[error("{TOKENIZER_PATH} cannot be used: {0}")]
    Tokenizer(String),
    /// Not the prompts that the preflight froze.
    #[error(
        "{PATH} has SHA-256 {found}, but the preflight froze {expected}; the bucket's file was changed, so begin a new run"
    )]
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

/// Stores the prompts, and the tokenizer where there is one. Returns the prompts' SHA-256.
///
/// # Errors
/// Where the store does not take them.
pub async fn store(
    store: &Store,
    frozen: &Frozen,
    sources: &Sources,
) -> Result<String, FrozenError> {
    let file = write(&frozen.prompts)?;
    store.put_new(PATH, file.bytes).await?;
    if let Some(tokenizer) = &sources.tokenizer {
        let packed = zstd::encode_all(&tokenizer[..], ZSTD_LEVEL)?;
        store.put_new(TOKENIZER_PATH, packed).await?;
    }
    Ok(file.sha256)
}

/// Reads the prompts of a run, and the counter of its tokenizer where one is stored.
///
/// # Errors
/// See [`FrozenError`].
pub async fn load(
    store: &Store,
    expected_sha256: Option<&str>,
) -> Result<(Vec<Prompt>, Option<TokenCounter>), FrozenError> {
    let prompts = read(&store.get(PATH).await?, expected_sha256)?;
    let counter = match store.get(TOKENIZER_PATH).await {
        Ok(packed) => {
            let json = zstd::decode_all(&packed[..])?;
            Some(TokenCounter::new(Some(&json)).map_err(FrozenError::Tokenizer)?)
        }
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok((prompts, counter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_come_back_as_they_were() {
        let prompts = [Prompt {
            text: "a\nb".into(),
            max_tokens: 3,
            ..Prompt::default()
        }];
        let file = write(&prompts).unwrap();
        assert_eq!(read(&file.bytes, Some(&file.sha256)).unwrap(), prompts);
        assert_eq!(read(&file.bytes, None).unwrap(), prompts);
        let error = read(&file.bytes, Some("0")).unwrap_err().to_string();
        assert!(error.contains("begin a new run"), "{error}");
        assert!(read(b"nonsense", None).is_err());
    }

    #[tokio::test]
    async fn a_runner_finds_prompts_and_tokenizer_in_the_runs_folder() {
        let tokenizer = crate::workload::tokens::tests::words_tokenizer();
        for (tokenizer, counts) in [(Some(tokenizer), true), (None, false)] {
            let folder = Store::in_memory();
            let frozen = Frozen {
                prompts: vec![Prompt {
                    text: "a".into(),
                    ..Prompt::default()
                }],
                ..Frozen::default()
            };
            let sources = Sources {
                tokenizer: tokenizer.map(Into::into),
                ..Sources::default()
            };
            let sha256 = store(&folder, &frozen, &sources).await.unwrap();
            let (prompts, counter) = load(&folder, Some(&sha256)).await.unwrap();
            assert_eq!(prompts, frozen.prompts);
            assert_eq!(counter.is_some(), counts);
        }
    }
}
