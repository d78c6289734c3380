//! `requests.jsonl`: one line per request, so that definitions can be changed after the fact.
//!
//! The first line is the anchor: `schemaVersion`, `stage`, and `start`, the wall time (RFC 3339) at
//! which the stage's schedule began. Every further line is one request, in the order of the
//! arrivals; its times are seconds since that start, by a monotonic clock. An arrival that was never
//! sent has no line.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FailureKind, Outcome, Record};
use crate::{answer::AnswerFacts, clock::Nanos};

/// Version of the lines.
pub const SCHEMA_VERSION: &str = "bakeoff.dev/requests/v1alpha1";
/// Level of compression; higher ones cost much and give little here.
const ZSTD_LEVEL: i32 = 3;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Anchor<'a> {
    schema_version: Cow<'a, str>,
    stage: Cow<'a, str>,
    start: String,
}

/// One request.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    /// Place in the sequence of requests, from 0.
    index: u64,
    /// Place of the prompt in `prompts.jsonl`, from 0; of the first, where there are several.
    prompt: u64,
    /// Answers that it asked for, one for each prompt; absent for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<u32>,
    /// Number of the conversation among the arrivals, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conversation: Option<u64>,
    /// Its turn, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
    /// Place in `workload.models` of the name that it asked for, from 0; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<u16>,
    /// When it was due; absent in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due: Option<f64>,
    /// When the client took it up; before `sent` by the time for a new connection, if any.
    started: f64,
    /// Just before its first byte was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_content: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_content: Option<f64>,
    /// End of the answer, or the failure.
    end: f64,
    /// Frames with content.
    chunks: u32,
    /// Bytes of the answer's body.
    bytes: u64,
    /// By the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u32>,
    /// By the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u32>,
    /// By the model's tokenizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokenizer_output_tokens: Option<u32>,
    /// `stop`, `length` or `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finish: Option<Cow<'a, str>>,
    /// What the answer's text tells: `digest`, the first 16 hexadecimal digits of its SHA-256 without
    /// the white space round it; `empty` and `repeating` where it is; `right` where the data set
    /// tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerFacts>,
    /// Seconds of the `Retry-After` of an answer with HTTP 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    /// `succeeded`, or the kind of failure.
    outcome: Cow<'a, str>,
    /// What was seen of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
}

