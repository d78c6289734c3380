use bakeoff_crds::{
    BenchmarkRun,
    plan::{Place, PlanSettings, resolve},
    profile::ProfileSet,
};

use super::*;
use crate::workload::{frozen, tokens::tests::words_tokenizer};

/// The plan of a run with these prompts (YAML) and a seed.
fn plan(prompts: &str, seed: u64) -> Plan {
    let max_input = if prompts.contains("synthetic") {
        100
    } else {
        8
    };
    let yaml = format!(
        "apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: prompts}}
spec:
  model: {{id: demo/model}}
  engines: [{{name: fake, simulated: {{protocol: OpenAiChat}}}}]
  workload:
    prompts: {prompts}
    limits: {{maxInputTokens: {max_input}, maxOutputTokens: 50}}
    seed: {seed}
  output: {{uri: 'file:///nowhere'}}
"
    );
    let run: BenchmarkRun = serde_saphyr::from_str(&yaml).unwrap();
    let settings = PlanSettings {
        runner_image: "unused".into(),
        place: Place::Local,
    };
    resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
}

fn with_tokenizer() -> Sources {
    Sources {
        tokenizer: Some(words_tokenizer().into()),
        ..Sources::default()
    }
}

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
fn synthetic_prompts_have_their_lengths_with_the_template_around_them() {
    let synthetic = "{synthetic: {inputTokens: {mean: 40, stddev: 5}, outputTokens: {mean: 7}, sharedPrefix: {tokens: 12}}, count: 20}";
    let mut plan = plan(synthetic, 1);
    plan.spec.model.chat_template =
        Some("{% for m in messages %}the {{ m.role }} said {{ m.content }}{% endfor %}".into());
    let frozen = freeze(&plan, &with_tokenizer()).unwrap();
    let counter = TokenCounter::new(Some(&words_tokenizer())).unwrap();
    assert_eq!(frozen.prompts.len(), 20);
    for prompt in &frozen.prompts {
        let tokens = prompt.input_tokens.unwrap();
        assert_eq!(tokens, counter.prompt(&prompt.text));
        assert!((20..60).contains(&tokens), "{tokens}");
        assert_eq!(prompt.max_tokens, 7);
    }
    let first_words = |prompt: &Prompt| -> Vec<String> {
        // 12 tokens with the template's three words and the token of the beginning.
        prompt.messages[0]
            .content
            .split(' ')
            .take(8)
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        first_words(&frozen.prompts[0]),
        first_words(&frozen.prompts[1])
    );
    assert_ne!(frozen.prompts[0].text, frozen.prompts[1].text);
}

#[test]
fn without_a_tokenizer_a_synthetic_token_is_a_word() {
    let synthetic = "{synthetic: {inputTokens: {mean: 30}, outputTokens: {mean: 7}}, count: 2}";
    let frozen = freeze(&plan(synthetic, 1), &Sources::default()).unwrap();
    assert_eq!(frozen.prompts[0].text.split(' ').count(), 30);
    assert_eq!(frozen.prompts[0].input_tokens, None);
}

const MOONCAKE: &str = "{trace: {format: Mooncake, file: {path: x.jsonl}}}";

/// A plan whose prompts may have so many tokens.
fn long(prompts: &str, seed: u64, max_input_tokens: u32) -> Plan {
    let mut plan = plan(prompts, seed);
    plan.spec.workload.limits.max_input_tokens = max_input_tokens;
    plan.spec.workload.limits.max_output_tokens = 1000;
    plan
}

fn from_file(file: &str, sources: Sources) -> Sources {
    Sources {
        dataset: Some(file.as_bytes().to_vec().into()),
        ..sources
    }
}

const BLOCKS: &str = r#"{"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]}
{"timestamp": 500, "input_length": 1030, "output_length": 6, "hash_ids": [1, 2, 4]}
{"timestamp": 500, "input_length": 1100, "output_length": 7, "hash_ids": [1, 5, 6]}
{"timestamp": 900, "input_length": 9000, "output_length": 8, "hash_ids": []}
{"timestamp": 1000, "input_length": 512, "output_length": 2000, "hash_ids": [9]}
"#;

#[test]
fn a_trace_freezes_lengths_and_times() {
    let template = "<|u|> {{ messages[0].content }} <|a|>";
    for sources in [with_tokenizer(), Sources::default()] {
        for template in [None, Some(template.to_owned())] {
            let mut plan = long(MOONCAKE, 1, 4000);
            plan.spec.model.chat_template = template;
            let frozen = freeze(&plan, &from_file(BLOCKS, sources.clone())).unwrap();
            let maker_counts = frozen.prompts[0].input_tokens.is_some();
            let found: Vec<_> = frozen
                .prompts
                .iter()
                .map(|prompt| {
                    let words = prompt.messages[0].content.split(' ').count() as u32;
                    let tokens = prompt.input_tokens.unwrap_or(words);
                    (
                        prompt.arrival_nanos.unwrap() / 1_000_000,
                        tokens,
                        prompt.max_tokens,
                    )
                })
                .collect();
            assert_eq!(
                found,
                [
                    (0, 1100, 5),
                    (500, 1030, 6),
                    (500, 1100, 7),
                    (1000, 512, 1000)
                ],
                "{maker_counts}"
            );
            assert_eq!(frozen.left_out, 1);
        }
    }
}

