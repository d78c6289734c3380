//! The event loop of one thread: its connections, from readiness to records.
//!
//! A round reads and stamps every socket that has something, then parses what was read, then sends
//! what is due. So no stamp waits for the parsing of another stream's frames.

mod conversations;
mod requests;
mod sockets;

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind},
    sync::{Barrier, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use mio::{Events, Poll, Token};
use rustls::pki_types::ServerName;

use super::{
    Control, Cut, DriveError, Dropped, Gate, SpooledText, StageInput,
    exchange::failure,
    intake::Intake,
    pool::Pool,
    thinking::Thinking,
    timer::Timer,
    vitals::{LoopVitals, ThreadTimes},
};
use crate::{
    clock::{self, MILLISECOND, Nanos, SECOND},
    record::{FailureKind, Record},
    stats::Gaps,
};

const TIMER: Token = Token(usize::MAX);
/// The loop comes round at least this often; how late it is tells of stalls.
const TICK: Nanos = 10 * MILLISECOND;
/// Most sockets handled in one round.
const EVENTS: usize = 1024;
/// Room for what one round reads, and for one read.
const ARENA: usize = 1 << 20;
const READ: usize = 64 << 10;
/// Most reads of one connection in one round.
const READS_AT_ONCE: usize = ARENA / READ;
/// Most requests begun in one round, so that answers are read in between.
const BEGIN_AT_ONCE: usize = 32;
/// Sockets or answers looked at between two looks at the schedule of an open loop.
const LOOK_EVERY: usize = 16;
/// Most connections opened at the same time before the schedule begins: less than the shortest
/// usual accept queue.
const OPEN_AT_ONCE: usize = 100;
/// Ticks over which connections that lay idle for too long are renewed: those that were opened
/// together grow old together, and hundreds opened anew at once would keep answers waiting.
const RENEW_OVER: usize = 100;
/// Longest time for opening connections before the schedule begins.
const OPEN_WITHIN: Nanos = 10 * SECOND;
/// How long a worker of a closed loop rests after it got no connection: a server that is down is not
/// flooded, and a stage of a fixed number of requests does not burn them all at once.
const REST_AFTER_REFUSAL: Nanos = 100 * MILLISECOND;

/// What the event loops of a stage have in common.
pub(super) struct Shared {
    ready: Barrier,
    gate: Option<Gate>,
    start: OnceLock<Option<Nanos>>,
    issued: AtomicU64,
}

impl Shared {
    pub(super) fn new(ready: Barrier, gate: Option<Gate>) -> Self {
        Self {
            ready,
            gate,
            start: OnceLock::new(),
            issued: AtomicU64::new(0),
        }
    }

    /// When the schedule begins; the same for all loops. `None` where it does not.
    pub(super) fn start(&self) -> Option<Nanos> {
        *self.start.get_or_init(|| match &self.gate {
            Some(gate) => gate(),
            None => Some(clock::now()),
        })
    }
}

/// What one event loop gave.
pub(super) struct Part {
    pub(super) records: Vec<Record>,
    pub(super) gaps: Gaps,
    pub(super) vitals: LoopVitals,
    pub(super) text: Option<SpooledText>,
    pub(super) cut: Option<Cut>,
    pub(super) dropped: Dropped,
}

struct Reactor<'a> {
    stage: &'a StageInput,
    control: &'a Control,
    shared: &'a Shared,
    intake: Intake<'a>,
    tls_name: Option<ServerName<'static>>,
    poll: Poll,
    timer: Timer,
    pool: Pool,
    arena: Vec<u8>,
    filled: usize,
    readings: Vec<sockets::Reading>,
    /// Connections that had more to read than a round takes.
    unread: Vec<sockets::Unread>,
    plain: Vec<u8>,
    deadlines: VecDeque<(Nanos, usize, u64)>,
    resting: VecDeque<Nanos>,
    thinking: Thinking,
    free_workers: usize,
    in_flight: usize,
    exhausted: bool,
    /// When the schedule began; none before.
    start: Option<Nanos>,
    part: Part,
}

/// Drives one thread's share of a stage.
pub(super) fn run(
    stage: &StageInput,
    control: &Control,
    shared: &Shared,
    intake: Intake<'_>,
    spool: Option<File>,
) -> Result<Part, DriveError> {
    let reactor = Reactor::new(stage, control, shared, intake, spool).and_then(|mut reactor| {
        reactor.open_connections()?;
        Ok(reactor)
    });
    // Also where this loop cannot run: the others wait for it.
    shared.ready.wait();
    reactor?.drive()
}

