//! The only place that reads time: monotonic for intervals, one wall-clock anchor per process.

use std::{
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;

/// Monotonic nanoseconds since the process first asked for the time.
pub type Nanos = u64;

/// One second in [`Nanos`].
pub const SECOND: Nanos = 1_000_000_000;
/// One millisecond in [`Nanos`].
pub const MILLISECOND: Nanos = 1_000_000;

struct Anchor {
    monotonic: Instant,
    /// Nanoseconds since the Unix epoch at `monotonic`.
    wall: i128,
}

/// Both clocks read side by side, once: wall times of one process never jump, whatever the system's
/// clock does meanwhile.
#[allow(clippy::disallowed_methods)]
fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| Anchor {
        monotonic: Instant::now(),
        wall: match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        },
    })
}

/// The monotonic time.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Nanos {
    let anchor = anchor();
    // 2^64 ns are 584 years.
    u64::try_from(Instant::now().duration_since(anchor.monotonic).as_nanos()).unwrap_or(u64::MAX)
}

/// The wall time of a monotonic time, by the process's one anchor.
pub fn wall(at: Nanos) -> Timestamp {
    Timestamp::from_nanosecond(anchor().wall + i128::from(at)).unwrap_or(Timestamp::MAX)
}

/// The wall time.
pub fn wall_now() -> Timestamp {
    wall(now())
}

/// By how many nanoseconds the system's wall clock is ahead of [`wall_now`]: what it was set by since
/// the process first asked for the time. Both are read one after the other, so that a pause in
/// between shows too.
#[allow(clippy::disallowed_methods)]
pub fn wall_clock_ahead() -> i64 {
    let system = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    };
    let ours = anchor().wall + i128::from(now());
    i64::try_from(system - ours).unwrap_or(i64::MAX)
}

/// Nanoseconds as seconds.
pub fn seconds(nanos: Nanos) -> f64 {
    // Exact up to 2^53 ns, which are 104 days.
    nanos as f64 / 1e9
}

/// Seconds as nanoseconds; 0 for what is negative, the greatest for what is too large.
pub fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9).round() as Nanos
}

/// A span of the standard library as nanoseconds.
pub fn span(duration: std::time::Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_wall_times_follow_it() {
        let (first, second) = (now(), now());
        assert!(second >= first);
        let gap = wall(second + SECOND).duration_since(wall(second));
        assert_eq!(gap.as_nanos(), i128::from(SECOND));
    }

    #[test]
    fn seconds_and_nanoseconds_turn_into_each_other() {
        for (in_seconds, in_nanos) in [(0.0, 0), (1.5, 1_500_000_000), (1e-9, 1), (-1.0, 0)] {
            assert_eq!(nanos(in_seconds), in_nanos, "{in_seconds}");
        }
        assert_eq!(seconds(2_500_000_000), 2.5);
    }
}
