//! Waking when an arrival is due.

use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::{
    clock::{self, MILLISECOND},
    drive::timer::Timer,
};

/// A poll that is to end at a tick may sleep a millisecond longer, so the timer must know of what is
/// due within it.
#[test]
#[cfg(target_os = "linux")]
fn a_poll_does_not_sleep_over_what_is_due_just_after_a_tick() {
    let mut poll = Poll::new().unwrap();
    let mut timer = Timer::new(poll.registry(), Token(7)).unwrap();
    let now = clock::now();
    let tick = now + 10 * MILLISECOND;
    let due = tick + MILLISECOND / 2;
    let timeout = timer.timeout(now, Some(due), tick).unwrap();
    assert_eq!(timeout, Duration::from_nanos(tick - now));
    let mut events = Events::with_capacity(4);
    poll.poll(&mut events, Some(Duration::from_secs(10)))
        .unwrap();
    let woken: Vec<Token> = events.iter().map(|event| event.token()).collect();
    assert_eq!(woken, [Token(7)]);
    assert!(clock::now() >= due);
}
