//! The requests of an event loop: begun when they are due, and ended.

use std::sync::Arc;

use super::{BEGIN_AT_ONCE, LOOK_EVERY, RENEW_OVER, REST_AFTER_REFUSAL, Reactor};
use crate::{
    clock::{self, Nanos},
    drive::{
        exchange::{Exchange, failure},
        intake::Next,
        thinking::Composed,
    },
    record::{FailureKind, Outcome, Record},
};

impl Reactor<'_> {
    /// Begins what is due, and returns when the next arrival is.
    pub(super) fn begin_due(&mut self, start: Nanos) -> Option<Nanos> {
        for _ in 0..BEGIN_AT_ONCE {
            let now = clock::now();
            while self.resting.front().is_some_and(|&until| until <= now) {
                self.resting.pop_front();
                self.free_workers += 1;
            }
            if let Some(waiting) = self.thinking.take_due(now) {
                let due = Some(waiting.due);
                self.begin(waiting.arrival, waiting.turn, waiting.composed, due, now);
                continue;
            }
            let turn = self.thinking.next_due();
            let idle = self.free_workers > 0;
            match self.intake.next(start, now, idle, &self.shared.issued) {
                Next::Now { index, due } => {
                    self.free_workers = self.free_workers.saturating_sub(1);
                    self.begin(index, 0, None, due, now);
                }
                Next::At(at) => return Some(turn.map_or(at, |turn| turn.min(at))),
                Next::WhenFree => return turn,
                Next::Never => {
                    self.exhausted = true;
                    return turn;
                }
            }
        }
        // There may be more; a look at the sockets comes first.
        Some(0)
    }

    /// Begins what has fallen due while sockets were looked at: with hundreds of answers under way a
    /// round takes longer than an arrival may wait.
    pub(super) fn begin_between(&mut self, looked_at: usize) {
        let by_the_clock = (self.intake.is_open() && !self.exhausted) || !self.thinking.is_empty();
        if looked_at.is_multiple_of(LOOK_EVERY)
            && by_the_clock
            && let Some(start) = self.start
        {
            self.begin_due(start);
        }
    }

    /// Begins a turn of an arrival; the first, 0, is the only one of most.
    fn begin(
        &mut self,
        arrival: u64,
        turn: u32,
        composed: Option<Composed>,
        due: Option<Nanos>,
        now: Nanos,
    ) {
        let stage = self.stage;
        let place = stage.first_request + arrival;
        let name = stage.script.name(place);
        let Some(said) = stage.script.turns(place).get(turn as usize) else {
            return;
        };
        let (request, history) = match composed {
            Some(Composed { request, history }) => (request, history),
            None => match said.requests.get(usize::from(name)) {
                Some(request) => (Arc::clone(request), Vec::new()),
                None => return,
            },
        };
        let index = stage.script.index(arrival, turn);
        self.in_flight += 1;
        let mut record = Record::new(index, said.prompt, due, now);
        (record.arrival, record.name) = (arrival, name);
        record.turn = stage.script.has_conversations().then_some(turn);
        record.answers = stage.answers();
        let mut exchange = Box::new(Exchange::new(
            record,
            request,
            stage.codec.decoder(said.echo.clone()),
            stage.answers() as usize,
            stage.keep_text || stage.script.composer().is_some(),
        ));
        exchange.history = history;
        let slot = match self.pool.take_idle() {
            Some(slot) => slot,
            None => match self.open() {
                Ok(slot) => slot,
                Err(error) => {
                    exchange.record.end = now;
                    let outcome = failure(FailureKind::Connect, &format!("no connection: {error}"));
                    self.complete(*exchange, outcome, now);
                    return;
                }
            },
        };
        self.deadlines
            .push_back((now.saturating_add(stage.request_timeout), slot, index));
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        connection.exchange = Some(exchange);
        if connection.stream.is_ready() {
            self.send(slot);
        }
        if self.intake.keeps_spares()
            && self.pool.idle() + self.pool.opening < self.intake.spare_connections
        {
            // A failure shows with the first request that finds no connection.
            let _ = self.open_spare();
        }
    }

    pub(super) fn complete(&mut self, exchange: Exchange, outcome: Outcome, stamp: Nanos) {
        let Exchange {
            mut record,
            texts,
            history,
            ..
        } = exchange;
        record.end = stamp.max(record.started);
        record.outcome = outcome;
        self.in_flight -= 1;
        self.part.vitals.chunks += u64::from(record.chunks);
        self.control.request_done(record.chunks);
        let said = texts.as_ref().and_then(|texts| texts.first());
        if self.goes_on(&record, said, history) {
            // Its worker waits with it.
        } else if matches!(record.outcome, Outcome::Failed(FailureKind::Connect, _)) {
            self.resting.push_back(stamp + REST_AFTER_REFUSAL);
        } else {
            self.free_workers += 1;
        }
        if let (Some(spool), Some(texts), true) = (&mut self.part.text, texts, record.succeeded())
            && let Err(error) = texts
                .iter()
                .try_for_each(|text| spool.push(record.index, text))
        {
            tracing::warn!(%error, "no room for the answers' text; tokens are not counted by tokenizer");
            self.part.text = None;
        }
        self.part.records.push(record);
    }

    /// Gives up some of the connections that have been idle for too long, and opens some of the
    /// spares that are missing.
    pub(super) fn renew_spares(&mut self) {
        let most = 1 + self.pool.idle().max(self.intake.spare_connections) / RENEW_OVER;
        for slot in self.pool.expire_idle(clock::now(), most) {
            self.pool.remove(slot);
            self.begin_between(0);
        }
        if !self.intake.keeps_spares() || self.exhausted {
            return;
        }
        for _ in 0..most {
            let enough = self.pool.idle() + self.pool.opening >= self.intake.spare_connections;
            if enough || self.open_spare().is_err() {
                return;
            }
            self.begin_between(0);
        }
    }
}
