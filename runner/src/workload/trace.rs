//! Traces from bytes: when each request came, and its lengths or its prompt. A malformed line is
//! named by its number.

mod azure;
mod json;
#[cfg(test)]
mod tests;

use bakeoff_crds::run::{Trace, TraceFormat};
use jiff::{Timestamp, civil, tz::TimeZone};

use super::dataset::DatasetError;
use crate::{
    clock::{self, Nanos},
    prompt::Message,
};

/// One request of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedRequest {
    /// When it came, from the beginning of the part that is replayed.
    pub at: Nanos,
    /// What it asked.
    pub content: Content,
    /// Tokens of its answer; none where the trace does not say.
    pub output_tokens: Option<u32>,
}

/// What a request of a trace asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A prompt of so many tokens. Prompts that share the id of a block of 512 tokens share its text.
    Length {
        /// Tokens.
        tokens: u32,
        /// Ids of the blocks, from the beginning; empty where none is shared.
        blocks: Vec<u64>,
    },
    /// These messages.
    Messages(Vec<Message>),
}

/// A line before the window is cut out: its time in nanoseconds since some moment.
struct Line {
    at: i128,
    content: Content,
    output_tokens: Option<u32>,
}

/// Reads a trace, in the order of time, and cuts `from` and `duration` out of it. Two requests of
/// one time keep the order of the file.
///
/// # Errors
/// Where a line is malformed, naming it, or nothing is left.
pub fn read(bytes: &[u8], trace: &Trace) -> Result<Vec<TracedRequest>, DatasetError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = match trace.format {
        TraceFormat::Azure => azure::read(bytes)?,
        TraceFormat::Mooncake => json::read(bytes, json::mooncake)?,
        TraceFormat::Jsonl => json::read(bytes, json::own)?,
    };
    lines.sort_by_key(|line| line.at);
    let first = lines.first().ok_or(DatasetError::Empty)?.at;
    let span = |duration: bakeoff_crds::Duration| i128::from(clock::span(duration.get()));
    let begin = first + trace.from.map_or(0, span);
    let end = trace
        .duration
        .map_or(i128::MAX, |duration| begin + span(duration));
    let requests: Vec<_> = lines
        .into_iter()
        .filter(|line| (begin..end).contains(&line.at))
        .map(|line| TracedRequest {
            at: Nanos::try_from(line.at - begin).unwrap_or(Nanos::MAX),
            content: line.content,
            output_tokens: line.output_tokens,
        })
        .collect();
    if requests.is_empty() {
        return Err(DatasetError::EmptyWindow);
    }
    Ok(requests)
}

/// A time with an offset, or in UTC without one, in nanoseconds since 1970.
fn moment(text: &str) -> Option<i128> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_nanosecond());
    }
    let local: civil::DateTime = text.parse().ok()?;
    let moment = local.to_zoned(TimeZone::UTC).ok()?;
    Some(moment.timestamp().as_nanosecond())
}
