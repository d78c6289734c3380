//! Which request comes next, and when.

use std::sync::atomic::{AtomicU64, Ordering};

use bakeoff_crds::plan::{LoadMode, StageEnd};

use super::{DriveError, Share, StageInput};
use crate::{
    clock::{self, MILLISECOND, Nanos},
    workload::arrival,
};

/// Connections that an open loop keeps ready beside those in use, so that an arrival need not wait
/// for one: these, and as many as the schedule may ask for within [`SPARES_LAST`].
const SPARE_CONNECTIONS: usize = 16;
/// How long the spare connections last where every arrival takes one: longer than it takes until a
/// new one is ready, with thousands of answers to be read meanwhile.
const SPARES_LAST: Nanos = 100 * MILLISECOND;
/// Most connections that are kept ready.
const MOST_SPARE_CONNECTIONS: usize = 1024;

/// The arrivals of a stage: those of the whole, and which of them come to this process.
pub(super) struct Arrivals {
    pub(super) kind: Kind,
    pub(super) share: Share,
}

/// How arrivals come.
pub(super) enum Kind {
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
    /// Number, among this process's arrivals, of the next one of an open loop; steps by the number
    /// of threads.
    next: usize,
    step: usize,
    /// Workers of a closed loop.
    pub(super) workers: usize,
    /// Connections to have ready, beside those in use.
    pub(super) spare_connections: usize,
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
        let kind = match load.mode {
            LoadMode::Closed => {
                let concurrency = load
                    .concurrency
                    .filter(|&concurrency| concurrency > 0)
                    .ok_or_else(|| DriveError::Load("a closed loop needs a concurrency".into()))?;
                let (requests, until) = match stage.end {
                    StageEnd::Requests(requests) => (Some(requests), None),
                    StageEnd::Seconds(seconds) => (None, Some(clock::nanos(seconds))),
                    StageEnd::Trace => {
                        let message = "a closed loop does not end with a trace";
                        return Err(DriveError::Load(message.into()));
                    }
                };
                Kind::Closed {
                    concurrency: concurrency as usize,
                    requests,
                    until,
                }
            }
            LoadMode::Open => {
                let due = match load.replay_speed {
                    Some(speed) => arrival::replayed(&stage.trace, speed),
                    None => arrival::due_times(load, stage.end, stage.seed),
                }
                .map_err(|error| DriveError::Load(error.to_string()))?;
                Kind::Open {
                    due,
                    burst: load.is_burst(),
                }
            }
        };
        let share = stage.share;
        Ok(Self { kind, share })
    }

    /// Arrivals that the schedule holds for this process, where it says.
    pub(super) fn intended(&self) -> Option<u64> {
        match &self.kind {
            Kind::Closed {
                concurrency,
                requests,
                ..
            } => {
                let whole = (*requests)?;
                Some(self.share.closed_requests(*concurrency as u64, whole))
            }
            Kind::Open { due, .. } => Some(self.share.dealt(due.len() as u64)),
        }
    }

    /// The arrival of a number among those of this process.
    pub(super) fn arrival(&self, number: u64) -> u64 {
        match &self.kind {
            Kind::Closed { concurrency, .. } => self.share.closed(*concurrency as u64, number),
            Kind::Open { .. } => self.share.open(number),
        }
    }

    /// Arrivals that the schedule holds for all processes, where it says.
    pub(super) fn intended_of_all(&self) -> Option<u64> {
        match &self.kind {
            Kind::Closed { requests, .. } => *requests,
            Kind::Open { due, .. } => Some(due.len() as u64),
        }
    }

    /// Requests that this process keeps in flight in a closed loop.
    fn workers(&self) -> usize {
        match &self.kind {
            Kind::Closed { concurrency, .. } => self.share.dealt(*concurrency as u64) as usize,
            Kind::Open { .. } => 0,
        }
    }

    /// Most connections that can be known to be needed.
    pub(super) fn most_connections(&self) -> u64 {
        match &self.kind {
            Kind::Closed { .. } => self.workers() as u64,
            Kind::Open { due, burst: true } => self.share.dealt(due.len() as u64),
            Kind::Open { .. } => self.spare_connections(1, 0) as u64,
        }
    }

    /// Connections that one of several event loops has ready, beside those in use.
    fn spare_connections(&self, threads: usize, workers: usize) -> usize {
        let intended = self.intended();
        let intended = intended.and_then(|intended| usize::try_from(intended).ok());
        let intended = intended.unwrap_or(usize::MAX);
        match &self.kind {
            Kind::Closed { .. } => workers.min(intended),
            Kind::Open { burst: true, .. } => intended.div_ceil(threads),
            Kind::Open { due, .. } => {
                let peak = self.share.dealt(most_within(due, SPARES_LAST) as u64) as usize;
                (SPARE_CONNECTIONS + peak.div_ceil(threads))
                    .min(MOST_SPARE_CONNECTIONS)
                    .min(intended.div_ceil(threads))
            }
        }
    }

    /// The share of one of several event loops.
    pub(super) fn share(&self, thread: usize, threads: usize) -> Intake<'_> {
        let all = self.workers();
        let workers = all / threads + usize::from(thread < all % threads);
        Intake {
            arrivals: self,
            next: thread,
            step: threads,
            workers,
            spare_connections: self.spare_connections(threads, workers),
        }
    }
}

