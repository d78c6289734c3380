//! A timer that is exact to microseconds, where the system has one: a poll's own timeout counts
//! whole milliseconds.

use std::{io, time::Duration};

use mio::{Registry, Token};

use crate::clock::{MILLISECOND, Nanos};

#[cfg(target_os = "linux")]
mod system {
    use std::{
        io,
        os::fd::{AsRawFd, OwnedFd},
    };

    use mio::{Interest, Registry, Token, unix::SourceFd};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use crate::clock::{Nanos, SECOND};

    /// A timerfd (timerfd_create(2)) registered with the poll.
    pub(super) struct Timer(OwnedFd);

    impl Timer {
        pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            // Let the kernel wake this thread when asked, not up to 50 µs later.
            let slack = std::num::NonZeroU64::new(1);
            rustix::thread::set_current_timer_slack(slack)?;
            let timer = timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Arming anew also takes back an expiry that nobody read.
        pub(super) fn arm(&self, delay: Nanos) -> io::Result<bool> {
            let delay = delay.max(1);
            let value = Timespec {
                tv_sec: (delay / SECOND).cast_signed(),
                tv_nsec: (delay % SECOND).cast_signed(),
            };
            let once = Itimerspec {
                it_interval: Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: value,
            };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
            Ok(true)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    use mio::{Registry, Token};

    use crate::clock::Nanos;

    pub(super) struct Timer;

    impl Timer {
        pub(super) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn arm(&self, _: Nanos) -> io::Result<bool> {
            Ok(false)
        }
    }
}

/// Wakes a poll at a time.
pub(super) struct Timer {
    timer: system::Timer,
    armed_for: Nanos,
}

impl Timer {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self {
            timer: system::Timer::new(registry, token)?,
            armed_for: 0,
        })
    }

    /// The timeout to poll with, so that the poll ends at `at` or at `coarse` (to the millisecond),
    /// whichever is first. A poll rounds its timeout up to a whole millisecond, so it may sleep that
    /// much past `coarse`, and `at` may lie there.
    pub(super) fn timeout(
        &mut self,
        now: Nanos,
        at: Option<Nanos>,
        coarse: Nanos,
    ) -> io::Result<Duration> {
        let coarse_wait = Duration::from_nanos(coarse.saturating_sub(now));
        let Some(at) = at.filter(|&at| at < coarse + MILLISECOND) else {
            return Ok(coarse_wait);
        };
        if at <= now {
            return Ok(Duration::ZERO);
        }
        if self.armed_for == at || self.timer.arm(at - now)? {
            self.armed_for = at;
            return Ok(coarse_wait);
        }
        // Without such a timer: whole milliseconds asleep, the rest awake.
        Ok(coarse_wait.min(Duration::from_millis((at - now) / MILLISECOND)))
    }
}
