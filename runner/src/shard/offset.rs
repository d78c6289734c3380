//! How far two processes' clocks lie apart, by round trips between them.

use crate::clock::{Nanos, seconds};

/// One round trip (as NTP's, RFC 5905, section 8): asked and answered by our clock, received and
/// returned by the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// Sent, by our clock.
    pub asked: Nanos,
    /// Received, by the other's.
    pub received: Nanos,
    /// Sent back, by the other's.
    pub returned: Nanos,
    /// Back here, by our clock.
    pub answered: Nanos,
}

/// The other's clock less ours, and how far from the truth that may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// In nanoseconds.
    pub nanos: i128,
    /// In nanoseconds: half the time that the round trip spent on its way.
    pub bound: i128,
}

impl RoundTrip {
    /// What this round trip says. The two ways may have taken unlike times, by which the offset may
    /// be wrong: at most by half of both together.
    pub fn offset(self) -> Offset {
        let [asked, received, returned, answered] =
            [self.asked, self.received, self.returned, self.answered].map(i128::from);
        let under_way = (answered - asked) - (returned - received);
        Offset {
            nanos: ((received - asked) + (returned - answered)) / 2,
            // Up, so that half a nanosecond is not lost.
            bound: (under_way.max(0) + 1) / 2,
        }
    }
}

impl Offset {
    /// The surest of several round trips; `None` where there was none.
    pub fn of(trips: &[RoundTrip]) -> Option<Self> {
        trips
            .iter()
            .map(|trip| trip.offset())
            .min_by_key(|offset| offset.bound)
    }

    /// Our time at a time of the other's clock.
    pub fn ours(self, theirs: Nanos) -> Nanos {
        Nanos::try_from(i128::from(theirs) - self.nanos).unwrap_or_default()
    }

    /// How far apart the clocks may have been between two comparisons, in seconds: the wider of the
    /// bounds, and by how much the offset moved.
    pub fn bound_until(self, later: Self) -> f64 {
        let drift = (later.nanos - self.nanos).abs();
        let bound = self.bound.max(later.bound) + drift;
        seconds(Nanos::try_from(bound).unwrap_or(Nanos::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_truth_lies_within_the_bound(
            ahead in -1_000_000_000_i64..1_000_000_000,
            ways in prop::collection::vec((0_u64..5_000_000, 0_u64..100_000, 0_u64..5_000_000), 1..20),
        ) {
            let mut trips = Vec::new();
            let mut asked = 10_000_000_000_u64;
            for (there, within, back) in ways {
                let received = (asked + there).checked_add_signed(ahead).unwrap();
                trips.push(RoundTrip {
                    asked,
                    received,
                    returned: received + within,
                    answered: asked + there + within + back,
                });
                asked += 20_000_000;
            }
            let found = Offset::of(&trips).unwrap();
            let wrong = (found.nanos - i128::from(ahead)).abs();
            prop_assert!(wrong <= found.bound, "{wrong} > {}", found.bound);
            let least = trips.iter().map(|trip| trip.offset().bound).min().unwrap();
            prop_assert_eq!(found.bound, least);
        }
    }

    #[test]
    fn times_are_carried_over() {
        let offset = Offset {
            nanos: -5_000,
            bound: 100,
        };
        assert_eq!(offset.ours(1_000_000), 1_005_000);
        let later = Offset {
            nanos: -5_400,
            bound: 200,
        };
        assert_eq!(offset.bound_until(later), 600e-9);
        assert_eq!(Offset::of(&[]), None);
    }
}
