//! Reads a `report.json`.

use bakeoff_crds::report::{Report, SCHEMA_VERSION};
use serde_json::Value;

/// Why some bytes are no report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are not JSON.
    #[error("it is not JSON: {0}; it was cut off or changed, so fetch it again")]
    NotJson(serde_json::Error),
    /// They are JSON of something else.
    #[error(
        "it is no report: its schemaVersion is not {SCHEMA_VERSION:?}; name a run's report.json"
    )]
    NoReport,
    /// They are a report of another version.
    #[error(
        "its schemaVersion is {found:?}, and this bakeoff reads {SCHEMA_VERSION:?}; use the version \
         that wrote it, bakeoff {by}"
    )]
    Version {
        /// Version of the schema.
        found: String,
        /// Version of Bakeoff that wrote it.
        by: String,
    },
    /// They do not keep to the schema.
    #[error("it does not keep to its schema: {0}; it was changed, or written by bakeoff {by}", by = .1)]
    Malformed(serde_json::Error, String),
}

/// The report of a `report.json`.
///
/// # Errors
/// See [`ReadError`].
pub fn report(json: &[u8]) -> Result<Report, ReadError> {
    of_value(serde_json::from_slice(json).map_err(ReadError::NotJson)?)
}

/// The same of what was parsed already.
///
/// # Errors
/// See [`ReadError`].
pub fn of_value(value: Value) -> Result<Report, ReadError> {
    let found = value.get("schemaVersion").and_then(Value::as_str);
    let family = SCHEMA_VERSION
        .rsplit_once('/')
        .map_or("", |(family, _)| family);
    let by = value.pointer("/run/bakeoffVersion").and_then(Value::as_str);
    let by = by.unwrap_or("of an unknown version").to_owned();
    match found {
        Some(SCHEMA_VERSION) => {}
        Some(found) if found.starts_with(family) => {
            let found = found.to_owned();
            return Err(ReadError::Version { found, by });
        }
        _ => return Err(ReadError::NoReport),
    }
    serde_json::from_value(value).map_err(|cause| ReadError::Malformed(cause, by))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_is_no_report_of_ours_says_what_to_do() {
        let own = serde_json::to_value(fixture::report()).unwrap();
        assert_eq!(of_value(own.clone()).unwrap(), fixture::report());
        let with = |pointer: &str, value: Value| {
            let mut changed = own.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            changed.to_string()
        };
        let cut = own.to_string();
        for (text, words) in [
            (cut[..cut.len() / 2].to_owned(), "it is not JSON"),
            ("[]".into(), "it is no report"),
            (
                r#"{"schemaVersion": "bakeoff.dev/plan/v1alpha1"}"#.into(),
                "it is no report",
            ),
            (
                with("/schemaVersion", json!("bakeoff.dev/report/v7")),
                "its schemaVersion is \"bakeoff.dev/report/v7\", and this bakeoff reads \
                 \"bakeoff.dev/report/v1alpha1\"; use the version that wrote it, bakeoff 0.1.0",
            ),
            (
                with("/engines", json!({})),
                "it does not keep to its schema",
            ),
        ] {
            let error = report(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