impl<'a> Reactor<'a> {
    fn new(
        stage: &'a StageInput,
        control: &'a Control,
        shared: &'a Shared,
        intake: Intake<'a>,
        spool: Option<File>,
    ) -> Result<Self, DriveError> {
        let tls_name = match &stage.target.tls_name {
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|_| DriveError::TlsName(name.clone()))?,
            ),
            None => None,
        };
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        Ok(Self {
            stage,
            control,
            shared,
            free_workers: intake.workers,
            intake,
            tls_name,
            poll,
            timer,
            pool: Pool::default(),
            arena: vec![0; ARENA],
            filled: 0,
            readings: Vec::with_capacity(EVENTS),
            unread: Vec::new(),
            plain: Vec::new(),
            deadlines: VecDeque::new(),
            resting: VecDeque::new(),
            thinking: Thinking::default(),
            in_flight: 0,
            exhausted: false,
            start: None,
            part: Part {
                records: Vec::new(),
                gaps: Gaps::new(),
                vitals: LoopVitals::default(),
                text: spool.map(SpooledText::new),
                cut: None,
                dropped: Dropped::default(),
            },
        })
    }

    /// Opens the connections that the stage begins with. One that fails is left out here: the
    /// request that needs it will say so.
    fn open_connections(&mut self) -> Result<(), DriveError> {
        let mut missing = self.intake.spare_connections;
        let give_up = clock::now() + OPEN_WITHIN;
        let mut events = Events::with_capacity(EVENTS);
        while (missing > 0 || self.pool.opening > 0)
            && clock::now() < give_up
            && !self.control.is_cancelled()
        {
            while missing > 0 && self.pool.opening < OPEN_AT_ONCE {
                missing -= 1;
                if self.open_spare().is_err() {
                    missing = 0;
                }
            }
            if self.pool.opening > 0 {
                self.wait(&mut events, Duration::from_nanos(TICK))?;
                self.handle(&events);
            }
        }
        Ok(())
    }

    fn drive(mut self) -> Result<Part, DriveError> {
        let start = self.shared.start().ok_or(DriveError::NotBegun)?;
        self.start = Some(start);
        self.part.vitals.late_start = clock::now().saturating_sub(start);
        let times = ThreadTimes::begin(clock::now());
        let mut events = Events::with_capacity(EVENTS);
        let mut tick = clock::now() + TICK;
        loop {
            let round = clock::now();
            self.look_for_cut(start, round);
            if self.part.cut.is_some() {
                break;
            }
            self.expire(round);
            let wake = self.begin_due(start);
            if self.exhausted && self.in_flight == 0 && self.thinking.is_empty() {
                break;
            }
            let now = clock::now();
            self.stalled_for(now - round);
            let coarse = [
                Some(tick),
                self.deadlines.front().map(|&(at, ..)| at),
                self.resting.front().copied(),
            ]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(tick);
            let timeout = self.timer.timeout(now, wake, coarse)?;
            self.wait(&mut events, timeout)?;
            let woken = clock::now();
            self.handle(&events);
            if woken >= tick {
                self.stalled_for(woken - tick);
                // A poll sleeps whole milliseconds: that much of its delay was asked for.
                let asked = now + clock::span(timeout).next_multiple_of(MILLISECOND);
                let late = woken.saturating_sub(tick.max(asked));
                self.part.vitals.late(late, TICK);
                tick = woken + TICK;
                self.renew_spares();
            }
            self.stalled_for(clock::now() - woken);
        }
        times.end(clock::now(), &mut self.part.vitals);
        // One that had nothing to send ran for microseconds, and was busy for all of them.
        if self.part.records.is_empty() {
            self.part.vitals.busiest_share = 0.0;
        }
        self.part.vitals.most_connections = self.pool.most() as u64;
        Ok(self.part)
    }

    fn stalled_for(&mut self, time: Nanos) {
        let longest = &mut self.part.vitals.longest_stall;
        *longest = (*longest).max(time);
    }

    fn wait(&mut self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        let timeout = if self.unread.is_empty() {
            timeout
        } else {
            Duration::ZERO
        };
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// Ends everything where the client was told to stop or the stage took too long.
    fn look_for_cut(&mut self, start: Nanos, now: Nanos) {
        let late = self
            .stage
            .deadline
            .is_some_and(|deadline| now > start.saturating_add(deadline));
        let (cut, message) = if self.control.is_cancelled() {
            (Cut::Cancelled, "the client was told to stop")
        } else if late {
            (Cut::Deadline, "the stage's deadline passed")
        } else {
            return;
        };
        self.part.cut = Some(cut);
        for slot in self.pool.busy() {
            self.end(slot, failure(FailureKind::Cancelled, message), false, now);
        }
        while let Some(waiting) = self.thinking.take() {
            self.part.dropped.not_sent += self.turns_from(waiting.arrival, waiting.turn);
        }
    }

    /// Fails the requests whose time is up. One timeout holds for all, so they fall due in the order
    /// in which they were begun.
    fn expire(&mut self, now: Nanos) {
        while let Some(&(at, slot, index)) = self.deadlines.front() {
            let exchange = self
                .pool
                .get(slot)
                .and_then(|connection| connection.exchange.as_ref())
                .filter(|exchange| exchange.record.index == index);
            if let Some(exchange) = exchange {
                if at > now {
                    return;
                }
                let outcome = exchange.late(self.stage.request_timeout);
                self.end(slot, outcome, false, now);
            }
            self.deadlines.pop_front();
        }
    }
}
