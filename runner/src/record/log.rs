//! `requests.jsonl`: one line per request, so that definitions can be changed after the fact.
//!
//! The first line is the anchor: `schemaVersion`, `stage`, and `start`, the wall time (RFC 3339) at
//! which the stage's schedule began. Every further line is one request, in the order of the
//! arrivals; its times are seconds since that start, by a monotonic clock. An arrival that was never
//! sent has no line.

use std::io::{self, Write};

use serde::Serialize;

use super::{Outcome, Record};
use crate::{
    answer::AnswerFacts,
    clock::{self, Nanos},
};

/// Version of the lines.
pub const SCHEMA_VERSION: &str = "bakeoff.dev/requests/v1alpha1";
/// Level of compression; higher ones cost much and give little here.
const ZSTD_LEVEL: i32 = 3;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Anchor<'a> {
    schema_version: &'static str,
    stage: &'a str,
    start: String,
}

/// One request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    /// Place in the sequence of arrivals, from 0.
    index: u64,
    /// Place of the prompt in `prompts.jsonl`, from 0; of the first, where there are several.
    prompt: u64,
    /// Number of the conversation among the arrivals, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<u64>,
    /// Its turn, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
    /// Place in `workload.models` of the name that it asked for, from 0; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<u16>,
    /// When it was due; absent in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<f64>,
    /// When the client took it up; before `sent` by the time for a new connection, if any.
    started: f64,
    /// Just before its first byte was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_content: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_content: Option<f64>,
    /// End of the answer, or the failure.
    end: f64,
    /// Frames with content.
    chunks: u32,
    /// Bytes of the answer's body.
    bytes: u64,
    /// By the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u32>,
    /// By the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u32>,
    /// By the model's tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokenizer_output_tokens: Option<u32>,
    /// `stop`, `length` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish: Option<&'static str>,
    /// What the answer's text tells: `digest`, the first 16 hexadecimal digits of its SHA-256 without
    /// the white space round it; `empty` and `repeating` where it is; `right` where the data set
    /// tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerFacts>,
    /// `succeeded`, or the kind of failure.
    outcome: &'static str,
    /// What was seen of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Writes the lines of a stage.
///
/// # Errors
/// As the writer's.
pub fn write(mut out: impl Write, stage: &str, start: Nanos, records: &[Record]) -> io::Result<()> {
    let anchor = Anchor {
        schema_version: SCHEMA_VERSION,
        stage,
        start: clock::wall(start).to_string(),
    };
    serde_json::to_writer(&mut out, &anchor)?;
    out.write_all(b"\n")?;
    for record in records {
        serde_json::to_writer(&mut out, &line(record, start))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The lines of a stage, compressed.
///
/// # Errors
/// When the compressor fails.
pub fn compressed(stage: &str, start: Nanos, records: &[Record]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    write(io::BufWriter::new(&mut encoder), stage, start, records)?;
    encoder.finish()
}

fn line(record: &Record, start: Nanos) -> Line<'_> {
    // Connections of the first requests may stand a little before the start.
    let relative = |at: Nanos| (i128::from(at) - i128::from(start)) as f64 / 1e9;
    let (outcome, message) = match &record.outcome {
        Outcome::Succeeded => ("succeeded", None),
        Outcome::Failed(kind, message) => (kind.name(), Some(&**message)),
    };
    Line {
        index: record.index,
        prompt: record.prompt,
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
        finish: record.finish,
        answer: record.answer,
        outcome,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::FailureKind;

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
        let mut later = record.clone();
        (later.arrival, later.turn, later.name) = (2, Some(1), 3);
        let packed = compressed("rate-2", 1_000_000_000, &[record, later]).unwrap();
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
        let found = ["conversation", "turn", "model"].map(|key| lines[2][key].as_u64());
        assert_eq!(found, [Some(2), Some(2), Some(3)]);
    }
}
