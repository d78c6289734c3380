//! Which part of a stage one process takes, where several act as one client.
//!
//! The sequence of arrivals is that of the whole, whatever the number of processes: the same
//! indexes, due times and prompts, each taken by one of them.

/// One process of several that drive a stage together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which one, from 0.
    pub index: u32,
    /// How many there are; at least 1.
    pub of: u32,
}

impl Share {
    /// The only process.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    fn index(self) -> u64 {
        u64::from(self.index)
    }

    fn of(self) -> u64 {
        u64::from(self.of.max(1))
    }

    /// How many of `all` things that are dealt out in turn come to this process.
    pub fn dealt(self, all: u64) -> u64 {
        all / self.of() + u64::from(self.index() < all % self.of())
    }

    /// Place in the whole sequence of this process's arrival `number` of an open loop, from 0:
    /// arrival k comes to process k mod N.
    pub fn open(self, number: u64) -> u64 {
        self.index() + number * self.of()
    }

    /// Place in the whole sequence of this process's arrival `number` of a closed loop, from 0; the
    /// number itself where this process has no worker. Workers are dealt out in turn, and arrival k
    /// comes to worker k mod concurrency: so each process's part of the requests is that of the
    /// workers, and none runs out of them long before the others.
    pub fn closed(self, concurrency: u64, number: u64) -> u64 {
        match self.dealt(concurrency) {
            0 => number,
            workers => number / workers * concurrency + self.open(number % workers),
        }
    }

    /// How many of `all` requests of a closed loop come to this process.
    pub fn closed_requests(self, concurrency: u64, all: u64) -> u64 {
        match all.checked_div(concurrency) {
            None => 0,
            Some(rounds) => rounds * self.dealt(concurrency) + self.dealt(all % concurrency),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(of: u32) -> impl Iterator<Item = Share> {
        (0..of).map(move |index| Share { index, of })
    }

    proptest! {
        #[test]
        fn every_arrival_of_a_closed_loop_is_taken_once(of in 1_u32..9, concurrency in 1_u64..40, all in 0_u64..400) {
            let mut taken: Vec<u64> = shares(of)
                .flat_map(|share| {
                    let requests = share.closed_requests(concurrency, all);
                    (0..requests).map(move |number| share.closed(concurrency, number))
                })
                .collect();
            taken.sort_unstable();
            prop_assert_eq!(taken, (0..all).collect::<Vec<_>>());
            let workers: u64 = shares(of).map(|share| share.dealt(concurrency)).sum();
            prop_assert_eq!(workers, concurrency);
        }

        #[test]
        fn every_arrival_of_an_open_loop_is_taken_once(of in 1_u32..9, all in 0_u64..400) {
            let mut taken: Vec<u64> = shares(of)
                .flat_map(|share| (0..share.dealt(all)).map(move |number| share.open(number)))
                .collect();
            taken.sort_unstable();
            prop_assert_eq!(taken, (0..all).collect::<Vec<_>>());
        }
    }

    #[test]
    fn requests_are_split_as_the_workers_are() {
        let of = |index| Share { index, of: 4 };
        // Five workers over four processes: the first has two of them, and two fifths of the work.
        assert_eq!([0, 1, 2, 3].map(|index| of(index).dealt(5)), [2, 1, 1, 1]);
        let requests = [0, 1, 2, 3].map(|index| of(index).closed_requests(5, 100));
        assert_eq!(requests, [40, 20, 20, 20]);
        // Fewer workers than processes leave some idle.
        let requests = [0, 1, 2, 3].map(|index| of(index).closed_requests(2, 7));
        assert_eq!(requests, [4, 3, 0, 0]);
    }
}
