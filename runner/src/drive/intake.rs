//! Which request comes next, and when.

use std::sync::atomic::{AtomicU64, Ordering};

use bakeoff_crds::plan::{LoadMode, StageEnd};

use super::{DriveError, StageInput};
use crate::{
    clock::{self, Nanos},
    workload::arrival,
};

/// Connections that an open loop keeps ready beside those in use, so that an arrival need not wait
/// for one.
const SPARE_CONNECTIONS: usize = 16;

/// The arrivals of a stage.
pub(super) enum Arrivals {
    /// So many requests are kept in flight.
    Closed {
        concurrency: usize,
        requests: Option<u64>,
        /// No request is begun after so long.
        until: Option<Nanos>,
    },
    /// Requests are due at these times, from the stage's start.
    Open { due: Vec<Nanos>, burst: bool },
}

/// One event loop's share of the arrivals.
pub(super) struct Intake<'a> {
    arrivals: &'a Arrivals,
    /// Place of the next arrival of an open loop; steps by the number of threads.
    next: usize,
    step: usize,
    /// Workers of a closed loop.
    pub(super) workers: usize,
}

/// What the intake has for the loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// This arrival now.
    Now { index: u64, due: Option<Nanos> },
    /// Nothing before this time.
    At(Nanos),
    /// Nothing until a request ends.
    WhenFree,
    /// Nothing any more.
    Never,
}

impl Arrivals {
    pub(super) fn of(stage: &StageInput) -> Result<Self, DriveError> {
        let load = &stage.load;
        match load.mode {
            LoadMode::Closed => {
                let concurrency = load
                    .concurrency
                    .filter(|&concurrency| concurrency > 0)
                    .ok_or_else(|| DriveError::Load("a closed loop needs a concurrency".into()))?;
                let (requests, until) = match stage.end {
                    StageEnd::Requests(requests) => (Some(requests), None),
                    StageEnd::Seconds(seconds) => (None, Some(clock::nanos(seconds))),
                };
                Ok(Self::Closed {
                    concurrency: concurrency as usize,
                    requests,
                    until,
                })
            }
            LoadMode::Open => {
                let due = arrival::due_times(load, stage.end, stage.seed)
                    .map_err(|error| DriveError::Load(error.to_string()))?;
                Ok(Self::Open {
                    due,
                    burst: load.rate.is_none(),
                })
            }
        }
    }

    /// Arrivals that the schedule holds, where it says.
    pub(super) fn intended(&self) -> Option<u64> {
        match self {
            Self::Closed { requests, .. } => *requests,
            Self::Open { due, .. } => Some(due.len() as u64),
        }
    }

    /// Most connections that can be known to be needed.
    pub(super) fn most_connections(&self) -> u64 {
        let connections = match self {
            Self::Closed { concurrency, .. } => *concurrency,
            Self::Open { due, burst: true } => due.len(),
            Self::Open { .. } => SPARE_CONNECTIONS,
        };
        connections as u64
    }

    /// The share of one of several event loops.
    pub(super) fn share(&self, thread: usize, threads: usize) -> Intake<'_> {
        let workers = match self {
            Self::Closed { concurrency, .. } => {
                concurrency / threads + usize::from(thread < concurrency % threads)
            }
            Self::Open { .. } => 0,
        };
        Intake {
            arrivals: self,
            next: thread,
            step: threads,
            workers,
        }
    }
}

