//! From bytes to the prompts that every engine gets. Same plan and same bytes, same prompts.

mod conversations;
mod replay;

use bakeoff_crds::{
    plan::Plan,
    run::{Limits, SyntheticPrompts},
};
use rand::seq::SliceRandom;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{
    Sources, WorkloadError,
    dataset::{self, Entry, message},
    synthetic,
    template::ChatTemplate,
    tokens::TokenCounter,
};
use crate::{
    prompt::{Message, Prompt},
    store::sha256_hex,
};

/// Prompts that are frozen where `workload.prompts.count` is left out.
const DEFAULT_COUNT: usize = 1000;

/// The prompts of a run, and what they were made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frozen {
    /// The prompts, in the order in which the requests take them.
    pub prompts: Vec<Prompt>,
    /// SHA-256 of the data set, where there is one.
    pub dataset_sha256: Option<String>,
    /// SHA-256 of the tokenizer, where one is used.
    pub tokenizer_sha256: Option<String>,
    /// Prompts of the data set left out because of their length.
    pub left_out: u64,
}

/// Makes the prompts of a plan.
///
/// Entries of a file are taken in an order that the seed decides. Without a tokenizer, lengths are
/// estimated (see [`TokenCounter`]), synthetic prompts have one word per token, and prompts carry no
/// token count.
///
/// # Errors
/// See [`WorkloadError`].
pub fn freeze(plan: &Plan, sources: &Sources) -> Result<Frozen, WorkloadError> {
    let workload = &plan.spec.workload;
    let tokenizer = sources.tokenizer.as_deref();
    let maker = Maker {
        template: ChatTemplate::choose(
            plan.spec.model.chat_template.as_deref(),
            sources.tokenizer_config.as_deref(),
        )
        .map_err(WorkloadError::Template)?,
        counter: TokenCounter::new(tokenizer).map_err(WorkloadError::Tokenizer)?,
        limits: &workload.limits,
        system: workload.prompts.system.as_deref(),
    };
    let mut random = ChaCha8Rng::seed_from_u64(workload.seed);
    let count = workload
        .prompts
        .count
        .map_or(DEFAULT_COUNT, |count| count as usize);
    let prompts = &workload.prompts;
    let (chosen, left_out) = if !prompts.inline.is_empty() {
        (maker.inline(&prompts.inline)?, 0)
    } else if let Some(wanted) = &prompts.conversations {
        let all = maker.recorded(prompts, wanted, sources, count, &mut random)?;
        maker.conversations(wanted, all, count, &mut random)?
    } else if let Some(synthetic) = &prompts.synthetic {
        (maker.synthetic(synthetic, count, &mut random)?, 0)
    } else if let Some(trace) = &prompts.trace {
        maker.traced(&sources.dataset_text()?, trace, workload.seed)?
    } else {
        let file = &sources.dataset_text()?;
        let entries = if prompts.share_gpt.is_some() {
            dataset::share_gpt::entries(file)?
        } else if prompts.jsonl.is_some() {
            dataset::json_lines::entries(file)?
        } else {
            return Err(WorkloadError::NoPrompts);
        };
        maker.choose(entries, count, &mut random)?
    };
    Ok(Frozen {
        prompts: chosen,
        dataset_sha256: sources.dataset.as_deref().map(sha256_hex),
        tokenizer_sha256: tokenizer.map(sha256_hex),
        left_out,
    })
}

/// What every prompt is made with.
struct Maker<'a> {
    template: Option<ChatTemplate>,
    counter: TokenCounter,
    limits: &'a Limits,
    /// What begins every prompt.
    system: Option<&'a str>,
}

impl Maker<'_> {
    fn prompt(
        &self,
        index: usize,
        messages: Vec<Message>,
        max_tokens: u32,
    ) -> Result<Prompt, WorkloadError> {
        let messages = self.with_system(messages);
        let text = self.plain(&messages)?;
        Ok(Prompt {
            index: index as u64,
            input_tokens: self.counter.is_exact().then(|| self.counter.prompt(&text)),
            messages,
            text,
            max_tokens: max_tokens.clamp(1, self.limits.max_output_tokens),
            ..Prompt::default()
        })
    }

    /// The messages with the run's system message, in place of one of their own.
    fn with_system(&self, mut messages: Vec<Message>) -> Vec<Message> {
        let Some(system) = self.system else {
            return messages;
        };
        if messages.first().is_some_and(|first| first.role == "system") {
            messages.remove(0);
        }
        messages.insert(0, message("system", system.to_owned()));
        messages
    }

    /// The plain prompt: by the chat template, else the messages' text, an empty line between two.
    fn plain(&self, messages: &[Message]) -> Result<String, WorkloadError> {
        match &self.template {
            Some(template) => template.render(messages).map_err(WorkloadError::Template),
            None => {
                let texts: Vec<&str> = messages
                    .iter()
                    .map(|message| message.content.as_str())
                    .collect();
                Ok(texts.join("\n\n"))
            }
        }
    }

    /// Length of a made-up prompt as an engine counts it, chat template, system message and all; one token a word
    /// without a tokenizer.
    fn made_up_length(&self, text: &str) -> u32 {
        if !self.counter.is_exact() {
            return self.words_length(text);
        }
        let messages = self.with_system(vec![message("user", text.to_owned())]);
        self.counter
            .prompt(&self.plain(&messages).unwrap_or_default())
    }

    /// Length of made-up text alone.
    fn words_length(&self, text: &str) -> u32 {
        if self.counter.is_exact() {
            self.counter.answer(text)
        } else {
            u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
        }
    }

    fn inline(&self, texts: &[String]) -> Result<Vec<Prompt>, WorkloadError> {
        texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let messages = vec![message("user", text.clone())];
                self.prompt(index, messages, self.limits.max_output_tokens)
            })
            .collect()
    }

    fn synthetic(
        &self,
        wanted: &SyntheticPrompts,
        count: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<Vec<Prompt>, WorkloadError> {
        let length = |text: &str| self.made_up_length(text);
        // A template that cannot be applied says so at the first prompt.
        self.plain(&self.with_system(vec![message("user", "hello".into())]))?;
        let prefixes = synthetic::shared_prefixes(wanted, random, length);
        (0..count)
            .map(|index| {
                let prefix = synthetic::prefix(&prefixes, index);
                let tokens =
                    synthetic::draw(&wanted.input_tokens, random).min(self.limits.max_input_tokens);
                let text = synthetic::text(prefix, tokens, random, length);
                let answer = synthetic::draw(&wanted.output_tokens, random);
                self.prompt(index, vec![message("user", text)], answer)
            })
            .collect()
    }

    fn choose(
        &self,
        mut entries: Vec<Entry>,
        count: usize,
        random: &mut ChaCha8Rng,
    ) -> Result<(Vec<Prompt>, u64), WorkloadError> {
        entries.shuffle(random);
        let mut prompts = Vec::new();
        let mut left_out = 0;
        for entry in entries {
            if prompts.len() == count {
                break;
            }
            let answer = entry
                .output_tokens
                .or_else(|| {
                    entry
                        .answer
                        .as_deref()
                        .map(|answer| self.counter.answer(answer))
                })
                .unwrap_or(self.limits.max_output_tokens);
            let mut prompt = self.prompt(prompts.len(), entry.messages, answer)?;
            prompt.expected = entry.expected;
            let length = prompt
                .input_tokens
                .unwrap_or_else(|| self.counter.prompt(&prompt.text));
            if length > self.limits.max_input_tokens {
                left_out += 1;
            } else {
                prompts.push(prompt);
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
}

#[cfg(test)]
mod tests;
