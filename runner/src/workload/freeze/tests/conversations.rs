//! Prompts of several turns.

use super::*;

const TALK: &str = "{\"messages\": [{\"role\": \"user\", \"content\": \"one\"}, {\"role\": \"assistant\", \"content\": \"way day\"}, {\"role\": \"user\", \"content\": \"more\"}, {\"role\": \"assistant\", \"content\": \"up\"}, {\"role\": \"user\", \"content\": \"the of and to\"}]}";

/// The turns of that conversation under some settings: messages, length, answer's length, time to
/// think.
fn talk(conversations: &str) -> Vec<(usize, Option<u32>, u32, Option<f64>)> {
    let sources = Sources {
        dataset: Some(TALK.into()),
        ..with_tokenizer()
    };
    let prompts = format!("{{jsonl: {{path: x}}, conversations: {conversations}}}");
    let frozen = freeze(&plan(&prompts, 1), &sources).unwrap();
    assert!(frozen.prompts.iter().all(|it| it.conversation == Some(0)));
    let turn = |it: &Prompt| {
        (
            it.messages.len(),
            it.input_tokens,
            it.max_tokens,
            it.think_seconds,
        )
    };
    frozen.prompts.iter().map(turn).collect()
}

#[test]
fn turns_are_frozen_with_what_was_said_before_them() {
    // Words and the token of the beginning; the third turn would have 10 of at most 8 tokens.
    assert_eq!(
        talk("{thinkTime: {mean: 2s, distribution: Constant}}"),
        [(1, Some(2), 2, None), (3, Some(5), 1, Some(2.0))]
    );
    assert_eq!(talk("{maxTurns: 1}"), [(1, Some(2), 2, None)]);
    // The engine's own answers are not known: what is frozen is what the turn adds.
    assert_eq!(
        talk("{history: Answers}"),
        [(1, Some(2), 2, None), (1, None, 1, Some(0.0))]
    );
    let drawn = talk("{thinkTime: {mean: 2s}}")[1].3.unwrap();
    assert!(drawn > 0.0 && (drawn - 2.0).abs() > 1e-9, "{drawn}");
}

#[test]
fn synthetic_turns_have_their_lengths() {
    let prompts = "{synthetic: {inputTokens: {mean: 20}, outputTokens: {mean: 7}}, conversations: {maxTurns: 3}, count: 5}";
    let frozen = freeze(&plan(prompts, 1), &with_tokenizer()).unwrap();
    assert_eq!(frozen.prompts.len(), 15);
    for turns in frozen.prompts.chunks(3) {
        let lengths: Vec<_> = turns.iter().map(|turn| turn.input_tokens).collect();
        // Each adds an answer of 7 and a message of 20.
        assert_eq!(lengths, [Some(20), Some(47), Some(74)]);
        assert!(turns.iter().all(|turn| turn.max_tokens == 7));
        assert!(turns[1].text.starts_with(&turns[0].text));
    }
}
