//! Data sets from bytes: ShareGPT's JSON and JSON lines. A malformed entry is named by its place.

use bakeoff_crds::common::shortened;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    answer::{Expected, MatchRule},
    prompt::Message,
};

/// Most right answers of one prompt, and most bytes of one of them.
const EXPECTED: (usize, usize) = (64, 4096);

/// Most characters of a file that an error shows.
pub(super) const MOST_SHOWN: usize = 200;

/// One conversation of a data set, up to where the answer is to come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// The messages before the answer.
    pub messages: Vec<Message>,
    /// The answer that the data set holds; its length is that of the answer to ask for.
    pub answer: Option<String>,
    /// Length of the answer to ask for, where the data set says it in tokens.
    pub output_tokens: Option<u32>,
    /// What the data set says of the right answer.
    pub expected: Option<Expected>,
}

/// Why a data set cannot be read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum DatasetError {
    /// Not JSON of the right shape.
    #[error("it is not a ShareGPT file: {0}")]
    ShareGpt(String),
    /// A line that is malformed.
    #[error("line {line}: {message}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Nothing in it.
    #[error("it holds no prompt")]
    Empty,
    /// Nothing in the part of a trace that was asked for.
    #[error("no request of the trace lies within from and duration; widen them")]
    EmptyWindow,
}

#[derive(Deserialize)]
struct Conversation {
    #[serde(alias = "conversation", alias = "messages", default)]
    conversations: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(alias = "role")]
    from: String,
    #[serde(alias = "content")]
    value: String,
}

/// Reads a ShareGPT file: an array of conversations, each with turns `{from, value}` (or
/// `{role, content}`). The first human turn, with a system turn before it, is the prompt; the
/// answer after it gives the output length. Conversations without a human turn are passed over.
///
/// # Errors
/// Where the file is no such JSON, naming line and column, or holds no prompt.
pub fn share_gpt(bytes: &[u8]) -> Result<Vec<Entry>, DatasetError> {
    let conversations: Vec<Conversation> = read_share_gpt(bytes)?;
    let entries: Vec<Entry> = conversations
        .into_iter()
        .filter_map(first_exchange)
        .collect();
    if entries.is_empty() {
        return Err(DatasetError::Empty);
    }
    Ok(entries)
}

fn read_share_gpt(bytes: &[u8]) -> Result<Vec<Conversation>, DatasetError> {
    serde_json::from_slice(bytes).map_err(|error| {
        DatasetError::ShareGpt(format!(
            r#"line {} column {}: {}; it is an array of {{"conversations": [{{"from": "human", "value": "…"}}]}}"#,
            error.line(),
            error.column(),
            what_is_wrong(&error)
        ))
    })
}

/// A JSON error without its place, and without all of the value that it is about.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    shortened(text.strip_suffix(&place).unwrap_or(&text), MOST_SHOWN)
}

/// One line of JSON; an error shows one like it should be. The line's number is said beside it.
pub(super) fn json_of<T: DeserializeOwned>(line: &[u8], example: &str) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| {
        let what = what_is_wrong(&error);
        format!(
            "column {}: {what}; write a line like {example}",
            error.column()
        )
    })
}

/// Reads every turn of a ShareGPT file's conversations.
///
/// # Errors
/// As [`share_gpt`].
pub fn share_gpt_conversations(bytes: &[u8]) -> Result<Vec<Vec<Turn>>, DatasetError> {
    let conversations: Vec<Conversation> = read_share_gpt(bytes)?;
    let whole = |conversation: Conversation| {
        let said = conversation.conversations.into_iter().map(|said| {
            let role = match said.from.as_str() {
                "human" | "user" => "user",
                "system" => "system",
                _ => "assistant",
            };
            message(role, said.value)
        });
        turns(said, None)
    };
    let conversations: Vec<_> = conversations
        .into_iter()
        .map(whole)
        .filter(|turns| !turns.is_empty())
        .collect();
    if conversations.is_empty() {
        return Err(DatasetError::Empty);
    }
    Ok(conversations)
}

/// Reads every turn of JSON lines with `messages`; a line with a `prompt` is one turn.
///
/// # Errors
/// As [`json_lines`].
pub fn json_conversations(bytes: &[u8]) -> Result<Vec<Vec<Turn>>, DatasetError> {
    let conversations: Vec<_> = json_lines(bytes)?
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

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// What it adds before the answer: a user's message, and perhaps a system's before that.
    pub messages: Vec<Message>,
    /// The answer that the data set holds.
    pub answer: Option<String>,
    /// Length of the answer to ask for, where the data set says it in tokens.
    pub output_tokens: Option<u32>,
    /// What is known of the right answer.
    pub expected: Option<Expected>,
}

/// The turns of a conversation. It ends where a user's message is blank, or has no answer: what
/// comes after that has no history. Answers before the first question are passed over.
fn turns(said: impl IntoIterator<Item = Message>, output_tokens: Option<u32>) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut new: Vec<Message> = Vec::new();
    let asks = |new: &[Message]| new.last().is_some_and(|last| last.role == "user");
    for message in said {
        match message.role.as_str() {
            "user" if asks(&new) || message.content.trim().is_empty() => break,
            "assistant" if asks(&new) => turns.push(Turn {
                messages: std::mem::take(&mut new),
                answer: Some(message.content),
                output_tokens,
                expected: None,
            }),
            "assistant" => {}
            _ => new.push(message),
        }
    }
    if asks(&new) {
        turns.push(Turn {
            messages: new,
            answer: None,
            output_tokens,
            expected: None,
        });
    }
    turns
}

