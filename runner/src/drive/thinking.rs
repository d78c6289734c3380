//! Conversations between two turns.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::Arc,
};

use crate::{clock::Nanos, prompt::Message};

/// A turn that is not due yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// When it is due: the end of the answer before and the time to think.
    pub(super) due: Nanos,
    pub(super) arrival: u64,
    /// From 0.
    pub(super) turn: u32,
    /// Its request and what was said before it, where that is made from the engine's answers.
    pub(super) composed: Option<Composed>,
}

/// A request that was made from the engine's answers.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) request: Arc<[u8]>,
    /// Everything said so far, with the turn's own message.
    pub(super) history: Vec<Message>,
}

impl Waiting {
    fn order(&self) -> (Nanos, u64, u32) {
        (self.due, self.arrival, self.turn)
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Waiting {}

/// The conversations of one event loop that wait for their next turn, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Thinking(BinaryHeap<Reverse<Waiting>>);

impl Thinking {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.0.push(Reverse(waiting));
    }

    /// When the next turn is due.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.0.peek().map(|Reverse(waiting)| waiting.due)
    }

    /// The next turn, if it is due.
    pub(super) fn take_due(&mut self, now: Nanos) -> Option<Waiting> {
        self.next_due().filter(|&due| due <= now)?;
        self.take()
    }

    /// The next turn, whenever it is due.
    pub(super) fn take(&mut self) -> Option<Waiting> {
        self.0.pop().map(|Reverse(waiting)| waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_turn_comes_first_and_never_early() {
        let mut thinking = Thinking::default();
        for (due, arrival) in [(30, 1), (10, 2), (20, 0)] {
            thinking.push(Waiting {
                due,
                arrival,
                turn: 1,
                composed: None,
            });
        }
        assert_eq!(thinking.next_due(), Some(10));
        assert!(thinking.take_due(9).is_none());
        let order: Vec<u64> =
            std::iter::from_fn(|| thinking.take_due(25).map(|waiting| waiting.arrival)).collect();
        assert_eq!(order, [2, 0]);
        assert_eq!(thinking.take().map(|waiting| waiting.arrival), Some(1));
        assert!(thinking.is_empty());
    }
}
