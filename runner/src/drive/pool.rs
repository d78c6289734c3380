//! The connections of one event loop, by slot.

use super::exchange::Exchange;
use crate::{
    clock::{Nanos, SECOND},
    wire::{http2::client::Client as Http2, stream::Stream},
};

/// Longest time that a connection lies idle before it is given up. Servers close idle connections
/// too (uvicorn and llama.cpp after 5 s), and a request that meets the closing is lost.
const IDLE_FOR: Nanos = 3 * SECOND;

/// One connection and what happens on it.
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Tells this connection from an earlier one in the same slot.
    pub(super) generation: u64,
    pub(super) exchange: Option<Box<Exchange>>,
    /// Where calls go by HTTP/2.
    pub(super) http2: Option<Box<Http2>>,
    /// Whether an answer came over it before: then its server may have closed it meanwhile.
    pub(super) is_used: bool,
}

impl Connection {
    /// What is still to be written.
    pub(super) fn unwritten(&self) -> &[u8] {
        match (&self.http2, &self.exchange) {
            (Some(http2), _) => http2.unwritten(),
            (None, Some(exchange)) => exchange.unwritten(),
            (None, None) => &[],
        }
    }

    /// Writes as much of it as the kernel takes.
    pub(super) fn write(&mut self) -> std::io::Result<()> {
        loop {
            let unwritten = match (&self.http2, &self.exchange) {
                (Some(http2), _) => http2.unwritten(),
                (None, Some(exchange)) => exchange.unwritten(),
                (None, None) => &[],
            };
            if unwritten.is_empty() {
                break;
            }
            let bytes = self.stream.write(unwritten)?;
            if bytes == 0 {
                break;
            }
            match (&mut self.http2, &mut self.exchange) {
                (Some(http2), _) => http2.wrote(bytes),
                (None, Some(exchange)) => exchange.wrote(bytes),
                (None, None) => {}
            }
        }
        self.stream.flush().map(|_| ())
    }
}

/// The connections of one event loop.
#[derive(Default)]
pub(super) struct Pool {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Slots that can take a request, and since when; the last used comes first, so that the others
    /// can age.
    idle: Vec<(usize, u64, Nanos)>,
    generations: u64,
    /// Connections without an exchange that are not ready yet.
    pub(super) opening: usize,
}

impl Pool {
    pub(super) fn insert(&mut self, stream: Stream, http2: bool) -> usize {
        self.generations += 1;
        let connection = Connection {
            stream,
            generation: self.generations,
            exchange: None,
            http2: http2.then(Box::default),
            is_used: false,
        };
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.slots.get_mut(slot)
        {
            *place = Some(connection);
            return slot;
        }
        self.slots.push(Some(connection));
        self.slots.len() - 1
    }

    /// Most connections that there were at one time: a slot is taken again before one is added.
    pub(super) fn most(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<Connection> {
        let connection = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(connection)
    }

    pub(super) fn set_idle(&mut self, slot: usize, now: Nanos) {
        if let Some(Some(connection)) = self.slots.get(slot) {
            self.idle.push((slot, connection.generation, now));
        }
    }

    /// An idle connection, the last used one first. Those that were closed meanwhile are passed
    /// over.
    pub(super) fn take_idle(&mut self) -> Option<usize> {
        while let Some((slot, generation, _)) = self.idle.pop() {
            if self.is_same(slot, generation) {
                return Some(slot);
            }
        }
        None
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Slots whose connections have been idle for too long, but not more than so many; taken out of
    /// the idle ones, as are those that were closed.
    pub(super) fn expire_idle(&mut self, now: Nanos, most: usize) -> Vec<usize> {
        let slots = &self.slots;
        let mut expired = Vec::new();
        self.idle.retain(|&(slot, generation, since)| {
            let same = matches!(slots.get(slot), Some(Some(connection)) if connection.generation == generation);
            let old = expired.len() < most && now.saturating_sub(since) > IDLE_FOR;
            if same && old {
                expired.push(slot);
            }
            same && !old
        });
        expired
    }

    /// Every slot with a request on it.
    pub(super) fn busy(&self) -> Vec<usize> {
        (0..self.slots.len())
            .filter(|&slot| matches!(self.slots.get(slot), Some(Some(connection)) if connection.exchange.is_some()))
            .collect()
    }

    pub(super) fn is_same(&self, slot: usize, generation: u64) -> bool {
        matches!(self.slots.get(slot), Some(Some(connection)) if connection.generation == generation)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn connections_that_grew_old_together_are_given_up_by_and_by() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut pool = Pool::default();
        let slots: Vec<usize> = (0..6)
            .map(|since| {
                let slot = pool.insert(Stream::connect(address, None).unwrap(), false);
                pool.set_idle(slot, since);
                slot
            })
            .collect();
        pool.remove(slots[0]);
        // The first was closed, the last is young.
        let now = IDLE_FOR + 5;
        assert_eq!(pool.expire_idle(now, 2), slots[1..3]);
        assert_eq!(pool.idle(), 3);
        assert_eq!(pool.expire_idle(now, 9), slots[3..5]);
        assert_eq!(pool.take_idle(), Some(slots[5]));
    }
}
