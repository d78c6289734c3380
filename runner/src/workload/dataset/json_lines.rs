//! JSON lines: a prompt or messages each. A malformed line is named by its number.

use std::collections::BTreeMap;

use bakeoff_crds::common::shortened;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    DatasetError, Entry, Turn,
    json::{LineMessage, MOST_SHOWN, conversation, each_line, of_line},
    message, turns,
};
use crate::{
    answer::{Expected, MatchRule},
    prompt::Message,
};

/// Most right answers of one prompt, and most bytes of one of them.
const EXPECTED: (usize, usize) = (64, 4096);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    // As data sets of other tools have it.
    #[serde(alias = "text", alias = "text_input", alias = "question")]
    prompt: Option<String>,
    #[serde(alias = "system_prompt")]
    system: Option<String>,
    messages: Option<Vec<LineMessage>>,
    #[serde(alias = "output_tokens", alias = "output_length", alias = "max_tokens")]
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
    let entries = each_line(bytes, entry)?;
    if entries.is_empty() {
        return Err(DatasetError::Empty);
    }
    Ok(entries)
}

fn entry(line: &[u8]) -> Result<Entry, String> {
    let bytes = line;
    let line: Line = of_line(bytes, r#"{"prompt": "…", "outputTokens": 128}"#)?;
    let messages = conversation(line.prompt, line.messages)
        .map_err(|wrong| format!("{wrong}; {}", holds(bytes)))?;
    let (mut messages, answer) = before_the_answer(messages);
    if let Some(system) = line.system {
        messages.insert(0, message("system", system));
    }
    if line.output_tokens == Some(0) {
        return Err("outputTokens is 0; leave it out or set it to 1 or more".into());
    }
    Ok(Entry {
        messages,
        answer,
        output_tokens: line.output_tokens,
        expected: expected(line.expected, line.rule)?,
    })
}

/// The messages up to where the answer is to come, and the answer: files for training end with it.
fn before_the_answer(mut messages: Vec<Message>) -> (Vec<Message>, Option<String>) {
    let is_answered =
        messages.len() > 1 && messages.last().is_some_and(|last| last.role == "assistant");
    let answer = is_answered.then(|| messages.pop()).flatten();
    (messages, answer.map(|answer| answer.content))
}

/// What a line has in place of what was looked for.
fn holds(line: &[u8]) -> String {
    let line: BTreeMap<String, IgnoredAny> = serde_json::from_slice(line).unwrap_or_default();
    let is_share_gpt = line.contains_key("conversations");
    let keys: Vec<String> = line.into_keys().collect();
    let remedy = match is_share_gpt {
        true => ": it is ShareGPT's format, which prompts.shareGpt reads",
        false => "",
    };
    let keys = shortened(&keys.join(", "), MOST_SHOWN);
    format!("the line has {keys}{remedy}")
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
            let answer = entry.answer.map(|answer| message("assistant", answer));
            let mut turns = turns(
                entry.messages.into_iter().chain(answer),
                entry.output_tokens,
            );
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
    use super::*;

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
    fn fields_as_other_tools_name_them_are_read() {
        for (line, messages, tokens) in [
            (
                r#"{"text": "a", "output_length": 3}"#,
                vec![("user", "a")],
                Some(3),
            ),
            (
                r#"{"text_input": "a", "max_tokens": 4}"#,
                vec![("user", "a")],
                Some(4),
            ),
            (
                r#"{"system_prompt": "be kind", "question": "a", "response": "b"}"#,
                vec![("system", "be kind"), ("user", "a")],
                None,
            ),
        ] {
            let found = entries(line.as_bytes()).unwrap();
            let said: Vec<(&str, &str)> = found[0]
                .messages
                .iter()
                .map(|message| (message.role.as_str(), message.content.as_str()))
                .collect();
            assert_eq!((said, found[0].output_tokens), (messages, tokens), "{line}");
        }
    }

    #[test]
    fn the_answer_at_the_end_of_messages_is_none_of_the_prompt() {
        let line = br#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c"}]}"#;
        let found = entries(line).unwrap();
        assert_eq!(found[0].messages, [message("user", "a".into())]);
        assert_eq!(found[0].answer.as_deref(), Some("b c"));
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
            ("{\"id\": 1, \"input\": \"a\"}", 1, "the line has id, input"),
            ("{\"conversations\": []}", 1, "prompts.shareGpt"),
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
