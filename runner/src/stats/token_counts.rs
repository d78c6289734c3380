//! Who counted the tokens, and whether two who did agree.

use bakeoff_crds::report::TokenCountSource;

use super::requests::whole;
use crate::record::Record;

/// Length of a prompt: the engine's figure first, the tokenizer's second.
pub(super) fn input_tokens(record: &Record, prompt_tokens: &[Option<u32>]) -> Option<u32> {
    let by_tokenizer = || {
        let at = usize::try_from(record.prompt).ok()?;
        *prompt_tokens.get(at)?
    };
    record.input_tokens.or_else(by_tokenizer)
}

/// Who counted, where it is one for all: the engine where it counted any.
pub(super) fn source(records: &[Record]) -> TokenCountSource {
    if whole(records).any(|record| record.output_tokens.is_some()) {
        TokenCountSource::Server
    } else if whole(records).any(|record| record.tokenizer_output_tokens.is_some()) {
        TokenCountSource::Tokenizer
    } else {
        TokenCountSource::None
    }
}

fn both_counts(records: &[Record]) -> impl Iterator<Item = (u32, u32)> {
    whole(records).filter_map(|record| record.output_tokens.zip(record.tokenizer_output_tokens))
}

/// Answers that engine and tokenizer counted differently.
pub(super) fn mismatches(records: &[Record]) -> u64 {
    both_counts(records)
        .filter(|(engine, tokenizer)| engine != tokenizer)
        .count() as u64
}

/// All tokens of answers that both counted: by the engine, and by the tokenizer.
pub(super) fn counted_twice(records: &[Record]) -> Option<(u64, u64)> {
    both_counts(records)
        .map(|(engine, tokenizer)| (u64::from(engine), u64::from(tokenizer)))
        .reduce(|sums, counts| (sums.0 + counts.0, sums.1 + counts.1))
}