/// When a stage's schedule began, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// By the monotonic clock of the records.
    pub at: Nanos,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl Start {
    /// The wall time of a moment of the monotonic clock, also of one before the start.
    pub fn wall_of(self, at: Nanos) -> Timestamp {
        let since = i128::from(at) - i128::from(self.at);
        Timestamp::from_nanosecond(self.wall.as_nanosecond() + since).unwrap_or(Timestamp::MAX)
    }
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It is not compressed as ours are.
    #[error("it is no zstd: {0}")]
    Compression(#[from] io::Error),
    /// A line is none of ours.
    #[error("line {line}: {cause}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
}

/// Writes the lines of a stage.
///
/// # Errors
/// As the writer's.
pub fn write(mut out: impl Write, stage: &str, start: Start, records: &[Record]) -> io::Result<()> {
    let anchor = Anchor {
        schema_version: SCHEMA_VERSION.into(),
        stage: stage.into(),
        start: start.wall.to_string(),
    };
    serde_json::to_writer(&mut out, &anchor)?;
    out.write_all(b"\n")?;
    for record in records {
        serde_json::to_writer(&mut out, &line(record, start.at))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The lines of a stage, compressed.
///
/// # Errors
/// When the compressor fails.
pub fn compressed(stage: &str, start: Start, records: &[Record]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    write(io::BufWriter::new(&mut encoder), stage, start, records)?;
    encoder.finish()
}

/// The records of a compressed log, their times counted from `start`: the moment of the reader's
/// choice that stands for the beginning of the stage.
///
/// # Errors
/// See [`LogError`].
pub fn read(packed: &[u8], start: Nanos) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    let lines = io::BufRead::lines(io::BufReader::new(zstd::Decoder::new(packed)?));
    for (number, text) in lines.enumerate() {
        let text = text?;
        let wrong = |cause: String| LogError::Line {
            line: number + 1,
            cause,
        };
        if number == 0 {
            let anchor: Anchor<'_> =
                serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            if anchor.schema_version != SCHEMA_VERSION {
                return Err(wrong(format!(
                    "its version is {:?}, not {SCHEMA_VERSION:?}",
                    anchor.schema_version
                )));
            }
            continue;
        }
        let line: Line<'_> =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        records.push(record(line, start).map_err(wrong)?);
    }
    Ok(records)
}

fn line(record: &Record, start: Nanos) -> Line<'_> {
    // Connections of the first requests may stand a little before the start.
    let relative = |at: Nanos| (i128::from(at) - i128::from(start)) as f64 / 1e9;
    let (outcome, message) = match &record.outcome {
        Outcome::Succeeded => ("succeeded", None),
        Outcome::Failed(kind, message) => (kind.name(), Some(Cow::from(&**message))),
    };
    Line {
        index: record.index,
        prompt: record.prompt,
        answers: Some(record.answers).filter(|&answers| answers != 1),
        conversation: record.turn.map(|_| record.arrival),
        turn: record.turn.map(|turn| turn + 1),
        model: Some(record.name).filter(|&name| name > 0),
        due: record.due.map(relative),
        started: relative(record.started),
        sent: record.sent.map(relative),
        first_content: record.first_content.map(relative),
        last_content: record.last_content.map(relative),
        end: relative(record.end),
        chunks: record.chunks,
        bytes: record.bytes,
        input_tokens: record.input_tokens,
        output_tokens: record.output_tokens,
        tokenizer_output_tokens: record.tokenizer_output_tokens,
        finish: record.finish.map(Cow::from),
        answer: record.answer,
        retry_after: record.retry_after,
        outcome: outcome.into(),
        message,
    }
}

/// The reverse of [`line`]; nanoseconds come out as they went in, for stages of weeks.
fn record(line: Line<'_>, start: Nanos) -> Result<Record, String> {
    let absolute = |seconds: f64| {
        let at = i128::from(start) + (seconds * 1e9).round() as i128;
        u64::try_from(at).map_err(|_| format!("{seconds} s is no time of a stage"))
    };
    let optional = |seconds: Option<f64>| seconds.map(absolute).transpose();
    let outcome = match &*line.outcome {
        "succeeded" => Outcome::Succeeded,
        name => Outcome::Failed(
            FailureKind::of_name(name).ok_or_else(|| format!("{name:?} is no outcome"))?,
            line.message.unwrap_or_default().into(),
        ),
    };
    let turn = line
        .turn
        .map(|turn| turn.checked_sub(1).ok_or("turn 0, but turns count from 1"));
    Ok(Record {
        index: line.index,
        arrival: line.conversation.unwrap_or(line.index),
        turn: turn.transpose()?,
        answers: line.answers.unwrap_or(1),
        name: line.model.unwrap_or_default(),
        prompt: line.prompt,
        due: optional(line.due)?,
        started: absolute(line.started)?,
        sent: optional(line.sent)?,
        first_content: optional(line.first_content)?,
        last_content: optional(line.last_content)?,
        end: absolute(line.end)?,
        chunks: line.chunks,
        bytes: line.bytes,
        input_tokens: line.input_tokens,
        output_tokens: line.output_tokens,
        tokenizer_output_tokens: line.tokenizer_output_tokens,
        finish: line.finish.map(|finish| match &*finish {
            "stop" => "stop",
            "length" => "length",
            _ => "other",
        }),
        answer: line.answer,
        retry_after: line.retry_after,
        outcome,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{clock, record::ALL_FAILURE_KINDS};

    #[test]
    fn an_answer_is_told_by_its_digest() {
        let expected = crate::answer::Expected {
            answers: vec!["ABC".into()],
            ..crate::answer::Expected::default()
        };
        let mut record = Record::new(0, 0, None, 0);
        record.answer = Some(crate::answer::AnswerFacts::of("abc", Some(&expected)));
        let line = serde_json::to_value(line(&record, 0)).unwrap();
        assert_eq!(
            line["answer"],
            serde_json::json!({"digest": "ba7816bf8f01cfea", "right": true})
        );
    }

    #[test]
    fn times_are_seconds_since_the_anchor() {
        let mut record = Record::new(3, 1, Some(1_500_000_000), 1_500_100_000);
        record.sent = Some(1_500_200_000);
        record.end = 2_000_000_000;
        record.outcome = Outcome::Failed(FailureKind::Timeout, "late".into());
        let start = Start {
            at: 1_000_000_000,
            wall: clock::wall(1_000_000_000),
        };
        let mut later = record.clone();
        (later.arrival, later.turn, later.name) = (2, Some(1), 3);
        later.retry_after = Some(7);
        let packed = compressed("rate-2", start, &[record, later]).unwrap();
        let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["stage"], "rate-2");
        assert_eq!(lines[0]["start"], clock::wall(1_000_000_000).to_string());
        assert_eq!(
            lines[1],
            serde_json::json!({
                "index": 3, "prompt": 1, "due": 0.5, "started": 0.5001, "sent": 0.5002, "end": 1.0,
                "chunks": 0, "bytes": 0, "outcome": "timeout", "message": "late"
            })
        );
        let found =
            ["conversation", "turn", "model", "retryAfter"].map(|key| lines[2][key].as_u64());
        assert_eq!(found, [Some(2), Some(2), Some(3), Some(7)]);
        let read = read(&packed, start.at).unwrap();
        assert_eq!(read[1].retry_after, Some(7));
    }

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in(
            times in prop::array::uniform6(0_u64..1_000_000_000_000_000),
            given in prop::array::uniform8(any::<bool>()),
            counts: (u32, u64, u32, u32, u32),
            place in (any::<u8>(), prop::option::of(0_u32..9), any::<u16>(), 1_u32..4),
            text in prop::option::of(".*"),
            finish in prop::option::of(prop::sample::select(vec!["stop", "length", "other"])),
            failure in prop::option::of((prop::sample::select(ALL_FAILURE_KINDS.to_vec()), ".*")),
        ) {
            let mut record = Record::new(7, 3, given[0].then_some(times[0]), times[1]);
            record.sent = given[1].then_some(times[2]);
            record.first_content = given[2].then_some(times[3]);
            record.last_content = given[3].then_some(times[4]);
            record.end = times[5];
            (record.chunks, record.bytes) = (counts.0, counts.1);
            record.input_tokens = given[4].then_some(counts.2);
            record.output_tokens = given[5].then_some(counts.3);
            record.tokenizer_output_tokens = given[6].then_some(counts.4);
            record.finish = finish;
            (record.turn, record.name, record.answers) = (place.1, place.2, place.3);
            if record.turn.is_some() {
                record.arrival = u64::from(place.0);
            }
            record.answer = text.map(|text| AnswerFacts { right: Some(given[7]), ..AnswerFacts::of(&text, None) });
            if let Some((kind, message)) = failure {
                record.outcome = Outcome::Failed(kind, message.into());
            }
            let start = Start { at: 500_000_000_000, wall: clock::wall(0) };
            let packed = compressed("a", start, &[record.clone(), record.clone()]).unwrap();
            let back = read(&packed, start.at).unwrap();
            prop_assert_eq!(back, vec![record.clone(), record]);
        }
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let pack = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
        let anchor =
            format!("{{\"schemaVersion\":\"{SCHEMA_VERSION}\",\"stage\":\"a\",\"start\":\"\"}}");
        for (bytes, expected) in [
            (b"plain".to_vec(), "no zstd"),
            (pack("{}"), "line 1"),
            (pack(&anchor.replace("v1alpha1", "v9")), "its version is"),
            (pack(&format!("{anchor}\n{{")), "line 2"),
            (
                pack(&format!(
                    "{anchor}\n{{\"index\":0,\"prompt\":0,\"started\":0,\"end\":1,\"chunks\":0,\"bytes\":0,\"outcome\":\"odd\"}}"
                )),
                "is no outcome",
            ),
            (
                pack(&format!(
                    "{anchor}\n{{\"index\":0,\"turn\":0,\"prompt\":0,\"started\":0,\"end\":1,\"chunks\":0,\"bytes\":0,\"outcome\":\"succeeded\"}}"
                )),
                "turn 0",
            ),
        ] {
            let error = read(&bytes, 0).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
