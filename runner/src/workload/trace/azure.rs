//! Azure's traces of its LLM services, as CSV.

use bakeoff_crds::common::shortened;

use super::{Content, Line, moment};
use crate::workload::dataset::{DatasetError, json::MOST_SHOWN};

/// `TIMESTAMP,ContextTokens,GeneratedTokens`, in whatever order. Times are `2023-11-16
/// 18:17:03.9799600` (2023) or `2024-05-10 00:00:00.009930+00:00` (2024).
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Line>, DatasetError> {
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
