//! Traces from bytes: when each request came, and its lengths or its prompt. A malformed line is
//! named by its number.

use bakeoff_crds::{
    common::shortened,
    run::{Trace, TraceFormat},
};
use jiff::{Timestamp, civil, tz::TimeZone};
use serde::Deserialize;

use super::dataset::{
    DatasetError,
    json::{LineMessage, MOST_SHOWN, conversation, of_line},
};
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
        TraceFormat::Azure => azure(bytes)?,
        TraceFormat::Mooncake => json(bytes, mooncake)?,
        TraceFormat::Jsonl => json(bytes, own)?,
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

/// `TIMESTAMP,ContextTokens,GeneratedTokens`, in whatever order. Times are `2023-11-16
/// 18:17:03.9799600` (2023) or `2024-05-10 00:00:00.009930+00:00` (2024).
fn azure(bytes: &[u8]) -> Result<Vec<Line>, DatasetError> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let wrong = |line: u64, message: String| DatasetError::Line {
        line: usize::try_from(line).unwrap_or(usize::MAX),
        message,
    };
    let header = reader
        .headers()
        .map_err(|error| wrong(1, error.to_string()))?;
    let column = |name: &str| {
        let mut names = header.iter();
        let found = names.position(|column| column.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let columns = "TIMESTAMP,ContextTokens,GeneratedTokens";
            wrong(
                1,
                format!("there is no column {name}; the first line must be {columns}"),
            )
        })
    };
    let (time, context, generated) = (
        column("TIMESTAMP")?,
        column("ContextTokens")?,
        column("GeneratedTokens")?,
    );
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, csv::Position::line);
            wrong(line, error.to_string())
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let tokens = |column: usize, name: &str| {
            let text = cell(column);
            text.parse::<u32>().map_err(|_| {
                wrong(
                    line,
                    format!(
                        "{name} {:?} is not a number of tokens; write one from 0 to {}",
                        shortened(text, MOST_SHOWN),
                        u32::MAX
                    ),
                )
            })
        };
        let text = cell(time);
        let at = moment(text).ok_or_else(|| {
            wrong(
                line,
                format!(
                    "TIMESTAMP {:?} is no time; write it like 2023-11-16 18:17:03.9799600",
                    shortened(text, MOST_SHOWN)
                ),
            )
        })?;
        lines.push(Line {
            at,
            content: Content::Length {
                tokens: tokens(context, "ContextTokens")?,
                blocks: Vec::new(),
            },
            output_tokens: Some(tokens(generated, "GeneratedTokens")?),
        });
    }
    Ok(lines)
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

