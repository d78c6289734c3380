//! What data sets and traces in JSON have in common: their messages, and how an error is told.

use bakeoff_crds::common::shortened;
use serde::{Deserialize, de::DeserializeOwned};

use super::{DatasetError, message};
use crate::prompt::Message;

/// Most characters of a file that an error shows.
pub(in crate::workload) const MOST_SHOWN: usize = 200;

/// A JSON error without its place, and without all of the value that it is about.
pub(super) fn what_is_wrong(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    shortened(text.strip_suffix(&place).unwrap_or(&text), MOST_SHOWN)
}

/// Reads what each line holds; empty ones are passed over. An error names its line.
pub(super) fn each_line<T>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<Vec<T>, DatasetError> {
    let mut all = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let one = read(line).map_err(|message| DatasetError::Line {
            line: index + 1,
            message,
        })?;
        all.push(one);
    }
    Ok(all)
}

/// One line of JSON; an error shows one like it should be. The line's number is said beside it.
pub(in crate::workload) fn of_line<T: DeserializeOwned>(
    line: &[u8],
    example: &str,
) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| {
        let what = what_is_wrong(&error);
        format!(
            "column {}: {what}; write a line like {example}",
            error.column()
        )
    })
}

#[derive(Deserialize)]
pub(in crate::workload) struct LineMessage {
    role: String,
    content: String,
}

/// The conversation of a line that has either a prompt or messages.
pub(in crate::workload) fn conversation(
    prompt: Option<String>,
    messages: Option<Vec<LineMessage>>,
) -> Result<Vec<Message>, String> {
    match (prompt, messages) {
        (Some(prompt), None) => Ok(vec![message("user", prompt)]),
        (None, Some(messages)) if !messages.is_empty() => Ok(messages
            .into_iter()
            .map(|LineMessage { role, content }| Message { role, content })
            .collect()),
        _ => Err("exactly one of prompt and messages must be there, and not empty".into()),
    }
}
