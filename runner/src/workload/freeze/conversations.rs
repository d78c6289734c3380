//! Conversations of several turns.

use bakeoff_crds::run::{Conversations, History, Prompts, SyntheticPrompts, ThinkDistribution};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp1};

use super::Maker;
use crate::{
    prompt::{Message, Prompt},
    workload::{
        Sources, WorkloadError,
        dataset::{self, Turn, message},
        synthetic,
    },
};

impl Maker<'_> {
    /// The conversations of the data set in an order that the seed decides, or made-up ones.
    pub(super) fn recorded(
        &self,
        prompts: &Prompts,
        wanted: &Conversations,
        sources: &Sources,
        count: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<Vec<Vec<Turn>>, WorkloadError> {
        if let Some(synthetic) = &prompts.synthetic {
            return self.synthetic_conversations(synthetic, wanted, count, random);
        }
        let file = &sources.dataset_text()?;
        let mut all = if prompts.share_gpt.is_some() {
            dataset::share_gpt::conversations(file)?
        } else if prompts.jsonl.is_some() {
            dataset::json_lines::conversations(file)?
        } else {
            return Err(WorkloadError::NoPrompts);
        };
        all.shuffle(random);
        Ok(all)
    }

    /// Made-up conversations: the first turn has the length of a single prompt, and so its prefix;
    /// each later one adds a message of that length by itself. The answers between are made up too.
    fn synthetic_conversations(
        &self,
        synthetic: &SyntheticPrompts,
        wanted: &Conversations,
        count: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<Vec<Vec<Turn>>, WorkloadError> {
        self.plain(&self.with_system(vec![message("user", "hello".into())]))?;
        let whole = |text: &str| self.made_up_length(text);
        let alone = |text: &str| self.words_length(text);
        let prefixes = synthetic::shared_prefixes(synthetic, random, whole);
        let conversation = |index| {
            let turn = |turn| {
                let tokens = synthetic::draw(&synthetic.input_tokens, random);
                let text = if turn == 0 {
                    let prefix = synthetic::prefix(&prefixes, index);
                    synthetic::text(prefix, tokens, random, whole)
                } else {
                    synthetic::text("", tokens, random, alone)
                };
                let output_tokens = synthetic::draw(&synthetic.output_tokens, random);
                Turn {
                    messages: vec![message("user", text)],
                    answer: Some(synthetic::text("", output_tokens, random, alone)),
                    output_tokens: Some(output_tokens),
                    expected: None,
                }
            };
            (0..wanted.max_turns).map(turn).collect()
        };
        Ok((0..count).map(conversation).collect())
    }

    /// The prompts of conversations, turn by turn, and how many conversations were left out because
    /// their first turn is too long. A later turn that is too long ends its conversation.
    pub(super) fn conversations(
        &self,
        wanted: &Conversations,
        all: Vec<Vec<Turn>>,
        count: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<(Vec<Prompt>, u64), WorkloadError> {
        let mut prompts: Vec<Prompt> = Vec::new();
        let (mut taken, mut left_out) = (0, 0);
        for turns in all {
            if taken == count as u64 {
                break;
            }
            let before = prompts.len();
            self.turns(wanted, turns, taken, &mut prompts, random)?;
            if prompts.len() == before {
                left_out += 1;
            } else {
                taken += 1;
            }
        }
        if prompts.is_empty() {
            return Err(WorkloadError::NothingLeft {
                examined: left_out,
                max_input_tokens: self.limits.max_input_tokens,
            });
        }
        Ok((prompts, left_out))
    }

    /// Appends the turns of one conversation.
    fn turns(
        &self,
        wanted: &Conversations,
        turns: Vec<Turn>,
        conversation: u64,
        prompts: &mut Vec<Prompt>,
        random: &mut ChaCha8Rng,
    ) -> Result<(), WorkloadError> {
        let mut history: Vec<Message> = Vec::new();
        for (number, turn) in turns
            .into_iter()
            .take(wanted.max_turns as usize)
            .enumerate()
        {
            history.extend(turn.messages.iter().cloned());
            let answer = turn.answer.as_deref();
            let tokens = turn
                .output_tokens
                .or_else(|| answer.map(|answer| self.counter.answer(answer)))
                .unwrap_or(self.limits.max_output_tokens);
            let mut prompt = self.prompt(prompts.len(), history.clone(), tokens)?;
            let length = prompt
                .input_tokens
                .unwrap_or_else(|| self.counter.prompt(&prompt.text));
            if length > self.limits.max_input_tokens {
                break;
            }
            prompt.conversation = Some(conversation);
            prompt.expected = turn.expected;
            if number > 0 {
                prompt.think_seconds = Some(think_seconds(wanted, random));
                if wanted.history == History::Answers {
                    // What stands before it is not known yet, and so neither is its length.
                    prompt.text = self.plain(&turn.messages)?;
                    prompt.messages = turn.messages;
                    prompt.input_tokens = None;
                }
            }
            prompts.push(prompt);
            match turn.answer {
                Some(answer) => history.push(message("assistant", answer)),
                None => break,
            }
        }
        Ok(())
    }
}

/// A time to think, in seconds.
fn think_seconds(wanted: &Conversations, random: &mut ChaCha8Rng) -> f64 {
    let Some(think) = &wanted.think_time else {
        return 0.0;
    };
    let mean = think.mean.as_secs_f64();
    match think.distribution {
        ThinkDistribution::Constant => mean,
        ThinkDistribution::Exponential => {
            let drawn: f64 = Exp1.sample(random);
            drawn * mean
        }
    }
}
