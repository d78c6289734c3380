//! From frozen prompts to the requests of each arrival.

use std::sync::Arc;

use bakeoff_crds::{plan::http::HttpFormatError, run::History};

use crate::{
    answer::Expected,
    clock,
    drive::{Compose, Turn},
    prompt::{Message, Prompt},
    protocol::Codec,
    wire::{request::RequestHead, target::Target},
};

/// What makes a body a whole request.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) codec: Arc<Codec>,
    pub(super) head: RequestHead,
    pub(super) target: Target,
}

impl Writer {
    /// The request for some prompts under one of the names that may be asked for.
    pub(super) fn request(
        &self,
        prompts: &[&Prompt],
        name: u16,
    ) -> Result<Arc<[u8]>, HttpFormatError> {
        let body = self.codec.encode(prompts, name)?;
        Ok(self.head.post(&self.target, &body))
    }

    fn under_each_name(&self, prompts: &[&Prompt]) -> Result<Box<[Arc<[u8]>]>, HttpFormatError> {
        (0..self.codec.names())
            .map(|name| self.request(prompts, name))
            .collect()
    }
}

/// The turns of each arrival, with one request for every name that may be asked for.
///
/// The prompts of a conversation follow one another in the frozen file, and so do those of a request
/// that takes several; the last of these is filled up from the file's beginning. With the engine's
/// own answers as history, requests after the first are left to [`Answers`].
///
/// # Errors
/// Where a protocol's template gives nothing for a prompt.
pub(super) fn of(
    prompts: &[Prompt],
    writer: &Writer,
    history: Option<History>,
) -> Result<Vec<Vec<Turn>>, HttpFormatError> {
    let together = writer.codec.prompts_per_request();
    let mut arrivals: Vec<Vec<Turn>> = Vec::new();
    let mut before: Option<u64> = None;
    for (begin, prompt) in prompts.iter().enumerate().step_by(together) {
        let goes_on = prompt.conversation.is_some() && prompt.conversation == before;
        before = prompt.conversation;
        let taken: Vec<&Prompt> = taken(prompts, begin, together).collect();
        let turn = Turn {
            prompt: begin as u64,
            think: clock::nanos(prompt.think_seconds.unwrap_or(0.0)),
            requests: if goes_on && history == Some(History::Answers) {
                Box::default()
            } else {
                writer.under_each_name(&taken)?
            },
            echo: writer.codec.echo(&taken),
        };
        match arrivals.last_mut().filter(|_| goes_on) {
            Some(turns) => turns.push(turn),
            None => arrivals.push(vec![turn]),
        }
    }
    Ok(arrivals)
}

/// Tokens of the prompts of the request that begins with each prompt, by the tokenizer, where they
/// are known.
pub(super) fn prompt_tokens(prompts: &[Prompt], together: usize) -> Vec<Option<u32>> {
    (0..prompts.len())
        .map(|begin| {
            taken(prompts, begin, together)
                .map(|prompt| prompt.input_tokens)
                .reduce(|sum, tokens| Some(sum?.saturating_add(tokens?)))
                .flatten()
        })
        .collect()
}

/// Most tokens that the answers to the request that begins with each prompt may have together: each
/// of them as many as the longest.
pub(super) fn asked_tokens(prompts: &[Prompt], together: usize) -> Vec<u32> {
    let number = u32::try_from(together).unwrap_or(u32::MAX);
    (0..prompts.len())
        .map(|begin| {
            let longest = taken(prompts, begin, together).map(|prompt| prompt.max_tokens);
            longest.max().unwrap_or_default().saturating_mul(number)
        })
        .collect()
}

/// Right answers by prompt. Empty with several prompts per request, whose answers are not told
/// apart.
pub(super) fn expected(prompts: &[Prompt], together: usize) -> Arc<[Option<Expected>]> {
    let alone = prompts.iter().filter(|_| together == 1);
    alone.map(|prompt| prompt.expected.clone()).collect()
}

fn taken(prompts: &[Prompt], begin: usize, together: usize) -> impl Iterator<Item = &Prompt> {
    prompts.iter().cycle().skip(begin).take(together)
}

/// Makes the requests of turns that have the engine's own answers before them.
pub(super) struct Answers {
    pub(super) writer: Writer,
    pub(super) prompts: Vec<Prompt>,
}

impl Answers {
    fn prompt(&self, place: u64) -> Option<&Prompt> {
        usize::try_from(place)
            .ok()
            .and_then(|at| self.prompts.get(at))
    }
}

impl Compose for Answers {
    fn next(
        &self,
        before: &mut Vec<Message>,
        said: u64,
        answer: String,
        next: &Turn,
        name: u16,
    ) -> Option<Arc<[u8]>> {
        if before.is_empty() {
            before.extend(self.prompt(said)?.messages.iter().cloned());
        }
        before.push(Message {
            role: "assistant".into(),
            content: answer,
        });
        let next = self.prompt(next.prompt)?;
        before.extend(next.messages.iter().cloned());
        let prompt = Prompt {
            messages: std::mem::take(before),
            max_tokens: next.max_tokens,
            ..Prompt::default()
        };
        let request = self.writer.request(&[&prompt], name).ok();
        *before = prompt.messages;
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_several_prompts_are_added_up() {
        let prompt = |input_tokens| Prompt {
            input_tokens,
            ..Prompt::default()
        };
        let prompts = [prompt(Some(1)), prompt(Some(2)), prompt(Some(4))];
        assert_eq!(prompt_tokens(&prompts, 1), [Some(1), Some(2), Some(4)]);
        assert_eq!(prompt_tokens(&prompts, 2), [Some(3), Some(6), Some(5)]);
        assert_eq!(
            prompt_tokens(&[prompt(None), prompt(Some(1))], 2),
            [None, None]
        );
    }

    #[test]
    fn several_answers_may_each_be_as_long_as_the_longest_and_are_not_judged() {
        let prompt = |max_tokens| Prompt {
            max_tokens,
            expected: Some(Expected::default()),
            ..Prompt::default()
        };
        let prompts = [prompt(1), prompt(2), prompt(4)];
        assert_eq!(asked_tokens(&prompts, 1), [1, 2, 4]);
        assert_eq!(asked_tokens(&prompts, 2), [4, 8, 8]);
        assert_eq!(expected(&prompts, 1).len(), 3);
        assert!(expected(&prompts, 2).is_empty());
    }
}
