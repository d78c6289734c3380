//! ShareGPT's files: one array of conversations, or a conversation a line.

use serde::Deserialize;

use super::{
    DatasetError, Entry, Turn,
    json::{each_line, of_line, what_is_wrong},
    message, turns,
};

/// What a conversation looks like, for errors.
const EXAMPLE: &str = r#"{"conversations": [{"from": "human", "value": "…"}]}"#;

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

/// Reads a ShareGPT file: an array of conversations, or one a line, each with turns `{from, value}` (or
/// `{role, content}`). The first human turn, with a system turn before it, is the prompt; the
/// answer after it gives the output length. Conversations without a human turn are passed over.
///
/// # Errors
/// Where the file is no such JSON, naming the line, or holds no prompt.
pub fn entries(bytes: &[u8]) -> Result<Vec<Entry>, DatasetError> {
    let conversations: Vec<Conversation> = read(bytes)?;
    let entries: Vec<Entry> = conversations
        .into_iter()
        .filter_map(first_exchange)
        .collect();
    if entries.is_empty() {
        return Err(DatasetError::Empty);
    }
    Ok(entries)
}

fn read(bytes: &[u8]) -> Result<Vec<Conversation>, DatasetError> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        return each_line(bytes, |line| of_line(line, EXAMPLE));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        DatasetError::ShareGpt(format!(
            "line {} column {}: {}; it is an array of {EXAMPLE}, or one of them a line",
            error.line(),
            error.column(),
            what_is_wrong(&error)
        ))
    })
}

/// Reads every turn of a ShareGPT file's conversations.
///
/// # Errors
/// As [`entries`].
pub fn conversations(bytes: &[u8]) -> Result<Vec<Vec<Turn>>, DatasetError> {
    let conversations: Vec<Conversation> = read(bytes)?;
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
        let entries = entries(file).unwrap();
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
    fn a_conversation_a_line_is_read_too() {
        let file = br#"{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]}

{"conversations": [{"from": "human", "value": "ho"}]}
"#;
        let found = entries(file).unwrap();
        assert_eq!(found[0].answer.as_deref(), Some("yes"));
        assert_eq!(found[1].messages, [message("user", "ho".into())]);
        assert_eq!(conversations(file).unwrap().len(), 2);
        match entries(b"{\"conversations\": []}\n[") {
            Err(DatasetError::Line { line: 2, .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_share_gpt_is_named() {
        assert_eq!(entries(b"[]"), Err(DatasetError::Empty));
        let error = entries(br#"[{"conversations": [{"from": "human"}]}]"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 1") && error.contains("value"),
            "{error}"
        );
    }
}
