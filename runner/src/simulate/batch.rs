//! Continuous batching as a pure state machine: no clock, no channels.
//!
//! The model of an engine: a sequence takes a place in the batch, or waits for one in the order of
//! arrival. Its prefill runs beside the others' decoding and takes `time_to_first_token`. All
//! decoding sequences go in step: one step writes one token of each, and with `n` of them takes
//! `inter_token_latency * (1 + batch_slowdown * (n - 1))`. A prefill that ends amid a step shows
//! its token at the end of that step. So the time to the first token grows with the queue, the
//! latency between tokens with the batch, and a request alone sees exactly the two times given.
//!
//! Each step's end is computed from the one before, never from when somebody looked: lateness does
//! not add up.

use std::collections::VecDeque;

use crate::clock::Nanos;

/// Speed and size of the batch.
#[derive(Clone, Debug)]
pub struct BatchSettings {
    /// Time of a prefill.
    pub time_to_first_token: Nanos,
    /// Time of a step with one sequence.
    pub inter_token_latency: Nanos,
    /// Most sequences in the batch.
    pub max_batch_size: usize,
    /// Share by which each further sequence makes a step longer.
    pub batch_slowdown: f64,
}

impl BatchSettings {
    fn step(&self, sequences: usize) -> Nanos {
        let others = sequences.saturating_sub(1) as f64;
        (self.inter_token_latency as f64 * (1.0 + self.batch_slowdown * others)).round() as Nanos
    }
}

/// A request in the batch or on its way there; `T` is whom its tokens are for.
#[derive(Debug)]
pub struct Sequence<T> {
    /// Whom its tokens are for.
    pub owner: T,
    /// When it came.
    pub arrived: Nanos,
    /// When it got its place in the batch.
    pub admitted: Nanos,
    /// Tokens of its prompt.
    pub input_tokens: u32,
    /// Tokens that it will have made.
    pub output_tokens: u32,
    /// Tokens made so far.
    pub made: u32,
    /// When the last of them was made.
    pub last_token: Nanos,
}

/// The sequences of an engine.
#[derive(Debug)]
pub struct Batch<T> {
    settings: BatchSettings,
    waiting: VecDeque<Sequence<T>>,
    prefilling: Vec<Sequence<T>>,
    decoding: Vec<Sequence<T>>,
    step_end: Nanos,
}

/// What a step did, beside the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// When it ended.
    pub at: Nanos,
    /// Tokens decoded.
    pub decoded: usize,
    /// Prefills ended.
    pub prefilled: usize,
    /// Tokens of their prompts.
    pub prompt_tokens: u64,
}

impl<T> Batch<T> {
    /// An idle engine.
    pub fn new(settings: BatchSettings) -> Self {
        Self {
            settings,
            waiting: VecDeque::new(),
            prefilling: Vec::new(),
            decoding: Vec::new(),
            step_end: 0,
        }
    }

    /// Takes a request for at least one token.
    pub fn arrive(&mut self, now: Nanos, owner: T, input_tokens: u32, output_tokens: u32) {
        self.waiting.push_back(Sequence {
            owner,
            arrived: now,
            admitted: now,
            input_tokens,
            output_tokens: output_tokens.max(1),
            made: 0,
            last_token: now,
        });
        self.admit(now);
    }

    /// When the next tokens are due.
    pub fn next(&self) -> Option<Nanos> {
        if self.decoding.is_empty() {
            self.prefilling
                .iter()
                .map(|sequence| self.prefill_end(sequence))
                .min()
        } else {
            Some(self.step_end)
        }
    }

    /// Makes the tokens that are due at [`Self::next`]. `on_token` sees each sequence with the new
    /// token counted, and `last_token` still at the one before; a sequence whose owner is gone, for
    /// which it says false, leaves the batch.
    pub fn step(&mut self, mut on_token: impl FnMut(&Sequence<T>, Nanos) -> bool) -> Option<Step> {
        let at = self.next()?;
        let mut step = Step {
            at,
            decoded: self.decoding.len(),
            prefilled: 0,
            prompt_tokens: 0,
        };
        let mut make = |sequence: &mut Sequence<T>| {
            sequence.made += 1;
            let wanted = on_token(sequence, at);
            sequence.last_token = at;
            wanted && sequence.made < sequence.output_tokens
        };
        self.decoding.retain_mut(&mut make);
        let prefill = self.settings.time_to_first_token;
        let due = |sequence: &mut Sequence<T>| sequence.admitted + prefill <= at;
        for mut sequence in self.prefilling.extract_if(.., due) {
            step.prefilled += 1;
            step.prompt_tokens += u64::from(sequence.input_tokens);
            if make(&mut sequence) {
                self.decoding.push(sequence);
            }
        }
        self.admit(at);
        self.step_end = at + self.settings.step(self.decoding.len());
        Some(step)
    }

    /// Leaves out the requests without a token yet whose owner is gone.
    pub fn forget(&mut self, now: Nanos, gone: impl Fn(&T) -> bool) {
        self.waiting.retain(|sequence| !gone(&sequence.owner));
        self.prefilling.retain(|sequence| !gone(&sequence.owner));
        self.admit(now);
    }

