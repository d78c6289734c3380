//! Prompts and arrival times: made once, before anything is measured.
//!
//! [`sources`] gets the bytes of data set and tokenizer; [`freeze`] turns them into the prompts that
//! every engine gets, without I/O; [`frozen`] is how those lie in the bucket. [`arrival`] makes the
//! due times of an open loop.

pub mod arrival;
pub mod dataset;
pub mod freeze;
pub mod frozen;
#[cfg(test)]
mod fuzz;
pub mod hub;
pub mod names;
pub mod sources;
pub mod synthetic;
pub mod template;
pub mod tokens;
pub mod trace;

use bakeoff_crds::summary::reason;

use crate::store::FetchError;

pub use freeze::{Frozen, freeze};
pub use sources::Sources;

/// Why there are no prompts.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The data set cannot be had.
    #[error("workload.prompts: the data set {0}; put it there, or correct its address")]
    DatasetUnavailable(crate::store::FetchError),
    /// The tokenizer cannot be had.
    #[error("tokenizer: {0}")]
    TokenizerUnavailable(String),
    /// A ConfigMap is missing, or a file is another than the spec says.
    #[error("{0}")]
    Source(crate::store::FetchError),
    /// The data set is malformed.
    #[error("workload.prompts: the data set: {0}")]
    Dataset(#[from] dataset::DatasetError),
    /// No prompt is left.
    #[error(
        "none of the data set's {examined} prompts has at most {max_input_tokens} tokens; raise workload.limits.maxInputTokens"
    )]
    NothingLeft {
        /// Prompts that were looked at.
        examined: u64,
        /// The cap.
        max_input_tokens: u32,
    },
    /// The tokenizer's file is malformed.
    #[error("tokenizer.json: {0}")]
    Tokenizer(String),
    /// The chat template cannot be used.
    #[error("chat template: {0}; correct model.chatTemplate or the model's tokenizer_config.json")]
    Template(String),
    /// The plan names no prompts.
    #[error(
        "workload.prompts names no source; set one of shareGpt, jsonl, synthetic, inline and trace"
    )]
    NoPrompts,
}

impl WorkloadError {
    /// Its reason in a run's status.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Source(error) => match error {
                crate::store::FetchError::Hash { .. } => reason::HASH_MISMATCH,
                crate::store::FetchError::NoConfigMap { .. } => reason::CONFIG_MAP_NOT_FOUND,
                crate::store::FetchError::Unavailable { .. } => reason::DATASET_UNAVAILABLE,
            },
            Self::DatasetUnavailable(_) => reason::DATASET_UNAVAILABLE,
            Self::TokenizerUnavailable(_) | Self::Tokenizer(_) | Self::Template(_) => {
                reason::TOKENIZER_UNAVAILABLE
            }
            Self::Dataset(_) | Self::NothingLeft { .. } => reason::DATASET_INVALID,
            Self::NoPrompts => reason::INVALID_SPEC,
        }
    }

    /// Whether a further try may go through: a server that is away may come back, a file that is
    /// there and wrong stays wrong.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::DatasetUnavailable(FetchError::Unavailable { may_pass, .. }) => *may_pass,
            Self::TokenizerUnavailable(_) => true,
            Self::DatasetUnavailable(_)
            | Self::Source(_)
            | Self::Dataset(_)
            | Self::NothingLeft { .. }
            | Self::Tokenizer(_)
            | Self::Template(_)
            | Self::NoPrompts => false,
        }
    }
}
