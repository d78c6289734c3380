//! What shard 0 knows of the others, and what it answers them. Pure: the time comes from outside.

use bakeoff_crds::summary::Failure;

use super::message::{Answer, Ask, Step};
use crate::clock::{MILLISECOND, Nanos, SECOND};

/// Between two signs of life of a shard.
pub(super) const BEAT_EVERY: Nanos = SECOND;
/// Without a sign of life for so long, a shard counts as lost: many beats, so that a busy machine
/// loses none.
pub(super) const LOST_AFTER: Nanos = 20 * SECOND;
/// Longest time from a step's announcement until all are ready: connections are opened meanwhile.
pub(super) const READY_WITHIN: Nanos = 60 * SECOND;
/// How far ahead of the last one's being ready a start is set, so that all know of it in time.
pub(super) const START_AHEAD: Nanos = 300 * MILLISECOND;

/// The other shards, and the step under way.
#[derive(Debug)]
pub(super) struct Board {
    members: Vec<Member>,
    step: Option<Current>,
    steps: u64,
    end: Option<Option<Failure>>,
}

#[derive(Debug)]
struct Current {
    step: Step,
    announced: Nanos,
    state: StepState,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum StepState {
    Announced,
    Begins(Nanos),
    NotBegun,
}

/// One of the other shards.
#[derive(Clone, Debug)]
struct Member {
    /// Who joined last.
    process: Option<u64>,
    /// Last sign of life; the board's beginning before the first.
    seen: Nanos,
    /// Whether it waits for the next step.
    idle: bool,
    /// The last steps that it was ready for, had driven, and had stored.
    ready: u64,
    ended: u64,
    stored: u64,
    /// Whether it said good-bye.
    left: bool,
    /// Step, and requests of it that have ended.
    requests: (u64, u64),
}

impl Member {
    fn new(now: Nanos) -> Self {
        Self {
            process: None,
            seen: now,
            idle: false,
            ready: 0,
            ended: 0,
            stored: 0,
            left: false,
            requests: (0, 0),
        }
    }

    fn is_alive(&self, now: Nanos) -> bool {
        self.process.is_some() && !self.left && now.saturating_sub(self.seen) <= LOST_AFTER
    }
}

/// How far the members are with something.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// All that can be.
    All,
    /// Not yet.
    Waiting,
    /// It will not come to that because of these shards.
    Without(Vec<u32>),
}

impl Board {
    pub(super) fn new(of: u32, now: Nanos) -> Self {
        Self {
            members: vec![Member::new(now); of.saturating_sub(1) as usize],
            step: None,
            steps: 0,
            end: None,
        }
    }

    /// Answers a shard.
    pub(super) fn answer(&mut self, index: u32, process: u64, ask: &Ask, now: Nanos) -> Answer {
        let end = self.end.clone();
        let number = self.steps;
        let state = self.step.as_ref().map(|current| current.state);
        let announced = self
            .step
            .as_ref()
            .filter(|current| current.state == StepState::Announced)
            .map(|current| current.step.clone());
        let Some(member) = (index as usize)
            .checked_sub(1)
            .and_then(|place| self.members.get_mut(place))
        else {
            return Answer::Noted;
        };
        if matches!(ask, Ask::Join) && member.process != Some(process) {
            *member = Member::new(now);
            member.process = Some(process);
        }
        member.seen = now;
        // One that has not joined is alive, but takes no part: it drives an earlier leader's step.
        if member.process != Some(process) {
            return Answer::Wait;
        }
        match ask {
            Ask::Clock => Answer::Clock {
                received: now,
                returned: now,
            },
            Ask::Join => {
                member.left = false;
                Answer::Noted
            }
            Ask::Next { after } => {
                member.idle = true;
                if let Some(failure) = end {
                    member.left = true;
                    return Answer::End(failure);
                }
                match announced.filter(|step| step.number > *after) {
                    Some(step) => {
                        member.idle = false;
                        Answer::Step(step)
                    }
                    None => Answer::Wait,
                }
            }
            Ask::Ready { step } if *step == number => {
                member.ready = *step;
                match state {
                    Some(StepState::Announced) if end.is_none() => Answer::Wait,
                    Some(StepState::Begins(at)) => Answer::Start(at),
                    _ => Answer::NotBegun,
                }
            }
            Ask::Ready { .. } => Answer::NotBegun,
            Ask::Ended { step } => {
                member.ended = *step;
                Answer::Noted
            }
            Ask::Stored { step } => {
                member.stored = *step;
                Answer::Noted
            }
            Ask::Beat { step, requests } => {
                member.requests = (*step, *requests);
                Answer::Noted
            }
            Ask::Leave(_) => {
                member.left = true;
                Answer::Noted
            }
        }
    }

