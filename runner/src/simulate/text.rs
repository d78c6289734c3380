//! What a simulated engine says: words chosen by a hash, so that the same request always gets the
//! same answer; and its rule for counting the tokens of a prompt.

/// Common words, each one token in most vocabularies when a space stands before it.
const WORDS: [&str; 64] = [
    " the", " of", " and", " to", " in", " a", " is", " that", " for", " it", " as", " was",
    " with", " be", " by", " on", " not", " he", " this", " are", " or", " his", " from", " at",
    " which", " but", " have", " an", " had", " they", " you", " were", " their", " one", " all",
    " we", " can", " her", " has", " there", " been", " if", " more", " when", " will", " would",
    " who", " so", " no", " she", " other", " its", " may", " these", " what", " them", " than",
    " some", " him", " time", " into", " only", " do", " new",
];

/// FNV-1a with 64 bits: the same on every machine and in every version.
pub fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state)
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Text and id of an answer's token.
pub fn token(answer: u64, index: u32) -> (&'static str, u32) {
    let place = mix(answer.wrapping_add(u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15))) % 64;
    // Below 64, so it fits both.
    (WORDS[place as usize], 1_000 + place as u32)
}

/// Text of an answer's first `tokens` tokens.
pub fn answer(answer: u64, tokens: u32) -> String {
    (0..tokens).map(|index| token(answer, index).0).collect()
}

/// The simulator's count of a prompt's tokens: one for each begun six bytes of each word, and at
/// least one. A rule that anyone can recompute; no real tokenizer agrees with it.
pub fn input_tokens(prompt: &str) -> u32 {
    let tokens: usize = prompt
        .split_whitespace()
        .map(|word| word.len().div_ceil(6))
        .sum();
    u32::try_from(tokens.max(1)).unwrap_or(u32::MAX)
}

/// Length of an answer: all of `max_tokens` where the end of sequence is ignored, else, by the
/// prompt's hash, between half of them and all.
pub fn output_tokens(answer: u64, max_tokens: u32, ignore_eos: bool) -> u32 {
    let max_tokens = max_tokens.max(1);
    if ignore_eos {
        return max_tokens;
    }
    let least = max_tokens.div_ceil(2);
    let choices = u64::from(max_tokens - least) + 1;
    // The remainder is below `choices`, which fits.
    least + (mix(answer ^ 0x5eed) % choices) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pinned() {
        assert_eq!(hash(b"hello there", 0), 3_152_667_971_137_498_331);
    }

    #[test]
    fn seeds_and_prompts_change_the_answer() {
        let answers = [hash(b"a", 0), hash(b"b", 0), hash(b"a", 1)].map(|it| answer(it, 8));
        assert!(
            answers[0] != answers[1] && answers[0] != answers[2],
            "{answers:?}"
        );
        assert_eq!(answers[0].split_whitespace().count(), 8);
    }

    #[test]
    fn input_tokens_follow_the_rule() {
        for (prompt, tokens) in [
            ("", 1),
            ("hello there", 2),
            ("internationalization", 4),
            ("  a \n b ", 2),
        ] {
            assert_eq!(input_tokens(prompt), tokens, "{prompt:?}");
        }
    }

    #[test]
    fn output_tokens_lie_between_half_and_all() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..1_000 {
            let tokens = output_tokens(hash(b"p", seed), 9, false);
            assert!((5..=9).contains(&tokens), "{tokens}");
            seen.insert(tokens);
            assert_eq!(output_tokens(hash(b"p", seed), 9, true), 9);
        }
        assert_eq!(seen.len(), 5, "every length comes up");
        assert_eq!(output_tokens(7, 0, false), 1);
    }
}
