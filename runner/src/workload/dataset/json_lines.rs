//! JSON lines: a prompt or messages each. A malformed line is named by its number.

use serde::Deserialize;

use super::{
    DatasetError, Entry, Turn,
    json::{LineMessage, conversation, of_line},
    turns,
};
use crate::answer::{Expected, MatchRule};

/// Most right answers of one prompt, and most bytes of one of them.
const EXPECTED: (usize, usize) = (64, 4096);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    prompt: Option<String>,
    messages: Option<Vec<LineMessage>>,
    #[serde(alias = "output_tokens")]
    output_tokens: Option<u32>,
    expected: Option<OneOrMany>,
    #[serde(rename = "match")]
    rule: Option<MatchRule>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads JSON lines: `{"prompt": "…", "outputTokens": 128}` or
/// `{"messages": [{"role": "user", "content": "…"}]}`. Empty lines are passed over.
///
/// # Errors
/// Where a line is malformed, naming it, or there is none.
pub fn entries(bytes: &[u8]) -> Result<Vec<Entry>, DatasetError> {
    let mut entries = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let entry = entry(line).map_err(|message| DatasetError::Line {
            line: index + 1,
            message,
        })?;
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(DatasetError::Empty);
    }
    Ok(entries)
}

fn entry(line: &[u8]) -> Result<Entry, String> {
    let line: Line = of_line(line, r#"{"prompt": "…", "outputTokens": 128}"#)?;
    let messages = conversation(line.prompt, line.messages)?;
    if line.output_tokens == Some(0) {
        return Err("outputTokens is 0; leave it out or set it to 1 or more".into());
    }
    Ok(Entry {
        messages,
        answer: None,
        output_tokens: line.output_tokens,
        expected: expected(line.expected, line.rule)?,
    })
}

fn expected(
    answers: Option<OneOrMany>,
    rule: Option<MatchRule>,
) -> Result<Option<Expected>, String> {
    let (most, longest) = EXPECTED;
    let answers = match answers {
        Some(OneOrMany::One(answer)) => vec![answer],
        Some(OneOrMany::Many(answers)) => answers,
        None if rule.is_some() => {
            return Err("match is there without expected; add the right answer".into());
        }
        None => return Ok(None),
    };
    if answers.is_empty() || answers.len() > most {
        return Err(format!(
            "expected holds {} answers; write 1 to {most}",
            answers.len()
        ));
    }
    if answers
        .iter()
        .any(|answer| answer.trim().is_empty() || answer.len() > longest)
    {
        return Err(format!(
            "expected holds an answer that is empty or longer than {longest} bytes"
        ));
    }
    let rule = rule.unwrap_or_default();
    Ok(Some(Expected { answers, rule }))
}

/// Reads every turn of JSON lines with `messages`; a line with a `prompt` is one turn.
///
/// # Errors
/// As [`entries`].
pub fn conversations(bytes: &[u8]) -> Result<Vec<Vec<Turn>>, DatasetError> {
    let conversations: Vec<_> = entries(bytes)?
        .into_iter()
        .map(|entry| {
            let mut turns = turns(entry.messages, entry.output_tokens);
            // It is the answer to the last question.
            if let Some(last) = turns.last_mut().filter(|last| last.answer.is_none()) {
                last.expected = entry.expected;
            }
            turns
        })
        .filter(|turns| !turns.is_empty())
        .collect();
    if conversations.is_empty() {
        return Err(DatasetError::Empty);
    }
    Ok(conversations)
}

#[cfg(test)]
mod tests {
    use super::{super::message, *};

    #[test]
    fn lines_are_read_in_both_forms() {
        let entries = entries(b"{\"prompt\": \"a\", \"outputTokens\": 7}\n\n{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}\r\n").unwrap();
        assert_eq!(entries[0].messages, [message("user", "a".into())]);
        assert_eq!(
            (entries[0].output_tokens, entries[1].output_tokens),
            (Some(7), None)
        );
        assert_eq!(entries[1].messages, [message("user", "b".into())]);
    }

    #[test]
    fn right_answers_are_read() {
        let file = br#"{"prompt": "a", "expected": "Paris"}
                {"prompt": "b", "expected": ["4", "four"], "match": "Contains"}
                {"prompt": "c"}"#;
        let found: Vec<_> = entries(file)
            .unwrap()
            .into_iter()
            .map(|one| one.expected)
            .collect();
        let expected = |answers: &[&str], rule| {
            Some(Expected {
                answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
                rule,
            })
        };
        assert_eq!(
            found,
            [
                expected(&["Paris"], MatchRule::Exact),
                expected(&["4", "four"], MatchRule::Contains),
                None
            ]
        );
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number() {
        for (file, line, word) in [
            ("{\"prompt\": \"a\"}\n{\"prompt\": 1}", 2, "invalid type"),
            ("{\"prompt\": \"a\"}\n\nnonsense", 3, "expected"),
            ("{}", 1, "exactly one"),
            ("{\"prompt\": \"a\", \"messages\": []}", 1, "exactly one"),
            (
                "{\"prompt\": \"a\", \"outputTokens\": 0}",
                1,
                "outputTokens is 0",
            ),
            (
                "{\"prompt\": \"a\", \"match\": \"Exact\"}",
                1,
                "without expected",
            ),
            ("{\"prompt\": \"a\", \"expected\": []}", 1, "write 1 to 64"),
            ("{\"prompt\": \"a\", \"expected\": [\" \"]}", 1, "empty"),
            (
                "{\"prompt\": \"a\", \"expected\": \"b\", \"match\": \"Fuzzy\"}",
                1,
                "unknown variant",
            ),
        ] {
            match entries(file.as_bytes()) {
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
        assert_eq!(entries(b"\n"), Err(DatasetError::Empty));
    }
}