    /// Whether all wait for the next step; `Without` those that gave no sign of life for longer than
    /// `patience`.
    pub(super) fn gathered(&self, patience: Nanos, now: Nanos) -> Standing {
        if self
            .members
            .iter()
            .all(|member| member.idle && member.is_alive(now))
        {
            return Standing::All;
        }
        let gone = self.which(|member| now.saturating_sub(member.seen) > patience);
        match gone.is_empty() {
            true => Standing::Waiting,
            false => Standing::Without(gone),
        }
    }

    /// Sets the next step; its number is given to it.
    pub(super) fn announce(&mut self, mut step: Step, now: Nanos) -> u64 {
        self.steps += 1;
        step.number = self.steps;
        self.step = Some(Current {
            step,
            announced: now,
            state: StepState::Announced,
        });
        self.steps
    }

    /// When the step under way begins, once all are ready; `Err` where it does not, because of these
    /// shards.
    pub(super) fn begin(&mut self, now: Nanos) -> Option<Result<Nanos, Vec<u32>>> {
        let number = self.steps;
        let waiting = self.which(|member| member.ready != number);
        let gone = self.which(|member| member.ready != number && !member.is_alive(now));
        let current = self.step.as_mut()?;
        let late = now.saturating_sub(current.announced) > READY_WITHIN;
        if waiting.is_empty() {
            let at = now + START_AHEAD;
            current.state = StepState::Begins(at);
            Some(Ok(at))
        } else if late || !gone.is_empty() {
            current.state = StepState::NotBegun;
            Some(Err(if gone.is_empty() { waiting } else { gone }))
        } else {
            None
        }
    }

    /// The step under way does not begin.
    pub(super) fn call_off(&mut self) {
        if let Some(current) = &mut self.step {
            current.state = StepState::NotBegun;
        }
    }

    /// Whether all have driven their parts of the step under way.
    pub(super) fn ended(&self, now: Nanos) -> Standing {
        self.done(|member| member.ended.max(member.stored), now)
    }

    /// Whether all have stored their parts of the step under way.
    pub(super) fn stored(&self, now: Nanos) -> Standing {
        self.done(|member| member.stored, now)
    }

    fn done(&self, mark: fn(&Member) -> u64, now: Nanos) -> Standing {
        let number = self.steps;
        let pending = self.which(|member| mark(member) != number);
        let alive = self.which(|member| {
            mark(member) != number && member.ready == number && member.is_alive(now)
        });
        match (pending.is_empty(), alive.is_empty()) {
            (true, _) => Standing::All,
            (false, true) => Standing::Without(pending),
            (false, false) => Standing::Waiting,
        }
    }

    /// A shard's process has ended.
    pub(super) fn is_gone(&mut self, index: u32) {
        let place = (index as usize).checked_sub(1);
        if let Some(member) = place.and_then(|place| self.members.get_mut(place)) {
            member.left = true;
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, failure: Option<Failure>) {
        self.end = Some(failure);
    }

    /// Whether all that live know that nothing comes any more.
    pub(super) fn is_dismissed(&self, now: Nanos) -> bool {
        !self.members.iter().any(|member| member.is_alive(now))
    }

    /// Requests of the step under way that the others have ended.
    pub(super) fn requests(&self) -> u64 {
        self.members
            .iter()
            .filter(|member| member.requests.0 == self.steps)
            .map(|member| member.requests.1)
            .sum()
    }

    /// Shards that are not there.
    pub(super) fn missing(&self, now: Nanos) -> Vec<u32> {
        self.which(|member| !member.is_alive(now))
    }

    fn which(&self, is: impl Fn(&Member) -> bool) -> Vec<u32> {
        (1..)
            .zip(&self.members)
            .filter(|(_, member)| is(member))
            .map(|(index, _)| index)
            .collect()
    }
}

#[cfg(test)]
mod tests;
