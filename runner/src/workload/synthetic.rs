//! Made-up prompts of given lengths in tokens.

use std::collections::BTreeSet;

use bakeoff_crds::run::{SyntheticPrompts, TokenLength};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use rand_distr::{Distribution as _, Normal};

/// Words that are one token each, with the space before them, in the vocabularies of the usual
/// models.
pub(super) const WORDS: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by",
    "on", "not", "he", "his", "but", "at", "are", "this", "have", "from", "or", "had", "an",
    "they", "which", "one", "you", "were", "all", "her", "she", "there", "would", "their", "we",
    "him", "been", "has", "when", "who", "will", "no", "more", "if", "out", "so", "up", "said",
    "what", "its", "about", "than", "into", "them", "can", "only", "other", "time", "way", "day",
];
/// Tries to hit a length exactly.
const TRIES: usize = 64;

/// A length drawn from its distribution: at least 1.
pub(super) fn draw(length: &TokenLength, random: &mut ChaCha8Rng) -> u32 {
    let mean = f64::from(length.mean);
    match Normal::new(mean, length.stddev) {
        Ok(normal) if length.stddev > 0.0 => normal.sample(random).round().max(1.0) as u32,
        _ => length.mean.max(1),
    }
}

/// Words at random.
fn words(count: usize, random: &mut ChaCha8Rng) -> Vec<&'static str> {
    (0..count)
        .filter_map(|_| WORDS.get(random.next_u32() as usize % WORDS.len()).copied())
        .collect()
}

/// Text that begins with `prefix` and has `tokens` tokens by `count`. Where the tokenizer allows no
/// such text, or the prefix is longer already, it is the nearest that was found.
pub(super) fn text(
    prefix: &str,
    tokens: u32,
    random: &mut ChaCha8Rng,
    count: impl Fn(&str) -> u32,
) -> String {
    let join = |words: &[&str]| {
        let separator = if prefix.is_empty() || words.is_empty() {
            ""
        } else {
            " "
        };
        format!("{prefix}{separator}{}", words.join(" "))
    };
    let mut body = words(tokens.saturating_sub(count(prefix)) as usize, random);
    let mut best = join(&body);
    let mut best_miss = count(&best).abs_diff(tokens);
    for _ in 0..TRIES {
        let now = join(&body);
        let found = count(&now);
        let miss = found.abs_diff(tokens);
        if miss < best_miss {
            (best, best_miss) = (now, miss);
        }
        if miss == 0 || (body.is_empty() && found > tokens) {
            break;
        }
        if found > tokens {
            // By the words' mean length in tokens; at least one, whatever that is.
            let per_word = f64::from(found) / body.len().max(1) as f64;
            let surplus = (f64::from(miss) / per_word.max(1.0)).ceil() as usize;
            body.truncate(body.len().saturating_sub(surplus.max(1)));
        } else {
            body.extend(words(if miss > 8 { miss as usize / 2 } else { 1 }, random));
        }
    }
    best
}

/// The beginnings that prompts have in common, one for each group; no two alike where the words allow
/// it.
pub(super) fn shared_prefixes(
    prompts: &SyntheticPrompts,
    random: &mut ChaCha8Rng,
    count: impl Fn(&str) -> u32,
) -> Vec<String> {
    let Some(shared) = &prompts.shared_prefix else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    (0..shared.groups)
        .map(|_| {
            let mut prefix = text("", shared.tokens, random, &count);
            for _ in 0..TRIES {
                if seen.insert(prefix.clone()) {
                    break;
                }
                prefix = text("", shared.tokens, random, &count);
            }
            prefix
        })
        .collect()
}

/// The beginning of a prompt, or of a conversation.
pub(super) fn prefix(prefixes: &[String], index: usize) -> &str {
    let group = index.checked_rem(prefixes.len());
    group
        .and_then(|group| prefixes.get(group))
        .map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::workload::tokens::{TokenCounter, tests::words_tokenizer};

    #[test]
    fn lengths_are_hit_exactly() {
        let counter = TokenCounter::new(Some(&words_tokenizer())).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for tokens in [2, 3, 17, 512] {
            let text = text("", tokens, &mut random, |text| counter.prompt(text));
            assert_eq!(counter.prompt(&text), tokens, "{text}");
        }
    }

    #[test]
    fn words_of_several_tokens_are_hit_too() {
        // Each letter is a token.
        let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count() as u32;
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for tokens in [10, 100, 1000] {
            let text = text("", tokens, &mut random, letters);
            assert!(
                letters(&text).abs_diff(tokens) <= 2,
                "{tokens}: {}",
                letters(&text)
            );
        }
    }

    #[test]
    fn the_prefix_stays_and_counts() {
        let spaces = |text: &str| text.split_whitespace().count() as u32;
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let text = text("alpha beta", 10, &mut random, spaces);
        assert!(text.starts_with("alpha beta "), "{text}");
        assert_eq!(spaces(&text), 10);
    }

    #[test]
    fn drawn_lengths_have_their_mean_and_are_never_0() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let length = TokenLength {
            mean: 100,
            stddev: 20.0,
        };
        let mean = (0..2000)
            .map(|_| f64::from(draw(&length, &mut random)))
            .sum::<f64>()
            / 2000.0;
        assert!((mean - 100.0).abs() < 2.0, "{mean}");
        let wide = TokenLength {
            mean: 1,
            stddev: 50.0,
        };
        assert!((0..100).all(|_| draw(&wide, &mut random) >= 1));
        assert_eq!(
            draw(
                &TokenLength {
                    mean: 7,
                    stddev: 0.0
                },
                &mut random
            ),
            7
        );
    }
}
