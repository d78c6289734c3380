//! The report in a pod's log, for clusters from which no bucket can be reached.

use bakeoff_crds::report::Report;
use serde_json::Value;

use super::read::{self, ReadError};

/// Line before the report.
pub const BEGIN: &str = "-----BEGIN BAKEOFF REPORT-----";
/// Line after the report.
pub const END: &str = "-----END BAKEOFF REPORT-----";

/// Why a text holds no report.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is none in it.
    #[error(
        "there is no report in it: neither JSON nor a log with the line {BEGIN}; \
         read a reporter's whole log, with kubectl logs --tail=-1"
    )]
    Missing,
    /// What is there is no report.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

/// A report as it is written into a log: one line between two marks.
///
/// # Errors
/// Where it cannot be JSON.
pub fn write(report: &Report) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(report)?;
    Ok(format!("{BEGIN}\n{json}\n{END}\n"))
}

/// The report of a text: the text itself, or the last one between marks in a log. What stands
/// before the marks or the JSON in a line, such as a time stamp or a pod's name, is passed over.
///
/// # Errors
/// Where there is none.
pub fn read(text: &str) -> Result<Report, LogError> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => return Ok(read::of_value(value)?),
        Err(error) if error.is_eof() && text.trim_start().starts_with('{') => {
            return Err(ReadError::NotJson(error).into());
        }
        _ => {}
    }
    let (_, after) = text.rsplit_once(BEGIN).ok_or(LogError::Missing)?;
    let (inside, _) = after.split_once(END).ok_or(LogError::Missing)?;
    let line = inside.lines().find_map(|line| line.get(line.find('{')?..));
    Ok(read::report(line.ok_or(LogError::Missing)?.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_report_is_read_back_from_whatever_log() {
        let report = fixture::report();
        let marked = write(&report).unwrap();
        let stamped: String = marked
            .lines()
            .map(|line| format!("2026-03-01T12:00:00.0Z [pod/x] {line}\n"))
            .collect();
        let json = serde_json::to_string_pretty(&report).unwrap();
        for text in [
            marked.clone(),
            format!("INFO {{\"a\":1}}\n{marked}INFO done\n"),
            stamped,
            json,
        ] {
            assert_eq!(read(&text).unwrap(), report);
        }
        let cut = &marked[..marked.len() / 2];
        for text in ["", "INFO nothing", cut] {
            assert!(matches!(read(text), Err(LogError::Missing)), "{text:.20}");
        }
        let json = serde_json::to_string(&report).unwrap();
        let error = read(&json[..json.len() / 2]).unwrap_err().to_string();
        assert!(error.contains("it was cut off"), "{error}");
        for text in ["{}", &format!("{BEGIN}\n{{}}\n{END}")] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("schemaVersion"), "{error}");
        }
    }
}
