//! From one turn of a conversation to the next.

use bakeoff_crds::plan::StageEnd;

use super::Reactor;
use crate::{
    clock,
    drive::thinking::{Composed, Waiting},
    prompt::Message,
    record::Record,
};

impl Reactor<'_> {
    /// Whether a further turn follows in the conversation of a request that has ended; it is due
    /// after the time to think. After a failure none does, and what is left is counted.
    pub(super) fn goes_on(
        &mut self,
        record: &Record,
        answer: Option<&String>,
        mut history: Vec<Message>,
    ) -> bool {
        let turn = record.turn.unwrap_or(0) + 1;
        let place = self.stage.first_request + record.arrival;
        let Some(next) = self.stage.script.turns(place).get(turn as usize) else {
            return false;
        };
        if !record.succeeded() {
            let left = self.turns_from(record.arrival, turn);
            let dropped = &mut self.part.dropped;
            if self.part.cut.is_some() {
                dropped.not_sent += left;
            } else {
                dropped.conversation_ended += left;
            }
            return false;
        }
        let due = record.end.saturating_add(next.think);
        let over = match (self.stage.end, self.start) {
            (StageEnd::Seconds(seconds), Some(start)) => due >= start + clock::nanos(seconds),
            _ => false,
        };
        if !over {
            // Made now, before the turn is due: serialising is no part of its latency.
            let composed = self.stage.script.composer().and_then(|composer| {
                let answer = answer.cloned().unwrap_or_default();
                let (said, name) = (record.prompt, record.name);
                let request = composer.next(&mut history, said, answer, next, name)?;
                Some(Composed { request, history })
            });
            self.thinking.push(Waiting {
                due,
                arrival: record.arrival,
                turn,
                composed,
            });
        }
        !over
    }

    /// Turns of an arrival's conversation from one of them on.
    pub(super) fn turns_from(&self, arrival: u64, turn: u32) -> u64 {
        let place = self.stage.first_request + arrival;
        let turns = self.stage.script.turns(place).len();
        turns.saturating_sub(turn as usize) as u64
    }
}