fn json(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<Line, String>,
) -> Result<Vec<Line>, DatasetError> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
        .map(|(index, line)| {
            read(line).map_err(|message| DatasetError::Line {
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
fn mooncake(line: &[u8]) -> Result<Line, String> {
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
fn own(line: &[u8]) -> Result<Line, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{MILLISECOND, SECOND};

    fn trace(format: TraceFormat) -> Trace {
        Trace {
            format,
            file: Default::default(),
            from: None,
            duration: None,
            max_requests: 1000,
        }
    }

    fn in_short(requests: &[TracedRequest]) -> Vec<(Nanos, u32, Option<u32>)> {
        requests
            .iter()
            .map(|request| match &request.content {
                Content::Length { tokens, .. } => (request.at, *tokens, request.output_tokens),
                Content::Messages(messages) => {
                    (request.at, messages.len() as u32, request.output_tokens)
                }
            })
            .collect()
    }

    #[test]
    fn both_forms_of_azures_traces_are_read() {
        for (file, second) in [
            (
                "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n",
                4_314_579_000,
            ),
            (
                "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,374,44\n2024-05-10 00:00:01+00:00,396,109\n",
                990_070_000,
            ),
            (
                "\u{feff}contexttokens, timestamp, GeneratedTokens\n374,2023-11-16 00:00:00,44\n396,2023-11-16 00:00:01,109\n",
                SECOND,
            ),
        ] {
            let requests = read(file.as_bytes(), &trace(TraceFormat::Azure)).unwrap();
            assert_eq!(
                in_short(&requests),
                [(0, 374, Some(44)), (second, 396, Some(109))],
                "{file}"
            );
        }
    }

    #[test]
    fn mooncakes_blocks_come_with_their_lengths() {
        let file = br#"{"timestamp": 27482, "input_length": 600, "output_length": 52, "hash_ids": [46, 47]}
{"timestamp": 30535.5, "input_length": 6472, "output_length": 26}"#;
        let requests = read(file, &trace(TraceFormat::Mooncake)).unwrap();
        assert_eq!(
            in_short(&requests),
            [
                (0, 600, Some(52)),
                (3053 * MILLISECOND + MILLISECOND / 2, 6472, Some(26))
            ]
        );
        let blocks = vec![46, 47];
        assert_eq!(
            requests[0].content,
            Content::Length {
                tokens: 600,
                blocks
            }
        );
    }

    #[test]
    fn the_simple_format_takes_prompts_and_lengths() {
        let file = br#"{"timestamp": 10, "prompt": "hi", "outputTokens": 7}
{"timestamp": 10.25, "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]}

{"timestamp": "1970-01-01T00:00:11Z", "inputTokens": 90, "outputTokens": 8}"#;
        let requests = read(file, &trace(TraceFormat::Jsonl)).unwrap();
        assert_eq!(
            in_short(&requests),
            [
                (0, 1, Some(7)),
                (250 * MILLISECOND, 2, None),
                (SECOND, 90, Some(8))
            ]
        );
    }

    #[test]
    fn a_window_is_cut_out_in_the_order_of_time() {
        let file: String = [5, 1, 3, 3, 9, 7]
            .iter()
            .enumerate()
            .map(|(place, seconds)| {
                format!(
                    "{{\"timestamp\": {seconds}, \"inputTokens\": {}}}\n",
                    place + 1
                )
            })
            .collect();
        let mut wanted = trace(TraceFormat::Jsonl);
        let cut = |wanted: &Trace| in_short(&read(file.as_bytes(), wanted).unwrap());
        let places = |found: Vec<(Nanos, u32, Option<u32>)>| -> Vec<(u64, u32)> {
            found
                .into_iter()
                .map(|(at, place, _)| (at / SECOND, place))
                .collect()
        };
        assert_eq!(
            places(cut(&wanted)),
            [(0, 2), (2, 3), (2, 4), (4, 1), (6, 6), (8, 5)]
        );
        wanted.from = Some(bakeoff_crds::Duration::from_secs(1));
        wanted.duration = Some(bakeoff_crds::Duration::from_secs(5));
        assert_eq!(places(cut(&wanted)), [(1, 3), (1, 4), (3, 1)]);
        wanted.from = Some(bakeoff_crds::Duration::from_secs(60));
        assert_eq!(
            read(file.as_bytes(), &wanted),
            Err(DatasetError::EmptyWindow)
        );
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number() {
        use TraceFormat::{Azure, Jsonl, Mooncake};
        const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
        for (format, file, line, word) in [
            (
                Azure,
                "TIME,ContextTokens,GeneratedTokens\n".to_owned(),
                1,
                "no column TIMESTAMP",
            ),
            (
                Azure,
                format!("{HEADER}2023-11-16 18:15:46,1,2\nyesterday,1,2\n"),
                3,
                "yesterday",
            ),
            (
                Azure,
                format!("{HEADER}2023-11-16 18:15:46,-1,2\n"),
                2,
                "ContextTokens \"-1\"",
            ),
            (
                Azure,
                format!("{HEADER}2023-11-16 18:15:46,1\n"),
                2,
                "fields",
            ),
            (
                Mooncake,
                "{\"timestamp\": 1, \"input_length\": 2}".into(),
                1,
                "output_length",
            ),
            (
                Mooncake,
                "\n{\"timestamp\": -1e300, \"input_length\": 2, \"output_length\": 2}".into(),
                2,
                "is no time",
            ),
            (Jsonl, "{\"prompt\": \"a\"}".into(), 1, "timestamp"),
            (Jsonl, "{\"timestamp\": 1}".into(), 1, "exactly one"),
            (
                Jsonl,
                "{\"timestamp\": 1, \"prompt\": \"a\", \"inputTokens\": 3}".into(),
                1,
                "remove one",
            ),
            (
                Jsonl,
                "{\"timestamp\": \"soon\", \"prompt\": \"a\"}".into(),
                1,
                "soon",
            ),
        ] {
            match read(file.as_bytes(), &trace(format)) {
                Err(DatasetError::Line {
                    line: found,
                    message,
                }) => {
                    assert_eq!(found, line, "{file}");
                    assert!(message.contains(word), "{file}: {message}");
                }
                other => panic!("{file}: {other:?}"),
            }
        }
        for (format, file) in [(Azure, HEADER), (Mooncake, "\n"), (Jsonl, "")] {
            assert_eq!(
                read(file.as_bytes(), &trace(format)),
                Err(DatasetError::Empty)
            );
        }
    }
}
