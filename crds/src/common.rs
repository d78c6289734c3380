//! Small types shared by several kinds.

use std::{borrow::Cow, fmt, str::FromStr};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time written as people write it: `90s`, `1h30m`, `250ms`. Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// The span as the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// The span in seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed =
            || format!("{text:?} is not a duration; write it like 90s, 5m, 1h30m or 250ms");
        if text.is_empty() {
            return Err(malformed());
        }
        let parsed: kube::core::Duration = text.parse().map_err(|_| malformed())?;
        if parsed.is_negative() {
            return Err(format!("{text:?} is negative; a duration is zero or more"));
        }
        Ok(Self(parsed.into()))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let (hours, rest) = (milliseconds / 3_600_000, milliseconds % 3_600_000);
        let (minutes, rest) = (rest / 60_000, rest % 60_000);
        let (seconds, millis) = (rest / 1000, rest % 1000);
        for (amount, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s"), (millis, "ms")] {
            if amount > 0 {
                write!(f, "{amount}{unit}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
        })
    }
}

/// A text from outside as an error shows it: so many characters at most, with an ellipsis where it
/// was longer.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// One key of a Secret in the run's namespace.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret, in the namespace of the run.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// One key of a ConfigMap in the run's namespace.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap, in the namespace of the run.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A reference to an object in the run's namespace, by name alone.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object, in the namespace of the run.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Where a file comes from: exactly one of `uri`, `configMapRef` and `path`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.uri), has(self.configMapRef), has(self.path)].filter(x, x).size() == 1")
    .message("set exactly one of uri, configMapRef and path"))]
pub struct FileSource {
    /// gs://, s3://, https:// or http:// address. Buckets are read with the rights of `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^(gs|s3|https?)://.+$"))]
    pub uri: Option<String>,
    /// A key of a ConfigMap in the run's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
    /// A file on the machine, relative to the run's file. Only for `bakeoff run`, without a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub path: Option<String>,
    /// Lower-case hexadecimal SHA-256 that the file must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write_alike() {
        for (text, seconds, canonical) in [
            ("90s", 90.0, "1m30s"),
            ("1h30m", 5400.0, "1h30m"),
            ("250ms", 0.25, "250ms"),
            ("0s", 0.0, "0s"),
            ("1.5s", 1.5, "1s500ms"),
        ] {
            let parsed: Duration = text.parse().unwrap();
            assert_eq!(parsed.as_secs_f64(), seconds, "{text}");
            assert_eq!(parsed.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<Duration>().unwrap(), parsed, "{text}");
        }
        for bad in ["", "90", "-5s", "ten", "5 m"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad:?}");
        }
    }
}
