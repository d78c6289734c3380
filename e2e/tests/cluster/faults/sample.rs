//! Which disturbances are tried.

use std::env;
use std::fmt::{self, Display};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::wire::Disturbance;

/// How often the operator did what, in an undisturbed run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) writes: usize,
    pub(super) reads: usize,
    pub(super) events: usize,
}

/// All disturbances, or some by a seed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sample {
    All,
    Seeded(u64),
}

/// A kind of disturbance, to be given its place.
type Kind = fn(usize) -> Disturbance;

/// Disturbances of one kind in a sample.
const OF_EACH: usize = 1;

impl Sample {
    pub(super) fn from_environment() -> Result<Self> {
        match env::var("BAKEOFF_E2E_FAULTS") {
            Ok(all) if all == "all" => Ok(Self::All),
            Ok(seed) => Ok(Self::Seeded(
                seed.parse()
                    .context("BAKEOFF_E2E_FAULTS is neither `all` nor a seed")?,
            )),
            Err(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
                Ok(Self::Seeded(now.as_secs()))
            }
        }
    }

    /// The disturbances for a run that did this much.
    pub(super) fn of(self, counts: &Counts) -> Vec<Disturbance> {
        let writes: [Kind; 6] = [
            Disturbance::KilledBefore,
            Disturbance::KilledAfter,
            |at| Disturbance::Refused(at, 409),
            |at| Disturbance::Refused(at, 429),
            |at| Disturbance::Refused(at, 500),
            Disturbance::DoneAndDenied,
        ];
        let mut kinds: Vec<(Kind, usize)> = writes
            .into_iter()
            .map(|kind| (kind, counts.writes))
            .collect();
        // How many there are is a matter of time; most runs have four fifths of them.
        kinds.push((Disturbance::Stale, counts.reads * 4 / 5));
        kinds.push((Disturbance::Missed, counts.events * 4 / 5));
        kinds.push((Disturbance::Paused, counts.writes));
        let mut numbers = Numbers(match self {
            Self::All => 0,
            Self::Seeded(seed) => seed,
        });
        kinds
            .into_iter()
            .flat_map(|(kind, count)| -> Vec<Disturbance> {
                match self {
                    Self::All => (0..count).map(kind).collect(),
                    Self::Seeded(_) => (0..OF_EACH).map(|_| kind(numbers.below(count))).collect(),
                }
            })
            .collect()
    }
}

impl Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Seeded(seed) => write!(f, "{seed}"),
        }
    }
}

/// SplitMix64 (Steele et al., OOPSLA 2014): enough to choose by, and the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound.max(1) as u64).unwrap_or(0)
    }
}
