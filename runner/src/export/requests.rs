//! The requests of a stage, read back from `requests.jsonl.zst`.

use std::io::{self, BufRead};

use jiff::Timestamp;
use serde::Deserialize;

use crate::record::log::SCHEMA_VERSION;

/// The log of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// When the stage's schedule began.
    pub start: Timestamp,
    /// Its requests, in the order of the arrivals.
    pub requests: Vec<Request>,
}

/// One request. Times are nanoseconds since the start of the stage's schedule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Place in the sequence of requests, from 0.
    pub index: u64,
    /// Number of the conversation among the arrivals, and the turn in it, both from 0.
    pub conversation: Option<(u64, u32)>,
    /// Place in `workload.models` of the name that it asked for, from 0.
    pub model: usize,
    /// When it was due; absent in a closed loop.
    pub due: Option<i64>,
    /// Just before its first byte was written; where there was no connection, when it was taken up.
    pub sent: i64,
    /// First content of the answer.
    pub first_content: Option<i64>,
    /// Last content of the answer.
    pub last_content: Option<i64>,
    /// End of the answer, or the failure.
    pub end: i64,
    /// Frames with content.
    pub chunks: u32,
    /// Length of the prompt in tokens, by the engine.
    pub input_tokens: Option<u32>,
    /// Length of the answer in tokens, by the engine.
    pub output_tokens: Option<u32>,
    /// Length of the answer in tokens, by the model's tokenizer.
    pub tokenizer_output_tokens: Option<u32>,
    /// Kind and message of a failure.
    pub failure: Option<(String, String)>,
}

impl Request {
    /// Length of the answer: the engine's figure first, the tokenizer's second.
    pub fn answer_tokens(&self) -> Option<u32> {
        self.output_tokens.or(self.tokenizer_output_tokens)
    }

    /// From sending to the first content, in nanoseconds.
    pub fn time_to_first_token(&self) -> Option<f64> {
        Some((self.first_content? - self.sent) as f64)
    }

    /// From sending to the last content, in nanoseconds.
    pub fn latency(&self) -> Option<f64> {
        Some((self.last_content? - self.sent) as f64)
    }

    /// From sending to the end of the answer or the failure, in nanoseconds.
    pub fn until_end(&self) -> f64 {
        (self.end - self.sent) as f64
    }

    /// From when it was due to sending, in nanoseconds.
    pub fn delay(&self) -> Option<f64> {
        Some((self.sent - self.due?) as f64)
    }

    /// (last content - first content) / (tokens - 1), in nanoseconds, for two tokens or more that
    /// did not come in one piece.
    pub fn time_per_output_token(&self) -> Option<f64> {
        let tokens = self.answer_tokens().filter(|tokens| *tokens >= 2)?;
        let span = self.last_content? - self.first_content?;
        (self.chunks >= 2).then(|| span as f64 / f64::from(tokens - 1))
    }
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It is not compressed as ours are, or cut off.
    #[error("it cannot be unpacked: {0}")]
    Compression(#[from] io::Error),
    /// A line is none of ours.
    #[error("line {line}: {cause}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// It was written by another version.
    #[error("its version is {0:?}, and this bakeoff reads {SCHEMA_VERSION:?}")]
    Version(String),
    /// There is not even a first line.
    #[error("it is empty")]
    Empty,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Anchor {
    schema_version: String,
    start: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    index: u64,
    conversation: Option<u64>,
    turn: Option<u32>,
    model: Option<usize>,
    due: Option<f64>,
    started: f64,
    sent: Option<f64>,
    first_content: Option<f64>,
    last_content: Option<f64>,
    end: f64,
    chunks: u32,
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    tokenizer_output_tokens: Option<u32>,
    outcome: String,
    message: Option<String>,
}

impl From<Line> for Request {
    fn from(line: Line) -> Self {
        let nanoseconds = |seconds: f64| (seconds * 1e9).round() as i64;
        Self {
            index: line.index,
            conversation: line
                .conversation
                .zip(line.turn.map(|turn| turn.saturating_sub(1))),
            model: line.model.unwrap_or_default(),
            due: line.due.map(nanoseconds),
            sent: nanoseconds(line.sent.unwrap_or(line.started)),
            first_content: line.first_content.map(nanoseconds),
            last_content: line.last_content.map(nanoseconds),
            end: nanoseconds(line.end),
            chunks: line.chunks,
            input_tokens: line.input_tokens,
            output_tokens: line.output_tokens,
            tokenizer_output_tokens: line.tokenizer_output_tokens,
            failure: (line.outcome != "succeeded")
                .then(|| (line.outcome, line.message.unwrap_or_default())),
        }
    }
}

/// Reads a compressed log.
///
/// # Errors
/// See [`LogError`].
pub fn read(packed: &[u8]) -> Result<Log, LogError> {
    let mut lines = io::BufReader::new(zstd::Decoder::new(packed)?).lines();
    let wrong = |line| move |cause| LogError::Line { line, cause };
    let anchor = lines.next().ok_or(LogError::Empty)??;
    let anchor: Anchor = serde_json::from_str(&anchor).map_err(wrong(1))?;
    if anchor.schema_version != SCHEMA_VERSION {
        return Err(LogError::Version(anchor.schema_version));
    }
    let requests = lines.enumerate().map(|(number, line)| {
        let line: Line = serde_json::from_str(&line?).map_err(wrong(number + 2))?;
        Ok(Request::from(line))
    });
    Ok(Log {
        start: anchor.start,
        requests: requests.collect::<Result<_, LogError>>()?,
    })
}

/// Logs of the parts of one stage as one, in the order of the requests; none where there is none.
/// Their times count from one start, which the first one tells.
pub fn merged(logs: Vec<Log>) -> Option<Log> {
    let mut logs = logs.into_iter();
    let mut whole = logs.next()?;
    whole.requests.extend(logs.flat_map(|log| log.requests));
    whole.requests.sort_by_key(|request| request.index);
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock,
        record::{FailureKind, Outcome, Record, log},
    };

    fn packed(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 3).unwrap()
    }