/// Most of the sorted times that lie within one span.
fn most_within(times: &[Nanos], span: Nanos) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, &at) in times.iter().enumerate() {
        while times.get(first).is_some_and(|&time| time + span < at) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

impl Intake<'_> {
    /// Whether arrivals come by the clock.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.arrivals.kind, Kind::Open { .. })
    }

    /// Whether spare connections are made up for during the stage.
    pub(super) fn keeps_spares(&self) -> bool {
        matches!(self.arrivals.kind, Kind::Open { burst: false, .. })
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
        let share = self.arrivals.share;
        match &self.arrivals.kind {
            Kind::Closed {
                concurrency, until, ..
            } => {
                let intended = self.arrivals.intended();
                if until.is_some_and(|until| now >= start + until)
                    || intended.is_some_and(|intended| issued.load(Ordering::Relaxed) >= intended)
                    || self.arrivals.workers() == 0
                {
                    return Next::Never;
                }
                // Where processes begin together, the time was set a little ahead.
                if now < start {
                    return Next::At(start);
                }
                if !idle {
                    return Next::WhenFree;
                }
                let number = issued.fetch_add(1, Ordering::Relaxed);
                // Another thread may have taken the last one meanwhile.
                if intended.is_some_and(|intended| number >= intended) {
                    return Next::Never;
                }
                let index = share.closed(*concurrency as u64, number);
                Next::Now { index, due: None }
            }
            Kind::Open { due, .. } => {
                let index = share.open(self.next as u64);
                let offset = usize::try_from(index).ok().and_then(|at| due.get(at));
                let Some(&offset) = offset else {
                    return Next::Never;
                };
                let at = start + offset;
                if at > now {
                    return Next::At(at);
                }
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
    use proptest::prelude::*;

    use super::*;

    fn open(due: Vec<Nanos>, share: Share) -> Arrivals {
        let kind = Kind::Open { due, burst: false };
        Arrivals { kind, share }
    }

    fn closed(
        concurrency: usize,
        requests: Option<u64>,
        until: Option<Nanos>,
        share: Share,
    ) -> Arrivals {
        let kind = Kind::Closed {
            concurrency,
            requests,
            until,
        };
        Arrivals { kind, share }
    }

    /// Everything that the threads of one process take up, each of whose workers is never idle.
    fn taken(arrivals: &Arrivals, threads: usize) -> Vec<(u64, Option<Nanos>)> {
        let issued = AtomicU64::new(0);
        let mut seen = Vec::new();
        for thread in 0..threads {
            let mut intake = arrivals.share(thread, threads);
            while let Next::Now { index, due } =
                intake.next(100, 1_000_000, intake.workers > 0, &issued)
            {
                seen.push((index, due));
            }
        }
        seen
    }

    #[test]
    fn threads_share_every_arrival_once() {
        let mut seen = taken(&open(vec![0, 10, 20, 30, 40], Share::WHOLE), 2);
        seen.sort_unstable();
        let expected: Vec<_> = (0..5)
            .map(|index| (index, Some(100 + 10 * index)))
            .collect();
        assert_eq!(seen, expected);
    }

    proptest! {
        /// The union over processes and threads is the sequence of one process with one thread:
        /// the same places, hence the same prompts, at the same due times.
        #[test]
        fn processes_share_every_arrival_once(
            of in 1_u32..9,
            threads in 1_usize..4,
            concurrency in 1_usize..20,
            requests in 0_u64..100,
            is_open: bool,
        ) {
            let arrivals = |share| match is_open {
                true => open((0..requests).map(|number| number * 7).collect(), share),
                false => closed(concurrency, Some(requests), None, share),
            };
            let mut union = Vec::new();
            let mut intended = 0;
            for index in 0..of {
                let own = arrivals(Share { index, of });
                let seen = taken(&own, threads);
                prop_assert_eq!(Some(seen.len() as u64), own.intended());
                intended += seen.len() as u64;
                union.extend(seen);
            }
            union.sort_unstable();
            prop_assert_eq!(intended, requests);
            prop_assert_eq!(union, taken(&arrivals(Share::WHOLE), 1));
        }
    }

    #[test]
    fn spare_connections_follow_the_densest_part_of_the_schedule() {
        let millisecond = |at: u64| at * MILLISECOND;
        let slow: Vec<Nanos> = (0..100).map(|number| millisecond(number * 200)).collect();
        let mut spike = slow.clone();
        spike.extend((0..200).map(|number| millisecond(5000) + number));
        spike.sort_unstable();
        let endless: Vec<Nanos> = (0..100_000).collect();
        for (due, threads, expected) in [
            (&slow, 1, SPARE_CONNECTIONS + 1),
            (&spike, 1, SPARE_CONNECTIONS + 201),
            (&spike, 2, SPARE_CONNECTIONS + 101),
            (&endless, 1, MOST_SPARE_CONNECTIONS),
            // Never more than there are arrivals.
            (&slow[..3].to_vec(), 1, 3),
        ] {
            let arrivals = open(due.clone(), Share::WHOLE);
            assert_eq!(arrivals.share(0, threads).spare_connections, expected);
        }
        let part = open(spike, Share { index: 0, of: 4 });
        assert_eq!(part.share(0, 1).spare_connections, SPARE_CONNECTIONS + 51);
    }

    #[test]
    fn an_arrival_is_never_early() {
        let arrivals = open(vec![50], Share::WHOLE);
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
        let arrivals = closed(1, None, Some(50), Share::WHOLE);
        assert_eq!(
            arrivals.share(0, 1).next(100, 99, true, &issued),
            Next::At(100)
        );
    }

    #[test]
    fn a_closed_loop_ends_by_requests_or_by_time() {
        let issued = AtomicU64::new(0);
        let by_count = closed(3, Some(2), None, Share::WHOLE);
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
        let by_time = closed(1, None, Some(50), Share::WHOLE);
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

    #[test]
    fn a_process_without_a_worker_has_nothing_to_do() {
        let issued = AtomicU64::new(0);
        let idle = closed(2, None, Some(50), Share { index: 2, of: 3 });
        assert_eq!(idle.share(0, 1).next(0, 1, true, &issued), Next::Never);
    }
}
