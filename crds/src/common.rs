//! Small types shared by several kinds.

use std::{borrow::Cow, fmt, str::FromStr};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Units of a [`Duration`] in the order in which they are written, with their nanoseconds and the most
/// digits of a number of them. All of them together are less than 40 years, so that no sum of
/// nanoseconds and a time overflows.
const UNITS: [(&str, f64, usize); 4] = [
    ("h", 3.6e12, 5),
    ("m", 6e10, 7),
    ("s", 1e9, 8),
    ("ms", 1e6, 10),
];
/// Most digits after the point of such a number: to the nanosecond in milliseconds.
const FRACTION: usize = 6;

/// A span of time written as people write it: `90s`, `1h30m`, `250ms`. Never negative, and less than
/// 40 years.
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
        let mut rest = text;
        let mut nanos = 0;
        for (unit, nanos_of_one, digits) in UNITS {
            if let Some((number, after)) = amount(rest, unit, digits) {
                // At most 3.6e17: exact enough, and far from overflowing.
                nanos += (number * nanos_of_one).round() as u64;
                rest = after;
            }
        }
        if !rest.is_empty() || text.is_empty() {
            return Err(format!(
                "{:?} is not a duration of at most some years; write it like 90s, 5m, 1h30m or 250ms",
                shortened(text, 100)
            ));
        }
        Ok(Self(std::time::Duration::from_nanos(nanos)))
    }
}

/// The number of a unit at the beginning of a text, and what comes after the unit.
fn amount<'a>(text: &'a str, unit: &str, most_digits: usize) -> Option<(f64, &'a str)> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let length = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, after) = text.split_at_checked(length)?;
    let unit_length = after
        .find(|c: char| !c.is_ascii_lowercase())
        .unwrap_or(after.len());
    let (found, after) = after.split_at_checked(unit_length)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let fits = |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(is_digit);
    if found != unit || !fits(whole, most_digits) || !fits(fraction, FRACTION) {
        return None;
    }
    Some((number.parse().ok()?, after))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let (mut seconds, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        // No number has more digits than can be read: what is over goes into the next unit.
        for (unit, of_one, most) in [
            ("h", 3600, 99_999),
            ("m", 60, 9_999_999),
            ("s", 1, 99_999_999),
        ] {
            let amount = (seconds / of_one).min(most);
            if amount > 0 {
                write!(f, "{amount}{unit}")?;
            }
            seconds -= amount * of_one;
        }
        let nanos = seconds * 1_000_000_000 + nanos;
        match (nanos / 1_000_000, nanos % 1_000_000) {
            (0, 0) => Ok(()),
            (millis, 0) => write!(f, "{millis}ms"),
            (millis, rest) => {
                let rest = format!("{rest:06}");
                write!(f, "{millis}.{}ms", rest.trim_end_matches('0'))
            }
        }
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

/// What [`Duration`] reads, as a regular expression.
fn pattern() -> String {
    let parts = UNITS.map(|(unit, _, digits)| {
        format!(r"([0-9]{{1,{digits}}}(\.[0-9]{{1,{FRACTION}}})?{unit})?")
    });
    format!("^{}$", parts.concat())
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
            "minLength": 1,
            "maxLength": 64,
            "pattern": pattern()
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

/// Text as it goes into an argument or a variable's value of a container, where Kubernetes would
/// fill in variables for `$(NAME)`, and takes `$$` for `$`.
pub fn literal(text: &str) -> String {
    if ["$(", "$$"].iter().any(|sign| text.contains(sign)) {
        text.replace('$', "$$")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Kubernetes does, where no variable is known:
    /// <https://github.com/kubernetes/kubernetes/blob/v1.34.2/third_party/forked/golang/expansion/expand.go>.
    fn filled_in(text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled += &rest[..at];
            let after = &rest[at + 1..];
            rest = match (after.chars().next(), after.find(')')) {
                (Some('$'), _) => {
                    filled.push('$');
                    &after[1..]
                }
                (Some('('), Some(end)) => {
                    filled += "FILLED IN";
                    &after[end + 1..]
                }
                _ => {
                    filled.push('$');
                    after
                }
            };
        }
        filled + rest
    }

    #[test]
    fn what_is_literal_stays_as_it_is() {
        for text in [
            "$(NAME)",
            "$$(NAME)",
            "$$$(NAME)",
            "a$$b",
            "$$",
            "$",
            "a$b",
            "$(",
            "$)$(A)$",
            "",
            "\u{e9}$(\u{e9})$",
        ] {
            assert_eq!(filled_in(&literal(text)), text);
        }
        assert_eq!(filled_in("$(NAME)$$"), "FILLED IN$");
    }

    #[test]
    fn durations_read_and_write_alike() {
        for (text, seconds, canonical) in [
            ("90s", 90.0, "1m30s"),
            ("1h30m", 5400.0, "1h30m"),
            ("250ms", 0.25, "250ms"),
            ("0s", 0.0, "0s"),
            ("1.5s", 1.5, "1s500ms"),
            ("1.5ms", 0.0015, "1.5ms"),
            ("0.000001ms", 1e-9, "0.000001ms"),
            ("2h0.25s", 7200.25, "2h250ms"),
            ("90m", 5400.0, "1h30m"),
            ("99999h", 359_996_400.0, "99999h"),
            ("99999h90m90s", 360_001_890.0, "99999h91m30s"),
            (
                "99999h9999999m99999999s9999999999ms",
                1_069_996_338.999,
                "99999h9999999m99999999s9999999999ms",
            ),
        ] {
            let parsed: Duration = text.parse().unwrap();
            assert_eq!(parsed.as_secs_f64(), seconds, "{text}");
            assert_eq!(parsed.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<Duration>().unwrap(), parsed, "{text}");
        }
        let pattern = regex(&pattern());
        for bad in [
            "",
            "90",
            "-5s",
            "+5s",
            "ten",
            "5 m",
            "5m1h",
            "5s5s",
            "1..5s",
            ".5s",
            "5.s",
            "5S",
            "1e3s",
            "99999999999999999999h",
            "100000h",
            "0.0000001s",
            "5us",
            "٣s",
            "5s ",
        ] {
            assert!(bad.parse::<Duration>().is_err(), "{bad:?}");
            assert!(bad.is_empty() || !pattern.is_valid(&bad.into()), "{bad:?}");
        }
    }

    fn regex(pattern: &str) -> jsonschema::Validator {
        jsonschema::validator_for(&serde_json::json!({ "pattern": pattern })).unwrap()
    }

    proptest::proptest! {
        /// The API server takes what we take, and nothing else; and a duration is written as it is read.
        #[test]
        fn durations_are_what_the_schema_says(text in "([0-9]{0,6}(\\.[0-9]{0,7})?(h|m|s|ms)){1,4}") {
            let pattern = regex(&pattern());
            let parsed = text.parse::<Duration>();
            proptest::prop_assert_eq!(parsed.is_ok(), pattern.is_valid(&text.as_str().into()), "{}", text);
            if let Ok(parsed) = parsed {
                proptest::prop_assert_eq!(parsed.to_string().parse::<Duration>(), Ok(parsed), "{}", text);
            }
        }
    }
}
