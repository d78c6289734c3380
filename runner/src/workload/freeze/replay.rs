//! Prompts of a trace: one per request, in the order of time, each with its time.

use std::collections::BTreeMap;

use bakeoff_crds::run::Trace;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::Maker;
use crate::{
    prompt::Prompt,
    workload::{
        WorkloadError,
        dataset::message,
        synthetic,
        trace::{Content, TracedRequest, read},
    },
};

/// Tokens of a block that has an id, in Mooncake's traces.
const BLOCK: u32 = 512;

impl Maker<'_> {
    /// The prompts of a trace, up to its `maxRequests`, and how many were left out because of their
    /// length.
    pub(super) fn traced(
        &self,
        file: &[u8],
        trace: &Trace,
        seed: u64,
    ) -> Result<(Vec<Prompt>, u64), WorkloadError> {
        // A template that cannot be applied says so at the first prompt.
        self.plain(&[message("user", "hello".into())])?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut blocks = Blocks {
            maker: self,
            seed,
            texts: BTreeMap::new(),
        };
        let mut prompts = Vec::new();
        let mut left_out = 0;
        for request in read(file, trace)? {
            if prompts.len() == trace.max_requests as usize {
                break;
            }
            match self.traced_prompt(prompts.len(), request, &mut blocks, &mut random)? {
                Some(prompt) => prompts.push(prompt),
                None => left_out += 1,
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

    /// The prompt of one request; none where it is too long.
    fn traced_prompt(
        &self,
        index: usize,
        request: TracedRequest,
        blocks: &mut Blocks<'_>,
        random: &mut ChaCha8Rng,
    ) -> Result<Option<Prompt>, WorkloadError> {
        let most = self.limits.max_input_tokens;
        let made_up = matches!(request.content, Content::Length { .. });
        let messages = match request.content {
            Content::Length { tokens, .. } if tokens > most => return Ok(None),
            Content::Length {
                tokens,
                blocks: ids,
            } => vec![message("user", blocks.text(tokens.max(1), &ids, random))],
            Content::Messages(messages) => messages,
        };
        let answer = request
            .output_tokens
            .unwrap_or(self.limits.max_output_tokens);
        let mut prompt = self.prompt(index, messages, answer)?;
        prompt.arrival_nanos = Some(request.at);
        if made_up {
            return Ok(Some(prompt));
        }
        let length = prompt.input_tokens;
        let length = length.unwrap_or_else(|| self.counter.prompt(&prompt.text));
        Ok((length <= most).then_some(prompt))
    }
}

/// Texts of the blocks so far, by id.
struct Blocks<'a> {
    maker: &'a Maker<'a>,
    seed: u64,
    texts: BTreeMap<u64, String>,
}

impl Blocks<'_> {
    /// Text of so many tokens that begins with the blocks' texts, as far as they go, and ends with
    /// words of the last block's own.
    fn text(&mut self, tokens: u32, ids: &[u64], random: &mut ChaCha8Rng) -> String {
        // The last block is as long as what is left, so that the whole is exact.
        let whole = ((tokens - 1) / BLOCK) as usize;
        let mut prefix = String::new();
        for (place, &id) in ids.iter().take(whole).enumerate() {
            if place > 0 {
                prefix.push(' ');
            }
            prefix.push_str(self.block(id, place == 0));
        }
        let length = |text: &str| self.maker.made_up_length(text);
        match ids.get(whole) {
            Some(&id) => synthetic::text(&prefix, tokens, &mut self.random_of(id), length),
            None => synthetic::text(&prefix, tokens, random, length),
        }
    }

    fn random_of(&self, id: u64) -> ChaCha8Rng {
        // An odd constant spreads neighbouring numbers over all bits (SplitMix64's increment).
        ChaCha8Rng::seed_from_u64(
            self.seed ^ id.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        )
    }

    /// Text of one block. The first block of a prompt makes room for what the chat template adds;
    /// the others are measured as they stand, after another word.
    fn block(&mut self, id: u64, is_first: bool) -> &str {
        let mut random = self.random_of(id);
        let maker = self.maker;
        self.texts.entry(id).or_insert_with(|| {
            if is_first {
                return synthetic::text("", BLOCK, &mut random, |text| maker.made_up_length(text));
            }
            let before = maker.words_length("the");
            synthetic::text("", BLOCK, &mut random, |text| {
                maker
                    .words_length(&format!("the {text}"))
                    .saturating_sub(before)
            })
        })
    }
}
