//! What to do with a Lease. Pure.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::LeaseSpec,
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{Timestamp, Unit},
};

use super::LEASE_DURATION;

/// What to do with a Lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write this: the Lease is ours then.
    Write(LeaseSpec),
    /// Another holds it.
    Wait,
}

/// What an instance named `me` does with what it read. `unchanged_for` is how long it has seen the
/// Lease as it is now, by its own clock; `now` is only written down, for people.
pub fn decide(
    me: &str,
    lease: Option<&LeaseSpec>,
    unchanged_for: Duration,
    now: Timestamp,
) -> Step {
    let holder = lease
        .and_then(|lease| lease.holder_identity.as_deref())
        .filter(|holder| !holder.is_empty());
    let transitions = lease.and_then(|lease| lease.lease_transitions).unwrap_or(0);
    match (lease, holder) {
        (Some(lease), Some(holder)) if holder == me => Step::Write(LeaseSpec {
            acquire_time: lease.acquire_time.clone(),
            ..held(me, transitions, now)
        }),
        (Some(lease), Some(_)) if unchanged_for < duration(lease) => Step::Wait,
        // Ended, given back, or never held.
        (Some(_), _) => Step::Write(held(me, transitions.saturating_add(1), now)),
        (None, _) => Step::Write(held(me, 0, now)),
    }
}

/// The Lease as its holder leaves it: the next one need not wait.
pub fn released(lease: &LeaseSpec, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        renew_time: Some(stamp(now)),
        ..lease.clone()
    }
}

fn held(me: &str, transitions: i32, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        acquire_time: Some(stamp(now)),
        renew_time: Some(stamp(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

/// As long as the holder asked for; an hour at most, so that a strange Lease cannot lock all out.
fn duration(lease: &LeaseSpec) -> Duration {
    let seconds = lease
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(LEASE_DURATION.as_secs());
    Duration::from_secs(seconds.min(3600))
}

/// The API server takes microseconds and no more.
fn stamp(now: Timestamp) -> MicroTime {
    MicroTime(now.round(Unit::Microsecond).unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T08:00:00Z";

    fn lease(holder: &str, seconds: Option<i32>) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: seconds,
            lease_transitions: Some(4),
            acquire_time: Some(MicroTime("2026-11-22T07:00:00Z".parse().unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_and_not_before() {
        let now: Timestamp = NOW.parse().unwrap();
        for (name, lease, unchanged_for, transitions) in [
            ("there is none", None, 0, Some(0)),
            ("ours", Some(lease("a", Some(15))), 0, Some(4)),
            ("ours, long ago", Some(lease("a", Some(15))), 999, Some(4)),
            ("given back", Some(lease("", Some(1))), 0, Some(5)),
            ("never held", Some(LeaseSpec::default()), 0, Some(1)),
            ("another's, just seen", Some(lease("b", Some(15))), 0, None),
            (
                "another's, nearly over",
                Some(lease("b", Some(15))),
                14,
                None,
            ),
            ("another's, over", Some(lease("b", Some(15))), 15, Some(5)),
            ("by its own duration", Some(lease("b", Some(60))), 59, None),
            (
                "by its own duration, over",
                Some(lease("b", Some(60))),
                60,
                Some(5),
            ),
            ("without a duration", Some(lease("b", None)), 14, None),
            ("a negative duration", Some(lease("b", Some(-1))), 14, None),
            (
                "an endless duration",
                Some(lease("b", Some(i32::MAX))),
                3600,
                Some(5),
            ),
        ] {
            let step = decide("a", lease.as_ref(), Duration::from_secs(unchanged_for), now);
            let written = match &step {
                Step::Write(spec) => {
                    assert_eq!(spec.holder_identity.as_deref(), Some("a"), "{name}");
                    assert_eq!(spec.lease_duration_seconds, Some(15), "{name}");
                    assert_eq!(spec.renew_time, Some(MicroTime(now)), "{name}");
                    spec.lease_transitions
                }
                Step::Wait => None,
            };
            assert_eq!(written, transitions, "{name}");
        }
    }

    #[test]
    fn a_renewal_keeps_the_time_of_the_taking() {
        let ours = lease("a", Some(15));
        let Step::Write(renewed) = decide("a", Some(&ours), Duration::ZERO, NOW.parse().unwrap())
        else {
            panic!("not renewed");
        };
        assert_eq!(renewed.acquire_time, ours.acquire_time);
        let left = released(&renewed, NOW.parse().unwrap());
        assert_eq!(left.holder_identity.as_deref(), Some(""));
        assert_eq!(left.lease_transitions, Some(4));
    }
}