fn first_exchange(conversation: Conversation) -> Option<Entry> {
    let mut turns = conversation.conversations.into_iter().peekable();
    let mut messages = Vec::new();
    if turns.peek().is_some_and(|turn| turn.from == "system") {
        messages.extend(turns.next().map(|turn| message("system", turn.value)));
    }
    let human = turns.find(|turn| matches!(turn.from.as_str(), "human" | "user"))?;
    if human.value.trim().is_empty() {
        return None;
    }
    messages.push(message("user", human.value));
    let answer = turns
        .next()
        .filter(|turn| !matches!(turn.from.as_str(), "human" | "user" | "system"))
        .map(|turn| turn.value);
    Some(Entry {
        messages,
        answer,
        output_tokens: None,
        expected: None,
    })
}

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

#[derive(Deserialize)]
pub(super) struct LineMessage {
    role: String,
    content: String,
}

/// Reads JSON lines: `{"prompt": "…", "outputTokens": 128}` or
/// `{"messages": [{"role": "user", "content": "…"}]}`. Empty lines are passed over.
///
/// # Errors
/// Where a line is malformed, naming it, or there is none.
pub fn json_lines(bytes: &[u8]) -> Result<Vec<Entry>, DatasetError> {
    let mut entries = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let entry = json_line(line).map_err(|message| DatasetError::Line {
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

fn json_line(line: &[u8]) -> Result<Entry, String> {
    let line: Line = json_of(line, r#"{"prompt": "…", "outputTokens": 128}"#)?;
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

/// The conversation of a line that has either a prompt or messages.
pub(super) fn conversation(
    prompt: Option<String>,
    messages: Option<Vec<LineMessage>>,
) -> Result<Vec<Message>, String> {
    match (prompt, messages) {
        (Some(prompt), None) => Ok(vec![message("user", prompt)]),
        (None, Some(messages)) if !messages.is_empty() => Ok(messages
            .into_iter()
            .map(|LineMessage { role, content }| Message { role, content })
            .collect()),
        _ => Err("exactly one of prompt and messages must be there, and not empty".into()),
    }
}

/// A message of a role.
pub(super) fn message(role: &str, content: String) -> Message {
    Message {
        role: role.into(),
        content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_share_gpt_are_read() {
        let file = br#"[
            {"id": "1", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello there"}, {"from": "human", "value": "more"}]},
            {"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]},
            {"conversations": [{"from": "gpt", "value": "I begin"}, {"from": "human", "value": "then I"}]},
            {"conversations": []},
            {"conversations": [{"from": "human", "value": "  "}]}
        ]"#;
        let entries = share_gpt(file).unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| {
                (
                    entry.messages.len(),
                    entry.messages.last().unwrap().content.as_str(),
                    entry.answer.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (1, "hi", Some("hello there")),
                (2, "hi", Some("yes")),
                (1, "then I", None)
            ]
        );
    }

    #[test]
    fn every_turn_of_a_conversation_is_read_up_to_where_an_answer_is_missing() {
        let file = br#"[
            {"conversations": [{"from": "system", "value": "be kind"}, {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}, {"from": "human", "value": "e"}]},
            {"conversations": [{"from": "gpt", "value": "I begin"}, {"from": "human", "value": "f"}, {"from": "human", "value": "g"}]},
            {"conversations": [{"from": "human", "value": " "}]}
        ]"#;
        let said = |conversations: &[Vec<Turn>]| -> Vec<Vec<String>> {
            let turn = |turn: &Turn| {
                let messages: Vec<&str> =
                    turn.messages.iter().map(|it| it.content.as_str()).collect();
                format!(
                    "{} > {}",
                    messages.join("+"),
                    turn.answer.as_deref().unwrap_or("-")
                )
            };
            conversations
                .iter()
                .map(|turns| turns.iter().map(turn).collect())
                .collect()
        };
        assert_eq!(
            said(&share_gpt_conversations(file).unwrap()),
            [vec!["be kind+a > b", "c > d", "e > -"], vec!["f > -"],]
        );
        let lines = br#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "outputTokens": 9}
{"prompt": "d"}"#;
        let conversations = json_conversations(lines).unwrap();
        assert_eq!(
            said(&conversations),
            [vec!["a > b", "c > -"], vec!["d > -"]]
        );
        assert_eq!(conversations[0][1].output_tokens, Some(9));
        assert_eq!(share_gpt_conversations(b"[]"), Err(DatasetError::Empty));
    }

    #[test]
    fn what_is_no_share_gpt_is_named() {
        assert_eq!(share_gpt(b"[]"), Err(DatasetError::Empty));
        let error = share_gpt(br#"[{"conversations": [{"from": "human"}]}]"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 1") && error.contains("value"),
            "{error}"
        );
    }

    #[test]
    fn lines_are_read_in_both_forms() {
        let entries = json_lines(b"{\"prompt\": \"a\", \"outputTokens\": 7}\n\n{\"messages\": [{\"role\": \"user\", \"content\": \"b\"}]}\r\n").unwrap();
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
        let found: Vec<_> = json_lines(file)
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
            match json_lines(file.as_bytes()) {
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
        assert_eq!(json_lines(b"\n"), Err(DatasetError::Empty));
    }
}
