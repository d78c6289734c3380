//! Prompts of traces.

use super::*;

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
