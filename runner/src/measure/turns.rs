//! From frozen prompts to the requests of each arrival.

use std::sync::Arc;

use crate::{answer::Expected, drive::Turn, prompt::Prompt, protocol::Codec};

/// The turns of each arrival. With several prompts per request, each takes as many as follow one
/// another in the frozen file; the last is filled up from its beginning.
pub(super) fn of(
    prompts: &[Prompt],
    codec: &Codec,
    whole: &dyn Fn(&[u8]) -> Arc<[u8]>,
) -> Vec<Vec<Turn>> {
    let together = codec.prompts_per_request();
    let begins = (0..prompts.len()).step_by(together);
    begins
        .map(|begin| {
            let taken: Vec<&Prompt> = taken(prompts, begin, together).collect();
            vec![Turn {
                prompt: begin as u64,
                requests: Box::from([whole(&codec.encode(&taken, 0))]),
                ..Turn::default()
            }]
        })
        .collect()
}

/// Tokens of the prompts of the request that begins with each prompt, by the tokenizer, where they
/// are known.
pub(super) fn prompt_tokens(prompts: &[Prompt], together: usize) -> Vec<Option<u32>> {
    (0..prompts.len())
        .map(|begin| {
            taken(prompts, begin, together)
                .map(|prompt| prompt.input_tokens)
                .reduce(|sum, tokens| Some(sum?.saturating_add(tokens?)))
                .flatten()
        })
        .collect()
}

/// Most tokens that the answers to the request that begins with each prompt may have together: each
/// of them as many as the longest.
pub(super) fn asked_tokens(prompts: &[Prompt], together: usize) -> Vec<u32> {
    let number = u32::try_from(together).unwrap_or(u32::MAX);
    (0..prompts.len())
        .map(|begin| {
            let longest = taken(prompts, begin, together).map(|prompt| prompt.max_tokens);
            longest.max().unwrap_or_default().saturating_mul(number)
        })
        .collect()
}

/// Right answers by prompt. Empty with several prompts per request, whose answers are not told
/// apart.
pub(super) fn expected(prompts: &[Prompt], together: usize) -> Arc<[Option<Expected>]> {
    let alone = prompts.iter().filter(|_| together == 1);
    alone.map(|prompt| prompt.expected.clone()).collect()
}

fn taken(prompts: &[Prompt], begin: usize, together: usize) -> impl Iterator<Item = &Prompt> {
    prompts.iter().cycle().skip(begin).take(together)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_several_prompts_are_added_up() {
        let prompt = |input_tokens| Prompt {
            input_tokens,
            ..Prompt::default()
        };
        let prompts = [prompt(Some(1)), prompt(Some(2)), prompt(Some(4))];
        assert_eq!(prompt_tokens(&prompts, 1), [Some(1), Some(2), Some(4)]);
        assert_eq!(prompt_tokens(&prompts, 2), [Some(3), Some(6), Some(5)]);
        assert_eq!(
            prompt_tokens(&[prompt(None), prompt(Some(1))], 2),
            [None, None]
        );
    }

    #[test]
    fn several_answers_may_each_be_as_long_as_the_longest_and_are_not_judged() {
        let prompt = |max_tokens| Prompt {
            max_tokens,
            expected: Some(Expected::default()),
            ..Prompt::default()
        };
        let prompts = [prompt(1), prompt(2), prompt(4)];
        assert_eq!(asked_tokens(&prompts, 1), [1, 2, 4]);
        assert_eq!(asked_tokens(&prompts, 2), [4, 8, 8]);
        assert_eq!(expected(&prompts, 1).len(), 3);
        assert!(expected(&prompts, 2).is_empty());
    }
}
