//! Traces of one JSON object per line: Mooncake's, and our own.

use bakeoff_crds::common::shortened;
use serde::Deserialize;

use super::{Content, Line, moment};
use crate::workload::dataset::{
    DatasetError,
    json::{LineMessage, MOST_SHOWN, conversation, of_line},
};

/// Reads a file of one line each.
pub(super) fn read(
    bytes: &[u8],
    of_line: impl Fn(&[u8]) -> Result<Line, String>,
) -> Result<Vec<Line>, DatasetError> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .map(|(index, line)| {
            of_line(line).map_err(|message| DatasetError::Line {
                line: index + 1,
                message,
            })
        })
        .collect()
}

#[derive(Deserialize)]
struct MooncakeLine {
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// A line of a Mooncake trace; its time is in milliseconds.
pub(super) fn mooncake(line: &[u8]) -> Result<Line, String> {
    let line: MooncakeLine = of_line(
        line,
        r#"{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}"#,
    )?;
    Ok(Line {
        at: nanos(line.timestamp, 1e6)?,
        content: Content::Length {
            tokens: line.input_length,
            blocks: line.hash_ids,
        },
        output_tokens: Some(line.output_length),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnLine {
    timestamp: Time,
    prompt: Option<String>,
    messages: Option<Vec<LineMessage>>,
    #[serde(alias = "input_tokens")]
    input_tokens: Option<u32>,
    #[serde(alias = "output_tokens")]
    output_tokens: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(f64),
    Text(String),
}

/// A line of the simple format; its time is in seconds or RFC 3339.
pub(super) fn own(line: &[u8]) -> Result<Line, String> {
    let line: OwnLine = of_line(
        line,
        r#"{"timestamp": 1.5, "prompt": "…", "outputTokens": 128}"#,
    )?;
    let at = match &line.timestamp {
        Time::Seconds(seconds) => nanos(*seconds, 1e9)?,
        Time::Text(text) => moment(text).ok_or_else(|| {
            format!(
                "timestamp {:?} is no time; write seconds or 2026-01-31T12:00:00.5Z",
                shortened(text, MOST_SHOWN)
            )
        })?,
    };
    let content = match (line.input_tokens, line.prompt, line.messages) {
        (Some(tokens), None, None) => Content::Length {
            tokens,
            blocks: Vec::new(),
        },
        (None, prompt, messages) => Content::Messages(conversation(prompt, messages)?),
        _ => return Err("inputTokens goes with neither prompt nor messages; remove one".into()),
    };
    Ok(Line {
        at,
        content,
        output_tokens: line.output_tokens,
    })
}

fn nanos(time: f64, scale: f64) -> Result<i128, String> {
    if time.is_finite() && time.abs() < 1e15 {
        Ok((time * scale).round() as i128)
    } else {
        Err(format!(
            "timestamp {time:e} is no time; it must be between -1e15 and 1e15"
        ))
    }
}
