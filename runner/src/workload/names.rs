//! Which of several models each arrival asks for.

use rand::seq::SliceRandom;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// Arrivals after which the sequence may begin anew.
const LEAST: usize = 1 << 16;

/// The names of arrivals by their places in `weights`, in blocks that hold each as often as its
/// weight, each block in an order of its own that the seed decides. So the shares are exact over
/// every block, whatever the arrivals. The sequence begins anew at its end; empty for fewer than two
/// names.
pub fn sequence(weights: &[u32], seed: u64) -> Vec<u16> {
    if weights.len() < 2 {
        return Vec::new();
    }
    let divisor = weights.iter().copied().reduce(gcd).unwrap_or(1).max(1);
    let block: Vec<u16> = weights
        .iter()
        .zip(0..)
        .flat_map(|(weight, name)| std::iter::repeat_n(name, (weight / divisor) as usize))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ SALT);
    let mut sequence = Vec::new();
    while sequence.len() < LEAST && !block.is_empty() {
        let mut block = block.clone();
        block.shuffle(&mut random);
        sequence.extend(block);
    }
    sequence
}

/// Keeps this sequence apart from the others of the same seed.
const SALT: u64 = 0x6e61_6d65;

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_holds_the_shares_exactly_and_no_two_are_alike() {
        let names = sequence(&[6, 2, 4], 7);
        assert!(names.len() >= LEAST);
        let mut blocks = std::collections::BTreeSet::new();
        // 6 : 2 : 4 is 3 : 1 : 2.
        for block in names.chunks(6) {
            let count = |name| block.iter().filter(|&&it| it == name).count();
            assert_eq!([0, 1, 2].map(count), [3, 1, 2]);
            blocks.insert(block);
        }
        assert!(blocks.len() > 10);
    }

    #[test]
    fn the_seed_alone_decides() {
        assert_eq!(sequence(&[1, 1], 3), sequence(&[1, 1], 3));
        assert_ne!(sequence(&[1, 1], 3), sequence(&[1, 1], 4));
        assert!(sequence(&[5], 1).is_empty() && sequence(&[], 1).is_empty());
    }
}
