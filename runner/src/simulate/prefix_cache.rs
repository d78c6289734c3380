//! An engine's prefix cache: which blocks of tokens it has seen, after which beginning. It is counted
//! and changes no times; it never runs full.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::text;

/// Tokens of a block, as vLLM has them.
const BLOCK: u32 = 16;

/// The blocks that were seen.
#[derive(Debug, Default)]
pub struct PrefixCache(Mutex<HashSet<(u64, u32)>>);

impl PrefixCache {
    /// Tokens of a prompt that are in the cache, from its beginning on; then all of it is. As with
    /// vLLM, whole blocks alone are found, and never the last token: it has to be worked on.
    pub fn look_up(&self, model: &str, prompt: &str, tokens: u32) -> u32 {
        let mut known = self.lock();
        let last_block = tokens.saturating_sub(1) / BLOCK;
        let mut state = text::hash(model.as_bytes(), 0);
        let (mut taken, mut block, mut hits, mut unbroken) = (0, 0, 0, true);
        for word in prompt.split_whitespace() {
            state = text::hash(word.as_bytes(), state);
            taken += text::input_tokens(word);
            while taken / BLOCK > block {
                block += 1;
                unbroken &= !known.insert((state, block));
                if unbroken && block <= last_block {
                    hits = block * BLOCK;
                }
            }
        }
        hits
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(u64, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_of_a_known_beginning_are_found() {
        let cache = PrefixCache::default();
        let words = |range: std::ops::Range<u32>| {
            let words: Vec<String> = range.map(|word| format!("w{word}")).collect();
            words.join(" ")
        };
        let ask = |prompt: &str| cache.look_up("m", prompt, text::input_tokens(prompt));
        assert_eq!(ask(&words(0..40)), 0);
        assert_eq!(ask(&words(0..40)), 32);
        // The last token is always worked on.
        assert_eq!(ask(&words(0..32)), 16);
        let other_end = format!("{} {}", words(0..20), words(50..70));
        assert_eq!(ask(&other_end), 16);
        assert_eq!(ask(&words(1..41)), 0);
        assert_eq!(cache.look_up("adapter", &words(0..40), 40), 0);
        cache.clear();
        assert_eq!(ask(&words(0..40)), 0);
    }
}
