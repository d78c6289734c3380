//! Prompts of a file or of the spec, as they are chosen.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;

fn share_gpt(conversations: &[(&str, &str)]) -> Sources {
    let file: Vec<_> = conversations
        .iter()
        .map(|(human, gpt)| {
            serde_json::json!({"conversations": [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}]})
        })
        .collect();
    Sources {
        dataset: Some(serde_json::to_vec(&file).unwrap().into()),
        ..with_tokenizer()
    }
}

const SHARE_GPT: &str = "{shareGpt: {path: x.json}, count: 2}";

#[test]
fn long_prompts_are_left_out_and_counted() {
    let sources = share_gpt(&[
        ("one time", "way day other"),
        ("the of and to in is that for it", "x"),
        ("only one", &"day ".repeat(80)),
    ]);
    // More are asked for than there are, so all are looked at.
    let frozen = freeze(&plan("{shareGpt: {path: x.json}, count: 9}", 1), &sources).unwrap();
    assert_eq!((frozen.prompts.len(), frozen.left_out), (2, 1));
    let mut seen: Vec<_> = frozen
        .prompts
        .iter()
        .map(|prompt| (prompt.text.as_str(), prompt.input_tokens, prompt.max_tokens))
        .collect();
    seen.sort_unstable();
    // One more token than words: the one at the beginning. Answers are capped at 50.
    assert_eq!(seen, [("one time", Some(3), 3), ("only one", Some(3), 50)]);
    assert_eq!(
        frozen.dataset_sha256,
        sources.dataset.as_deref().map(sha256_hex)
    );
    assert_eq!(
        frozen.tokenizer_sha256,
        sources.tokenizer.as_deref().map(sha256_hex)
    );
}

#[test]
fn a_packed_file_gives_what_it_holds() {
    let plain = share_gpt(&[("one time", "way day other"), ("only one", "time")]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(plain.dataset.as_deref().unwrap())
        .unwrap();
    let packed = Sources {
        dataset: Some(encoder.finish().unwrap().into()),
        ..plain.clone()
    };
    for prompts in [
        SHARE_GPT,
        "{shareGpt: {path: x.json.gz}, conversations: {maxTurns: 2}}",
    ] {
        let [plain, packed] =
            [&plain, &packed].map(|sources| freeze(&plan(prompts, 1), sources).unwrap());
        assert_eq!(plain.prompts, packed.prompts);
        // Of the file as it came, which the spec may name.
        assert_ne!(plain.dataset_sha256, packed.dataset_sha256);
    }
}

#[test]
fn prompts_that_are_all_too_long_are_an_error() {
    let sources = share_gpt(&[("the of and to in is that for it", "x")]);
    let error = freeze(&plan(SHARE_GPT, 1), &sources).unwrap_err();
    assert_eq!(
        error.reason(),
        bakeoff_crds::summary::reason::DATASET_INVALID
    );
    assert!(error.to_string().contains("maxInputTokens"), "{error}");
}

#[test]
fn the_seed_decides_the_choice_and_nothing_else_does() {
    let texts: Vec<String> = (0..100).map(|number| format!("time {number}")).collect();
    let conversations: Vec<_> = texts.iter().map(|text| (text.as_str(), "day")).collect();
    let sources = share_gpt(&conversations);
    let frozen_lines = |seed| {
        let frozen = freeze(
            &plan("{shareGpt: {path: x.json}, count: 20}", seed),
            &sources,
        )
        .unwrap();
        frozen::write(&frozen.prompts).unwrap().sha256
    };
    assert_eq!(frozen_lines(1), frozen_lines(1));
    assert_ne!(frozen_lines(1), frozen_lines(2));
}

#[test]
fn inline_prompts_are_all_taken_in_order() {
    let frozen = freeze(&plan("{inline: [b, a]}", 1), &Sources::default()).unwrap();
    let seen: Vec<_> = frozen
        .prompts
        .iter()
        .map(|prompt| {
            (
                prompt.index,
                prompt.text.as_str(),
                prompt.input_tokens,
                prompt.max_tokens,
            )
        })
        .collect();
    assert_eq!(seen, [(0, "b", None, 50), (1, "a", None, 50)]);
}

#[test]
fn json_lines_keep_their_messages_and_lengths() {
    let sources = Sources {
        dataset: Some("{\"messages\": [{\"role\": \"system\", \"content\": \"be\"}, {\"role\": \"user\", \"content\": \"so\"}], \"outputTokens\": 9}".into()),
        ..Sources::default()
    };
    let frozen = freeze(&plan("{jsonl: {path: x.jsonl}}", 1), &sources).unwrap();
    let prompt = &frozen.prompts[0];
    assert_eq!(
        (
            prompt.messages.len(),
            prompt.text.as_str(),
            prompt.max_tokens
        ),
        (2, "be\n\nso", 9)
    );
}

#[test]
fn the_runs_system_message_begins_every_prompt() {
    for prompts in [
        "{inline: [hello], system: be brief}",
        "{jsonl: {path: x}, system: be brief}",
        "{synthetic: {inputTokens: {mean: 20}, outputTokens: {mean: 7}}, count: 2, system: be brief}",
    ] {
        let sources = Sources {
            dataset: Some("{\"messages\": [{\"role\": \"system\", \"content\": \"its own\"}, {\"role\": \"user\", \"content\": \"so\"}]}".into()),
            ..with_tokenizer()
        };
        for prompt in freeze(&plan(prompts, 1), &sources).unwrap().prompts {
            let roles: Vec<&str> = prompt.messages.iter().map(|it| it.role.as_str()).collect();
            assert_eq!(roles, ["system", "user"], "{prompts}");
            assert_eq!(prompt.messages[0].content, "be brief");
            assert!(prompt.text.starts_with("be brief\n\n"), "{}", prompt.text);
            if prompts.contains("synthetic") {
                assert_eq!(prompt.input_tokens, Some(20));
            }
        }
    }
}
