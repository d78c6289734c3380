//! The sockets of an event loop: opened, written, read and stamped, closed.

use std::io::{self, ErrorKind};

use mio::{Events, Interest, Token, event::Event};

use super::{ARENA, READ, READS_AT_ONCE, Reactor, TIMER};
use crate::{
    clock::{self, Nanos},
    drive::exchange::{Exchange, Step, failure},
    record::{FailureKind, Outcome},
    stats::Gaps,
    wire::{http2::client::Client as Http2, stream::Stream},
};

/// Something that was read, to be looked at later.
pub(super) struct Reading {
    slot: usize,
    generation: u64,
    stamp: Nanos,
    what: What,
}

/// A connection of which a round took as much as it takes of one.
pub(super) struct Unread {
    slot: usize,
    generation: u64,
    ending: bool,
}

enum What {
    Bytes { begin: usize, end: usize },
    End(Option<io::Error>),
}

impl Reactor<'_> {
    /// Begins to open a connection that no request waits for.
    pub(super) fn open_spare(&mut self) -> io::Result<()> {
        self.open()?;
        self.pool.opening += 1;
        Ok(())
    }

    pub(super) fn open(&mut self) -> io::Result<usize> {
        let tls = self.stage.tls.as_ref().zip(self.tls_name.as_ref());
        let stream = Stream::connect(self.stage.target.address, tls).inspect_err(|error| {
            self.part.vitals.not_opened(error);
        })?;
        let slot = self.pool.insert(stream, self.stage.codec.is_grpc());
        if let Some(connection) = self.pool.get(slot) {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let socket = connection.stream.socket();
            self.poll
                .registry()
                .register(socket, Token(slot), interest)?;
        }
        Ok(slot)
    }

    /// Writes as much as the kernel takes of the request that the slot holds.
    pub(super) fn send(&mut self, slot: usize) {
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        let Some(exchange) = connection.exchange.as_mut() else {
            return;
        };
        if exchange.record.sent.is_none() {
            exchange.record.sent = Some(clock::now());
        }
        if let Some(http2) = &mut connection.http2
            && let Some((fields, body)) = exchange.begin_call()
        {
            http2.call(fields, body);
        }
        self.write(slot);
    }

    /// Writes as much as the kernel takes of what is to be written.
    fn write(&mut self, slot: usize) {
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        if let Err(error) = connection.write() {
            self.disconnected(slot, Some(&error), clock::now());
        }
    }

    /// Reads and stamps everything that is there, then looks at it.
    pub(super) fn handle(&mut self, events: &Events) {
        for unread in std::mem::take(&mut self.unread) {
            if self.pool.is_same(unread.slot, unread.generation) {
                self.read(unread.slot, unread.ending);
            }
        }
        for (number, event) in events.iter().enumerate() {
            if event.token() != TIMER {
                self.collect(event);
            }
            self.begin_between(number);
        }
        self.digest();
    }

    fn collect(&mut self, event: &Event) {
        let slot = event.token().0;
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        let was_ready = connection.stream.is_ready();
        if !was_ready && (event.is_writable() || event.is_error()) {
            match connection.stream.poll_ready() {
                Ok(true) => self.ready(slot),
                Ok(false) => {}
                Err(error) => {
                    self.disconnected(slot, Some(&error), clock::now());
                    return;
                }
            }
        } else if event.is_writable() {
            self.send_rest(slot);
        }
        if event.is_readable() || event.is_read_closed() {
            self.read(slot, event.is_read_closed() || event.is_error());
        }
    }

    /// A connection can be used now.
    fn ready(&mut self, slot: usize) {
        let waiting = self
            .pool
            .get(slot)
            .is_some_and(|connection| connection.exchange.is_some());
        if waiting {
            self.send(slot);
        } else {
            self.pool.opening = self.pool.opening.saturating_sub(1);
            self.pool.set_idle(slot, clock::now());
            // HTTP/2's greetings.
            self.write(slot);
        }
    }

    fn send_rest(&mut self, slot: usize) {
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        if connection.exchange.is_some() && !connection.unwritten().is_empty() {
            self.send(slot);
        } else {
            self.write(slot);
        }
    }

    /// Reads until there is no more, or as much as a round takes of one connection: a server that
    /// sends faster than it is read must keep nobody from looking at the clock.
    fn read(&mut self, slot: usize, ending: bool) {
        let Some(generation) = self.pool.get(slot).map(|connection| connection.generation) else {
            return;
        };
        for _ in 0..READS_AT_ONCE {
            if ARENA - self.filled < READ {
                self.digest();
            }
            // What was looked at may have ended it.
            let Some(connection) = self
                .pool
                .get(slot)
                .filter(|connection| connection.generation == generation)
            else {
                return;
            };
            let Some(space) = self.arena.get_mut(self.filled..self.filled + READ) else {
                return;
            };
            let result = connection.stream.read(space);
            let stamp = clock::now();
            let (what, more) = match result {
                Ok(0) => (What::End(None), false),
                Ok(bytes) => {
                    self.part.vitals.read(bytes, READ);
                    let begin = self.filled;
                    self.filled += bytes;
                    // Less than asked for means that the socket is empty; a new edge will tell of
                    // more. But the end of the connection has no edge of its own.
                    let what = What::Bytes {
                        begin,
                        end: self.filled,
                    };
                    (what, bytes == READ || ending)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => (What::End(Some(error)), false),
            };
            self.readings.push(Reading {
                slot,
                generation,
                stamp,
                what,
            });
            if !more {
                return;
            }
        }
        self.unread.push(Unread {
            slot,
            generation,
            ending,
        });
    }

    /// Looks at everything that was read.
    fn digest(&mut self) {
        let arena = std::mem::take(&mut self.arena);
        let mut readings = std::mem::take(&mut self.readings);
        for (number, reading) in readings.drain(..).enumerate() {
            self.begin_between(number);
            if !self.pool.is_same(reading.slot, reading.generation) {
                continue;
            }
            match reading.what {
                What::Bytes { begin, end } => {
                    let bytes = arena.get(begin..end).unwrap_or_default();
                    self.receive(reading.slot, bytes, reading.stamp);
                }
                What::End(cause) => self.disconnected(reading.slot, cause.as_ref(), reading.stamp),
            }
        }
        self.readings = readings;
        self.arena = arena;
        self.filled = 0;
    }

    fn receive(&mut self, slot: usize, bytes: &[u8], stamp: Nanos) {
        let mut plain = std::mem::take(&mut self.plain);
        let step = self.take_bytes(slot, bytes, &mut plain, stamp);
        self.plain = plain;
        match step {
            Ok(Step::Continue) => {}
            Ok(Step::Ended { outcome, reusable }) => self.end(slot, outcome, reusable, stamp),
            Err(error) => self.disconnected(slot, Some(&error), stamp),
        }
    }

    fn take_bytes(
        &mut self,
        slot: usize,
        bytes: &[u8],
        plain: &mut Vec<u8>,
        stamp: Nanos,
    ) -> io::Result<Step> {
        let Some(connection) = self.pool.get(slot) else {
            return Ok(Step::Continue);
        };
        let was_ready = connection.stream.is_ready();
        let plain = connection.stream.open(bytes, plain)?;
        if !was_ready && connection.stream.is_ready() {
            self.ready(slot);
        }
        let Some(connection) = self.pool.get(slot) else {
            return Ok(Step::Continue);
        };
        if let Some(http2) = &mut connection.http2 {
            let exchange = connection.exchange.as_deref_mut();
            let step = http2_step(http2, exchange, plain, stamp, &mut self.part.gaps)?;
            // Acknowledgements, and more of the body where the server made room for it.
            connection.write()?;
            return Ok(step);
        }
        match connection.exchange.as_mut() {
            _ if plain.is_empty() => Ok(Step::Continue),
            Some(exchange) => Ok(exchange.receive(plain, stamp, &mut self.part.gaps)),
            None => Err(io::Error::new(
                ErrorKind::InvalidData,
                "bytes without a request",
            )),
        }
    }

    /// A connection has ended, whatever for.
    fn disconnected(&mut self, slot: usize, cause: Option<&io::Error>, stamp: Nanos) {
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        let was_ready = connection.stream.is_ready();
        match connection.exchange.as_mut() {
            Some(exchange) if connection.is_used && exchange.is_unanswered() => {
                self.begin_again(slot, cause, stamp);
            }
            Some(exchange) => {
                let step = exchange.disconnected(cause, stamp, &mut self.part.gaps);
                if let Step::Ended { outcome, .. } = step {
                    self.end(slot, outcome, false, stamp);
                }
            }
            None => {
                if !was_ready {
                    self.pool.opening = self.pool.opening.saturating_sub(1);
                }
                self.pool.remove(slot);
            }
        }
    }

    /// Moves a request from a connection that its server had closed to a fresh one.
    ///
    /// Servers may close a connection after any answer, and say so too late (llama.cpp does after
    /// each stream). The request met the closing and was never read, so this is the same arrival's
    /// one attempt; a fresh connection that ends likewise is a failure.
    fn begin_again(&mut self, slot: usize, cause: Option<&io::Error>, stamp: Nanos) {
        let fresh = self.open();
        let Some(mut exchange) = self
            .pool
            .get(slot)
            .and_then(|connection| connection.exchange.take())
        else {
            return;
        };
        self.pool.remove(slot);
        exchange.begin_again();
        match fresh {
            Ok(fresh) => {
                self.part.vitals.reconnects += 1;
                let at = exchange
                    .record
                    .started
                    .saturating_add(self.stage.request_timeout);
                // Among those that were begun after it.
                let place = self.deadlines.partition_point(|&(other, ..)| other <= at);
                self.deadlines
                    .insert(place, (at, fresh, exchange.record.index));
                if let Some(connection) = self.pool.get(fresh) {
                    connection.exchange = Some(exchange);
                }
            }
            Err(error) => {
                let lost = cause.map_or_else(String::new, |cause| format!(" after {cause}"));
                let message = format!("no connection{lost}: {error}");
                let outcome = failure(FailureKind::Connect, &message);
                self.complete(*exchange, outcome, stamp);
            }
        }
    }

    /// An answer that was read after its time was up is late, also where this loop came to look at
    /// the clock only after it.
    fn unless_late(&self, exchange: &Exchange, outcome: Outcome, stamp: Nanos) -> Outcome {
        let time = self.stage.request_timeout;
        if outcome == Outcome::Succeeded && stamp > exchange.record.started.saturating_add(time) {
            return exchange.late(time);
        }
        outcome
    }

    /// The request of a slot is over.
    pub(super) fn end(&mut self, slot: usize, outcome: Outcome, reusable: bool, stamp: Nanos) {
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        let Some(exchange) = connection.exchange.take() else {
            return;
        };
        let outcome = self.unless_late(&exchange, outcome, stamp);
        let Some(connection) = self.pool.get(slot) else {
            return;
        };
        // An answer that came before the whole request was written leaves the connection unclear.
        let written = match &connection.http2 {
            Some(http2) => http2.is_reusable(),
            None => exchange.unwritten().is_empty(),
        };
        if reusable && written {
            connection.is_used = true;
            self.pool.set_idle(slot, stamp);
        } else {
            self.pool.remove(slot);
        }
        self.complete(*exchange, outcome, stamp);
    }
}

/// What bytes of an HTTP/2 connection tell of the call on it. Without one they keep the connection
/// alive, or close it.
fn http2_step(
    http2: &mut Http2,
    mut exchange: Option<&mut Exchange>,
    bytes: &[u8],
    stamp: Nanos,
    gaps: &mut Gaps,
) -> io::Result<Step> {
    let mut step = Step::Continue;
    let fed = http2.feed(bytes, &mut |event| {
        if let Some(exchange) = exchange.as_deref_mut()
            && step == Step::Continue
        {
            step = exchange.take(event, stamp, gaps);
        }
    });
    if step != Step::Continue {
        return Ok(step);
    }
    match fed {
        Err(cause) if exchange.is_some() => Ok(Step::Ended {
            outcome: failure(FailureKind::Protocol, &cause.to_string()),
            reusable: false,
        }),
        Err(cause) => Err(io::Error::new(ErrorKind::InvalidData, cause)),
        Ok(()) if exchange.is_none() && http2.is_going_away() => Err(io::Error::new(
            ErrorKind::ConnectionAborted,
            "the server is closing",
        )),
        Ok(()) => Ok(step),
    }
}