    #[test]
    fn what_the_runner_writes_is_read_back() {
        let mut record = Record::new(4, 1, Some(1_100_000_000), 1_101_000_000);
        record.sent = Some(1_102_000_000);
        record.first_content = Some(1_202_000_000);
        record.last_content = Some(1_502_000_000);
        record.end = 1_503_000_000;
        (record.chunks, record.input_tokens) = (4, Some(7));
        (record.output_tokens, record.tokenizer_output_tokens) = (Some(4), Some(5));
        let mut failed = Record::new(5, 0, None, 900_000_000);
        failed.end = 2_000_000_000;
        failed.outcome = Outcome::Failed(FailureKind::Connect, "refused".into());
        let (mut turn, start) = (record.clone(), 1_000_000_000);
        (turn.arrival, turn.turn, turn.name) = (2, Some(1), 3);
        let begun = log::Start {
            at: start,
            wall: clock::wall(start),
        };
        let bytes = log::compressed("rate-2", begun, &[record, failed, turn]).unwrap();
        let found = read(&bytes).unwrap();
        assert_eq!(found.start, clock::wall(start));
        let one = &found.requests[0];
        assert_eq!((one.index, one.conversation, one.model), (4, None, 0));
        assert_eq!(one.delay(), Some(2e6));
        assert_eq!(one.time_to_first_token(), Some(1e8));
        assert_eq!(one.latency(), Some(4e8));
        assert_eq!(one.until_end(), 4.01e8);
        assert_eq!(one.time_per_output_token(), Some(1e8));
        assert_eq!((one.answer_tokens(), one.input_tokens), (Some(4), Some(7)));
        let failed = &found.requests[1];
        assert_eq!(failed.failure, Some(("connect".into(), "refused".into())));
        // It stood ready before the schedule began, and never had a connection.
        assert_eq!((failed.sent, failed.end), (-100_000_000, 1_000_000_000));
        let turn = &found.requests[2];
        assert_eq!((turn.conversation, turn.model), (Some((2, 1)), 3));
    }

    #[test]
    fn one_piece_and_one_token_have_no_time_per_token() {
        let whole = Request {
            first_content: Some(5),
            last_content: Some(5),
            chunks: 1,
            output_tokens: Some(8),
            ..Request::default()
        };
        assert_eq!(whole.time_per_output_token(), None);
        let one_token = Request {
            chunks: 2,
            output_tokens: Some(1),
            ..whole
        };
        assert_eq!(one_token.time_per_output_token(), None);
    }

    #[test]
    fn a_log_that_is_none_says_why() {
        for (bytes, words) in [
            (b"text".to_vec(), "it cannot be unpacked"),
            (packed(""), "it is empty"),
            (packed("{"), "line 1"),
            (
                packed(
                    r#"{"schemaVersion": "x/v9", "stage": "s", "start": "2026-03-01T12:00:00Z"}"#,
                ),
                "its version is \"x/v9\"",
            ),
            (
                packed(&format!(
                    "{{\"schemaVersion\": \"{SCHEMA_VERSION}\", \"start\": \"2026-03-01T12:00:00Z\"}}\n{{}}"
                )),
                "line 2: missing field `index`",
            ),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