    /// Sequences in the batch.
    pub fn running(&self) -> usize {
        self.prefilling.len() + self.decoding.len()
    }

    /// Requests without a place.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Tokens whose keys and values the engine holds.
    pub fn kept_tokens(&self) -> u64 {
        self.prefilling
            .iter()
            .chain(&self.decoding)
            .map(|sequence| u64::from(sequence.input_tokens) + u64::from(sequence.made))
            .sum()
    }

    fn prefill_end(&self, sequence: &Sequence<T>) -> Nanos {
        sequence.admitted + self.settings.time_to_first_token
    }

    fn admit(&mut self, now: Nanos) {
        while self.running() < self.settings.max_batch_size.max(1) {
            let Some(mut sequence) = self.waiting.pop_front() else {
                return;
            };
            sequence.admitted = now;
            self.prefilling.push(sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn batch(max_batch_size: usize, batch_slowdown: f64) -> Batch<&'static str> {
        Batch::new(BatchSettings {
            time_to_first_token: 50 * MS,
            inter_token_latency: 10 * MS,
            max_batch_size,
            batch_slowdown,
        })
    }

    /// All tokens until the batch is empty, as milliseconds and owner.
    fn run(batch: &mut Batch<&'static str>) -> Vec<(Nanos, &'static str)> {
        let mut tokens = Vec::new();
        while batch
            .step(|sequence, at| {
                tokens.push((at / MS, sequence.owner));
                true
            })
            .is_some()
        {}
        tokens
    }

    #[test]
    fn a_request_alone_sees_exactly_the_two_times() {
        let mut batch = batch(4, 0.5);
        batch.arrive(3 * MS, "a", 5, 4);
        assert_eq!(
            run(&mut batch),
            [(53, "a"), (63, "a"), (73, "a"), (83, "a")]
        );
        assert_eq!(batch.running(), 0);
    }

    #[test]
    fn steps_grow_with_the_batch() {
        let mut batch = batch(4, 0.5);
        batch.arrive(0, "a", 5, 3);
        batch.arrive(0, "b", 5, 3);
        let times: Vec<Nanos> = run(&mut batch).iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [50, 50, 65, 65, 80, 80]);
    }

    #[test]
    fn a_full_batch_makes_later_requests_wait_in_order() {
        let mut batch = batch(1, 0.0);
        for owner in ["a", "b", "c"] {
            batch.arrive(0, owner, 5, 2);
        }
        assert_eq!((batch.running(), batch.waiting()), (1, 2));
        assert_eq!(
            run(&mut batch),
            [
                (50, "a"),
                (60, "a"),
                (110, "b"),
                (120, "b"),
                (170, "c"),
                (180, "c")
            ]
        );
    }

    #[test]
    fn a_prefill_that_ends_amid_a_step_shows_at_its_end() {
        let mut batch = batch(4, 0.0);
        batch.arrive(0, "a", 5, 8);
        batch.step(|_, _| true);
        // Ends at 105 ms, between the steps that end at 100 and 110 ms.
        batch.arrive(55 * MS, "b", 5, 1);
        let tokens = run(&mut batch);
        assert!(tokens.contains(&(110, "b")), "{tokens:?}");
    }

    #[test]
    fn lateness_does_not_add_up() {
        let mut batch = batch(1, 0.0);
        batch.arrive(0, "a", 5, 1_000);
        let last = run(&mut batch).last().copied();
        assert_eq!(last, Some((50 + 999 * 10, "a")));
    }

    #[test]
    fn a_sequence_whose_owner_is_gone_frees_its_place() {
        let mut batch = batch(1, 0.0);
        batch.arrive(0, "a", 5, 100);
        batch.arrive(0, "b", 5, 1);
        batch.step(|_, _| false);
        assert_eq!(run(&mut batch), [(100, "b")]);
    }

    #[test]
    fn requests_of_owners_that_are_gone_take_no_place() {
        let mut batch = batch(1, 0.0);
        for owner in ["a", "b", "c"] {
            batch.arrive(0, owner, 5, 1);
        }
        batch.forget(20 * MS, |owner| *owner != "c");
        assert_eq!(run(&mut batch), [(70, "c")]);
    }

    #[test]
    fn kept_tokens_are_prompt_and_output_of_the_running() {
        let mut batch = batch(1, 0.0);
        batch.arrive(0, "a", 5, 3);
        batch.arrive(0, "b", 7, 1);
        assert_eq!(batch.kept_tokens(), 5);
        batch.step(|_, _| true);
        assert_eq!(batch.kept_tokens(), 6);
    }

    #[test]
    fn without_any_delay_it_still_ends() {
        let mut batch = Batch::new(BatchSettings {
            time_to_first_token: 0,
            inter_token_latency: 0,
            max_batch_size: 8,
            batch_slowdown: 0.0,
        });
        batch.arrive(0, "a", 1, 100);
        assert_eq!(run(&mut batch).len(), 100);
    }
}