impl Intake<'_> {
    /// Connections to have ready, beside those in use.
    pub(super) fn spare_connections(&self) -> usize {
        match self.arrivals {
            Arrivals::Closed { requests, .. } => {
                let most = requests.and_then(|requests| usize::try_from(requests).ok());
                self.workers.min(most.unwrap_or(usize::MAX))
            }
            Arrivals::Open { due, burst } => {
                let share = due.len().div_ceil(self.step);
                if *burst {
                    share
                } else {
                    share.min(SPARE_CONNECTIONS)
                }
            }
        }
    }

    /// Whether arrivals come by the clock.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.arrivals, Arrivals::Open { .. })
    }

    /// Whether spare connections are made up for during the stage.
    pub(super) fn keeps_spares(&self) -> bool {
        matches!(self.arrivals, Arrivals::Open { burst: false, .. })
    }

    /// The next arrival. `issued` counts the arrivals of a closed loop over all threads; `idle`
    /// tells whether a worker of a closed loop is free.
    pub(super) fn next(
        &mut self,
        start: Nanos,
        now: Nanos,
        idle: bool,
        issued: &AtomicU64,
    ) -> Next {
        match self.arrivals {
            Arrivals::Closed {
                requests, until, ..
            } => {
                if until.is_some_and(|until| now >= start + until)
                    || requests.is_some_and(|requests| issued.load(Ordering::Relaxed) >= requests)
                {
                    return Next::Never;
                }
                if !idle {
                    return Next::WhenFree;
                }
                let index = issued.fetch_add(1, Ordering::Relaxed);
                // Another thread may have taken the last one meanwhile.
                if requests.is_some_and(|requests| index >= requests) {
                    return Next::Never;
                }
                Next::Now { index, due: None }
            }
            Arrivals::Open { due, .. } => {
                let Some(&offset) = due.get(self.next) else {
                    return Next::Never;
                };
                let at = start + offset;
                if at > now {
                    return Next::At(at);
                }
                let index = self.next as u64;
                self.next += self.step;
                Next::Now {
                    index,
                    due: Some(at),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_every_arrival_once() {
        let arrivals = Arrivals::Open {
            due: vec![0, 10, 20, 30, 40],
            burst: false,
        };
        let issued = AtomicU64::new(0);
        let mut seen = Vec::new();
        for thread in 0..2 {
            let mut intake = arrivals.share(thread, 2);
            while let Next::Now { index, due } = intake.next(100, 1000, false, &issued) {
                seen.push((index, due));
            }
        }
        seen.sort_unstable();
        let expected: Vec<_> = (0..5)
            .map(|index| (index, Some(100 + 10 * index)))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn an_arrival_is_never_early() {
        let arrivals = Arrivals::Open {
            due: vec![50],
            burst: false,
        };
        let mut intake = arrivals.share(0, 1);
        let issued = AtomicU64::new(0);
        assert_eq!(intake.next(100, 149, true, &issued), Next::At(150));
        assert_eq!(
            intake.next(100, 150, true, &issued),
            Next::Now {
                index: 0,
                due: Some(150)
            }
        );
        assert_eq!(intake.next(100, 151, true, &issued), Next::Never);
    }

    #[test]
    fn a_closed_loop_ends_by_requests_or_by_time() {
        let issued = AtomicU64::new(0);
        let by_count = Arrivals::Closed {
            concurrency: 3,
            requests: Some(2),
            until: None,
        };
        let workers: Vec<_> = (0..2)
            .map(|thread| by_count.share(thread, 2).workers)
            .collect();
        assert_eq!(workers, [2, 1]);
        let mut intake = by_count.share(0, 2);
        assert_eq!(intake.next(0, 0, false, &issued), Next::WhenFree);
        assert_eq!(
            intake.next(0, 0, true, &issued),
            Next::Now {
                index: 0,
                due: None
            }
        );
        assert_eq!(
            intake.next(0, 0, true, &issued),
            Next::Now {
                index: 1,
                due: None
            }
        );
        assert_eq!(intake.next(0, 0, true, &issued), Next::Never);

        let issued = AtomicU64::new(0);
        let by_time = Arrivals::Closed {
            concurrency: 1,
            requests: None,
            until: Some(50),
        };
        let mut intake = by_time.share(0, 1);
        assert_eq!(
            intake.next(100, 149, true, &issued),
            Next::Now {
                index: 0,
                due: None
            }
        );
        assert_eq!(intake.next(100, 150, true, &issued), Next::Never);
    }
}
