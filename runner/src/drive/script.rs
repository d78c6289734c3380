//! What the arrivals of a stage send: one request each, or the turns of a conversation one after the
//! other. Made before the schedule begins, and only read after.

use std::sync::Arc;

use crate::{clock::Nanos, prompt::Message};

/// One request of an arrival.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Place of its prompt in the frozen file; of the first one, where it holds several.
    pub prompt: u64,
    /// Time between the end of the answer before and this turn; 0 in the first.
    pub think: Nanos,
    /// The whole request as it goes onto the socket, one for each name that the load asks for. Empty
    /// where it is made from the answers before it.
    pub requests: Box<[Arc<[u8]>]>,
    /// The prompt, where the server repeats it before the answer.
    pub echo: Option<Arc<str>>,
}

/// Makes the requests of turns that have the engine's own answers before them.
pub trait Compose: Send + Sync {
    /// The request of the turn `next`, once the one of the prompt `said` has its `answer`. `before`
    /// holds what was said so far, nothing after the first turn, and gets what is new.
    fn next(
        &self,
        before: &mut Vec<Message>,
        said: u64,
        answer: String,
        next: &Turn,
        name: u16,
    ) -> Option<Arc<[u8]>>;
}

/// What the arrivals of a stage send.
#[derive(Default)]
pub struct Script {
    turns: Vec<Turn>,
    /// Where the turns of each place begin.
    begins: Vec<usize>,
    /// Which name the arrival of each place asks for; in turn.
    names: Vec<u16>,
    most_turns: u64,
    composer: Option<Arc<dyn Compose>>,
}

impl Script {
    /// A script of single requests, each under one name.
    pub fn of_requests(requests: impl IntoIterator<Item = Arc<[u8]>>) -> Self {
        let turns = requests.into_iter().zip(0..).map(|(request, prompt)| {
            vec![Turn {
                prompt,
                requests: Box::from([request]),
                ..Turn::default()
            }]
        });
        Self::new(turns, Vec::new())
    }

    /// A script of conversations. `names` says which of its requests' names each arrival takes, and
    /// begins anew at its end; empty stands for the first always.
    pub fn new(conversations: impl IntoIterator<Item = Vec<Turn>>, names: Vec<u16>) -> Self {
        let mut script = Self {
            names,
            most_turns: 1,
            ..Self::default()
        };
        for turns in conversations {
            script.begins.push(script.turns.len());
            script.most_turns = script.most_turns.max(turns.len() as u64);
            script.turns.extend(turns);
        }
        script
    }

    /// The same with requests of later turns that are made from the answers before them.
    pub fn composed_by(mut self, composer: Arc<dyn Compose>) -> Self {
        self.composer = Some(composer);
        self
    }

    /// What makes the requests of later turns, where they hold the engine's answers.
    pub(super) fn composer(&self) -> Option<&dyn Compose> {
        self.composer.as_deref()
    }

    /// Different arrivals that it holds; the one after the last is the first again.
    pub fn len(&self) -> u64 {
        self.begins.len() as u64
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The turns of the arrival of a place.
    pub fn turns(&self, place: u64) -> &[Turn] {
        let Some(at) = place
            .checked_rem(self.len())
            .and_then(|at| usize::try_from(at).ok())
        else {
            return &[];
        };
        let begin = self.begins.get(at).copied().unwrap_or_default();
        let end = self.begins.get(at + 1).copied();
        self.turns
            .get(begin..end.unwrap_or(self.turns.len()))
            .unwrap_or_default()
    }

    /// Which name the arrival of a place asks for.
    pub fn name(&self, place: u64) -> u16 {
        place
            .checked_rem(self.names.len() as u64)
            .and_then(|at| self.names.get(usize::try_from(at).ok()?).copied())
            .unwrap_or_default()
    }

    /// The number of a turn among all requests of a stage: the arrival's own where arrivals have one
    /// turn.
    pub(super) fn index(&self, arrival: u64, turn: u32) -> u64 {
        arrival * self.most_turns + u64::from(turn)
    }

    /// Whether any arrival has more than one turn.
    pub fn has_conversations(&self) -> bool {
        self.most_turns > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(prompts: &[u64]) -> Vec<Turn> {
        let turn = |&prompt| Turn {
            prompt,
            ..Turn::default()
        };
        prompts.iter().map(turn).collect()
    }

    #[test]
    fn conversations_follow_one_another_and_begin_anew() {
        let script = Script::new([turns(&[0, 1, 2]), turns(&[3])], vec![0, 0, 1]);
        let prompts = |place| -> Vec<u64> {
            let turns = script.turns(place).iter();
            turns.map(|turn| turn.prompt).collect()
        };
        assert_eq!(prompts(0), [0, 1, 2]);
        assert_eq!(prompts(1), [3]);
        assert_eq!(prompts(4), [0, 1, 2]);
        assert_eq!(
            [0, 1, 2, 3, 5].map(|place| script.name(place)),
            [0, 0, 1, 0, 1]
        );
        assert_eq!((script.index(1, 2), script.has_conversations()), (5, true));
    }

    #[test]
    fn single_requests_are_numbered_like_their_arrivals() {
        let script = Script::of_requests([Arc::from(*b"a"), Arc::from(*b"b")]);
        assert_eq!(script.turns(3)[0].requests[0][..], *b"b");
        assert_eq!((script.index(7, 0), script.has_conversations()), (7, false));
        assert!(Script::default().turns(1).is_empty());
    }
}
