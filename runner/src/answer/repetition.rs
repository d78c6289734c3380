//! Whether an answer turns in circles.
//!
//! The measure is seq-rep-n (S. Welleck and others, "Neural text generation with unlikelihood
//! training", ICLR 2020): 1 less the share of different n-grams among all. It is taken over 16
//! characters, not over four tokens, so that it needs no tokenizer and no words: in prose of any
//! script nearly every 16 characters in a row are new, and in a loop few are.

/// Characters of one n-gram.
const GRAM: usize = 16;
/// Fewest characters of which the measure says anything.
const LEAST: usize = 128;
/// Characters at the end of an answer that are looked at: a loop, once entered, is not left.
const LOOKED_AT: usize = 1024;
/// Odd, with bits all over it (SplitMix64's increment).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// From which share on an answer is repeating: the greater part of it was said before.
const REPEATING: f64 = 0.5;

/// Share of the 16-character pieces of a text's last 1,024 characters that stood there before: 0 to
/// 1. 0 for fewer than 128 characters.
pub fn repetition(text: &str) -> f64 {
    let mut end: Vec<char> = text.trim_end().chars().rev().take(LOOKED_AT).collect();
    if end.len() < LEAST {
        return 0.0;
    }
    end.reverse();
    // Of a polynomial of 64 bits in place of each piece; two different ones fall together once in
    // 10^13 texts.
    let mut grams: Vec<u64> = end
        .windows(GRAM)
        .map(|gram| {
            gram.iter().fold(0, |hash: u64, character| {
                hash.wrapping_mul(FACTOR)
                    .wrapping_add(u64::from(u32::from(*character)))
            })
        })
        .collect();
    let all = grams.len();
    grams.sort_unstable();
    grams.dedup();
    1.0 - grams.len() as f64 / all as f64
}

/// Whether more than half of an answer's end was said before.
pub fn is_repeating(text: &str) -> bool {
    repetition(text) > REPEATING
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &str = "The quick answer is that it depends on what the reader wants to know. \
        Somebody who compares two engines looks at throughput first, and somebody who serves a chat \
        looks at the time until the first word. Neither of them is wrong; they ask other questions.";

    #[test]
    fn prose_does_not_repeat_itself_and_loops_do() {
        let looped = format!("{PROSE} {}", "I am sorry. ".repeat(60));
        for (text, expected) in [
            (PROSE.to_owned(), false),
            ("!".repeat(200), true),
            ("the ".repeat(100), true),
            (looped, true),
            // Said twice is not yet a loop: half of it was said before, less the seam.
            (format!("{PROSE}{PROSE}"), false),
            (format!("{PROSE}{PROSE}{PROSE}"), true),
            // Too short to tell.
            ("no ".repeat(20), false),
            (String::new(), false),
            ("很抱歉,我不知道。".repeat(30), true),
            // A loop at the end of a long answer is seen; its beginning is not looked at.
            (
                format!(
                    "{}{}",
                    (0..3000).map(|n| format!("{n} ")).collect::<String>(),
                    "x y z ".repeat(500)
                ),
                true,
            ),
        ] {
            assert_eq!(
                is_repeating(&text),
                expected,
                "{:.40} {}",
                text,
                repetition(&text)
            );
        }
        // 200 characters have 185 pieces, one of them new.
        assert!((repetition(&"!".repeat(200)) - (1.0 - 1.0 / 185.0)).abs() < 1e-12);
    }
}
