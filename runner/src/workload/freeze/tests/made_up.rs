//! Made-up prompts.

use super::*;

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
