//! Growing pauses between retries, for each run on its own.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row, by key.
#[derive(Debug)]
pub struct Backoff<K>(Mutex<HashMap<K, u32>>);

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Counts a failure and gives the pause before the next try: 1 s, doubled each time, 5 min at
    /// most.
    pub fn failed(&self, key: K) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key).or_insert(0);
        let pause = FIRST.saturating_mul(1_u32.checked_shl(*count).unwrap_or(u32::MAX));
        *count = count.saturating_add(1);
        pause.min(LONGEST)
    }

    /// Forgets the failures.
    pub fn succeeded(&self, key: &K) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_start_anew_after_a_success() {
        let backoff = Backoff::default();
        let pauses: Vec<u64> = (0..10).map(|_| backoff.failed("a").as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(backoff.failed("b").as_secs(), 1, "others are not held up");
        backoff.succeeded(&"a");
        assert_eq!(backoff.failed("a").as_secs(), 1);
        for _ in 0..100 {
            assert!(backoff.failed("a") <= LONGEST);
        }
    }
}
