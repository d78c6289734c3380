//! What an answer's text tells, beside its tokens: read once after the stage, and kept in a few
//! bytes. Pure functions of text.

mod expected;
mod repetition;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use expected::{Expected, MatchRule};
pub use repetition::{is_repeating, repetition};

/// What is kept of an answer's text; `answer` in `requests.jsonl`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AnswerFacts {
    /// See [`digest`].
    pub digest: AnswerDigest,
    /// Nothing but white space.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
    /// See [`is_repeating`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeating: bool,
    /// Whether it is the expected answer, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<bool>,
}

impl AnswerFacts {
    /// Reads an answer.
    pub fn of(text: &str, expected: Option<&Expected>) -> Self {
        Self {
            digest: digest(text),
            empty: text.trim().is_empty(),
            repeating: is_repeating(text),
            right: expected.map(|expected| expected.is_met_by(text)),
        }
    }

    /// Facts of two answers to one request of several prompts, in their order: bad where one is.
    pub fn and(self, next: Self) -> Self {
        Self {
            digest: AnswerDigest(self.digest.0.rotate_left(1) ^ next.digest.0),
            empty: self.empty || next.empty,
            repeating: self.repeating || next.repeating,
            right: self.right.zip(next.right).map(|(one, other)| one && other),
        }
    }
}

/// The first 64 bits of a text's SHA-256; 16 hexadecimal digits in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(from = "String", into = "String")]
pub struct AnswerDigest(pub u64);

impl std::fmt::Display for AnswerDigest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl From<AnswerDigest> for String {
    fn from(digest: AnswerDigest) -> Self {
        digest.to_string()
    }
}

impl From<String> for AnswerDigest {
    fn from(text: String) -> Self {
        Self(u64::from_str_radix(&text, 16).unwrap_or_default())
    }
}

/// The digest of an answer's text without the white space round it: chat templates differ in the
/// space before the first word, and it says nothing of the model.
pub fn digest(text: &str) -> AnswerDigest {
    let hash = Sha256::digest(text.trim().as_bytes());
    let first = hash.iter().take(8);
    AnswerDigest(first.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_beginning_of_the_texts_sha256() {
        // FIPS 180-4, SHA-256 of "abc".
        assert_eq!(digest("abc").to_string(), "ba7816bf8f01cfea");
        assert_eq!(digest(" abc\n"), digest("abc"));
        assert_ne!(digest("a bc"), digest("abc"));
        let digest = AnswerDigest(0xba);
        assert_eq!(AnswerDigest::from(String::from(digest)), digest);
    }

    #[test]
    fn facts_of_an_answer() {
        let expected = Expected {
            answers: vec!["42".into()],
            rule: MatchRule::LastNumber,
        };
        let found = AnswerFacts::of("It is 42.", Some(&expected));
        assert_eq!(
            (found.empty, found.repeating, found.right),
            (false, false, Some(true))
        );
        let (one, other) = (AnswerFacts::of("a", None), AnswerFacts::of(" ", None));
        assert_ne!(one.and(other).digest, other.and(one).digest);
        assert!(one.and(other).empty);
        let found = AnswerFacts::of(" \n", None);
        assert_eq!(
            (found.empty, found.repeating, found.right),
            (true, false, None)
        );
    }
}