#[test]
fn blocks_with_one_id_have_one_text() {
    let frozen = freeze(
        &long(MOONCAKE, 1, 4000),
        &from_file(BLOCKS, with_tokenizer()),
    )
    .unwrap();
    let words: Vec<Vec<&str>> = frozen
        .prompts
        .iter()
        .map(|prompt| prompt.text.split(' ').collect())
        .collect();
    let common = |a: usize, b: usize| {
        let pairs = words[a].iter().zip(&words[b]);
        pairs.take_while(|(a, b)| a == b).count()
    };
    // One token of each prompt is the one at its beginning. Different blocks may begin alike by
    // chance, with one word of 64.
    assert!((1023..1027).contains(&common(0, 1)), "{}", common(0, 1));
    assert!((511..515).contains(&common(0, 2)), "{}", common(0, 2));
    assert!(common(0, 3) < 4, "{}", common(0, 3));
}

#[test]
fn a_trace_is_frozen_byte_for_byte() {
    let file = |seed| {
        let frozen = freeze(
            &long(MOONCAKE, seed, 4000),
            &from_file(BLOCKS, with_tokenizer()),
        );
        frozen::write(&frozen.unwrap().prompts).unwrap()
    };
    assert_eq!(file(1), file(1));
    assert_ne!(file(1).sha256, file(2).sha256);
    // The times are part of what is hashed.
    let later = BLOCKS.replace("500", "501");
    let moved = freeze(
        &long(MOONCAKE, 1, 4000),
        &from_file(&later, with_tokenizer()),
    )
    .unwrap();
    assert_ne!(
        frozen::write(&moved.prompts).unwrap().sha256,
        file(1).sha256
    );
}

#[test]
fn a_trace_of_prompts_keeps_them_up_to_its_number_of_requests() {
    let lines: String = (0..9)
        .map(|second| {
            format!(
                "{{\"timestamp\": {second}, \"prompt\": \"time {second}\", \"outputTokens\": 3}}\n"
            )
        })
        .collect();
    let prompts = "{trace: {format: Jsonl, file: {path: x}, from: 2s, maxRequests: 3}}";
    let frozen = freeze(&long(prompts, 1, 100), &from_file(&lines, with_tokenizer())).unwrap();
    let found: Vec<_> = frozen
        .prompts
        .iter()
        .map(|prompt| (prompt.text.as_str(), prompt.arrival_nanos.unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            ("time 2", 0),
            ("time 3", 1_000_000_000),
            ("time 4", 2_000_000_000)
        ]
    );
    let error = freeze(&long(prompts, 1, 1), &from_file(&lines, with_tokenizer())).unwrap_err();
    assert!(
        matches!(error, WorkloadError::NothingLeft { examined: 7, .. }),
        "{error}"
    );
}

#[test]
fn each_group_of_synthetic_prompts_has_a_beginning_of_its_own() {
    let synthetic = "{synthetic: {inputTokens: {mean: 40}, outputTokens: {mean: 7}, sharedPrefix: {tokens: 12, groups: 3}}, count: 30}";
    let frozen = freeze(&plan(synthetic, 1), &with_tokenizer()).unwrap();
    // 11 words and the token of the beginning.
    let beginning = |prompt: &Prompt| {
        let words: Vec<&str> = prompt.text.split(' ').take(11).collect();
        words.join(" ")
    };
    let different: std::collections::BTreeSet<String> =
        frozen.prompts.iter().map(beginning).collect();
    assert_eq!(different.len(), 3);
    for (one, three_later) in frozen.prompts.iter().zip(frozen.prompts.iter().skip(3)) {
        assert_eq!(beginning(one), beginning(three_later));
        assert_ne!(one.text, three_later.text);
        assert_eq!(one.input_tokens, Some(40));
    }
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

/// A byte-level BPE tokenizer as today's models have: a word with the space before it is one token,
/// and one without is one for each letter. A token of the beginning is added.
fn bpe_tokenizer() -> Vec<u8> {
    let mut merges: Vec<String> = Vec::new();
    let mut vocabulary: Vec<String> = vec!["<s>".into(), "Ġ".into()];
    vocabulary.extend(('a'..='z').map(String::from));
    for word in synthetic::WORDS {
        let mut whole = "Ġ".to_owned();
        for letter in word.chars().map(String::from) {
            let merge = format!("{whole} {letter}");
            whole.push_str(&letter);
            if !merges.contains(&merge) {
                merges.push(merge);
                vocabulary.push(whole.clone());
            }
        }
    }
    let vocabulary: serde_json::Map<String, serde_json::Value> = vocabulary
        .into_iter()
        .zip(0_u32..)
        .map(|(token, id)| (token, id.into()))
        .collect();
    serde_json::to_vec(&serde_json::json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": merges}
    }))
    .unwrap()
}

#[test]
fn synthetic_prompts_encode_to_exactly_the_tokens_asked_for() {
    let counter = TokenCounter::new(Some(&bpe_tokenizer())).unwrap();
    // Letters, then words; and the token of the beginning.
    assert_eq!(
        (counter.answer("the of and"), counter.prompt("the of and")),
        (5, 6)
    );
    let sources = Sources {
        tokenizer: Some(bpe_tokenizer().into()),
        ..Sources::default()
    };
    for tokens in [8, 9, 33, 100] {
        for extra in ["", ", sharedPrefix: {tokens: 6, groups: 2}"] {
            let prompts = format!(
                "{{synthetic: {{inputTokens: {{mean: {tokens}}}, outputTokens: {{mean: 7}}{extra}}}, count: 40}}"
            );
            for prompt in freeze(&plan(&prompts, 5), &sources).unwrap().prompts {
                assert_eq!(prompt.input_tokens, Some(tokens), "{}", prompt.text);
                assert_eq!(counter.prompt(&prompt.text), tokens, "{}", prompt.text);
            }
        }
    }
}
