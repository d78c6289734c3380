//! Data sets from bytes: ShareGPT's conversations and JSON lines. A malformed entry is named by its
//! place.

pub mod file;
pub(super) mod json;
pub mod json_lines;
pub mod share_gpt;

use crate::{answer::Expected, prompt::Message};

/// One conversation of a data set, up to where the answer is to come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// The messages before the answer.
    pub messages: Vec<Message>,
    /// The answer that the data set holds; its length is that of the answer to ask for.
    pub answer: Option<String>,
    /// Length of the answer to ask for, where the data set says it in tokens.
    pub output_tokens: Option<u32>,
    /// What the data set says of the right answer.
    pub expected: Option<Expected>,
}

/// Why a data set cannot be read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DatasetError {
    /// Another kind of file.
    #[error("it is {0}")]
    Kind(String),
    /// Not JSON of the right shape.
    #[error("it is not a ShareGPT file: {0}")]
    ShareGpt(String),
    /// A line that is malformed.
    #[error("line {line}: {message}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Nothing in it.
    #[error("it holds no prompt")]
    Empty,
    /// Nothing in the part of a trace that was asked for.
    #[error("no request of the trace lies within from and duration; widen them")]
    EmptyWindow,
}

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What it adds before the answer: a user's message, and perhaps a system's before that.
    pub messages: Vec<Message>,
    /// The answer that the data set holds.
    pub answer: Option<String>,
    /// Length of the answer to ask for, where the data set says it in tokens.
    pub output_tokens: Option<u32>,
    /// What is known of the right answer.
    pub expected: Option<Expected>,
}

/// The turns of a conversation. It ends where a user's message is blank, or has no answer: what
/// comes after that has no history. Answers before the first question are passed over.
fn turns(said: impl IntoIterator<Item = Message>, output_tokens: Option<u32>) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut new: Vec<Message> = Vec::new();
    let asks = |new: &[Message]| new.last().is_some_and(|last| last.role == "user");
    for message in said {
        match message.role.as_str() {
            "user" if asks(&new) || message.content.trim().is_empty() => break,
            "assistant" if asks(&new) => turns.push(Turn {
                messages: std::mem::take(&mut new),
                answer: Some(message.content),
                output_tokens,
                expected: None,
            }),
            "assistant" => {}
            _ => new.push(message),
        }
    }
    if asks(&new) {
        turns.push(Turn {
            messages: new,
            answer: None,
            output_tokens,
            expected: None,
        });
    }
    turns
}

/// A message of a role.
pub(super) fn message(role: &str, content: String) -> Message {
    Message {
        role: role.into(),
        content,
    }
}

#[cfg(test)]
mod tests;
