//! Lengths in tokens: by the model's own tokenizer, or estimated where there is none.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bakeoff_crds::common::shortened;
use tokenizers::Tokenizer;

/// Bytes of a token where there is no tokenizer: about what English text has in the vocabularies of
/// today's models.
const BYTES_PER_TOKEN: usize = 4;

/// Most characters of an error: some hold the file's own text.
const MOST_SHOWN: usize = 300;
/// What a tokenizer must take before it is used: words, digits, signs, other scripts, white space.
const TRIAL: &str = "Hello, world 42! \u{e9}\u{4f60}\u{1f600}\n\t x";

/// Counts tokens.
#[derive(Clone)]
pub enum TokenCounter {
    /// The model's own tokenizer.
    Model(Box<Tokenizer>),
    /// A token for every four bytes, rounded up. Good enough for caps, not for figures.
    Estimate,
}

impl TokenCounter {
    /// The counter of a `tokenizer.json`, or the estimate without one.
    ///
    /// # Errors
    /// When the file is no tokenizer, or one that fails at its first text.
    pub fn new(tokenizer_json: Option<&[u8]>) -> Result<Self, String> {
        let Some(bytes) = tokenizer_json else {
            return Ok(Self::Estimate);
        };
        let read = || {
            let mut tokenizer = Tokenizer::from_bytes(bytes)?;
            // Some files hold the settings of a training run; they would cut or fill up what is
            // counted.
            tokenizer.with_truncation(None)?.with_padding(None);
            for special in [true, false] {
                tokenizer.encode_fast(TRIAL, special)?;
            }
            Ok(tokenizer)
        };
        let tokenizer = caught(read).map_err(|error| {
            format!(
                "{}; take the file from the model's own repository, as it is",
                shortened(&error, MOST_SHOWN)
            )
        })?;
        Ok(Self::Model(Box::new(tokenizer)))
    }

    /// Whether lengths are exact.
    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Model(_))
    }

    /// Length of a prompt as an engine counts it: with the special tokens that it adds, such as the
    /// one at the beginning.
    pub fn prompt(&self, text: &str) -> u32 {
        self.count(text, true)
    }

    /// Length of an answer: the text alone.
    pub fn answer(&self, text: &str) -> u32 {
        self.count(text, false)
    }

    /// The token that is put before a prompt, as it is written; none where there is no such one, or no
    /// tokenizer.
    pub fn begin(&self) -> Option<String> {
        let Self::Model(tokenizer) = self else {
            return None;
        };
        let ids = |special| {
            let encoded = caught(|| tokenizer.encode_fast(TRIAL, special)).ok()?;
            Some(encoded.get_ids().to_vec())
        };
        let (with, without) = (ids(true)?, ids(false)?);
        let first = with
            .first()
            .filter(|first| without.first() != Some(*first))?;
        tokenizer.id_to_token(*first)
    }

    fn count(&self, text: &str, special: bool) -> u32 {
        let estimate = || text.len().div_ceil(BYTES_PER_TOKEN);
        let tokens = match self {
            Self::Model(tokenizer) => caught(|| tokenizer.encode_fast(text, special))
                // Text that the tokenizer cannot take at all has no length of its own.
                .map_or_else(|_| estimate(), |encoding| encoding.len()),
            Self::Estimate => estimate(),
        };
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

/// What the tokenizer's library gives, with its panics as errors: it unwraps parts of files that are
/// well-formed and do not fit together, such as a merge of a token that the vocabulary lacks.
fn caught<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            let text = text.unwrap_or("its parts do not fit together");
            Err(format!("it cannot be used: {text}"))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tokenizer whose words are single tokens, those that it does not know as well.
    pub(crate) fn words_tokenizer() -> Vec<u8> {
        let vocabulary: serde_json::Map<String, serde_json::Value> = super::super::synthetic::WORDS
            .iter()
            .enumerate()
            .map(|(id, word)| ((*word).to_owned(), (id + 2).into()))
            .chain([("[UNK]".to_owned(), 0.into()), ("<s>".to_owned(), 1.into())])
            .collect();
        serde_json::to_vec(&serde_json::json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
            "padding": null,
            "added_tokens": [{"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
            },
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
        }))
        .unwrap()
    }

    /// A byte-level BPE tokenizer as today's models have: a word with the space before it is one token,
    /// and one without is one for each letter. A token of the beginning is added.
    pub(in crate::workload) fn bpe_tokenizer() -> Vec<u8> {
        let mut merges: Vec<String> = Vec::new();
        let mut vocabulary: Vec<String> = vec!["<s>".into(), "Ġ".into()];
        vocabulary.extend(('a'..='z').map(String::from));
        for word in super::super::synthetic::WORDS {
            let mut whole = "Ġ".to_owned();
            for letter in word.chars().map(String::from) {
                let merge = format!("{whole} {letter}");
                whole.push_str(&letter);
                if !merges.contains(&merge) {
                    merges.push(merge);
                    vocabulary.push(whole.clone());
                }
            }
        }
        let vocabulary: serde_json::Map<String, serde_json::Value> = vocabulary
            .into_iter()
            .zip(0_u32..)
            .map(|(token, id)| (token, id.into()))
            .collect();
        serde_json::to_vec(&serde_json::json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}
            },
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": merges}
        }))
        .unwrap()
    }

    #[test]
    fn the_token_of_the_beginning_is_read_from_what_it_adds() {
        for (file, expected) in [
            (Some(words_tokenizer()), Some("<s>")),
            (Some(bpe_tokenizer()), Some("<s>")),
            (None, None),
        ] {
            let counter = TokenCounter::new(file.as_deref()).unwrap();
            assert_eq!(counter.begin().as_deref(), expected);
        }
        let mut bare: serde_json::Value = serde_json::from_slice(&words_tokenizer()).unwrap();
        bare["post_processor"] = serde_json::Value::Null;
        let counter = TokenCounter::new(Some(bare.to_string().as_bytes())).unwrap();
        assert_eq!(counter.begin(), None);
    }

    #[test]
    fn the_models_tokenizer_counts_special_tokens_of_prompts_alone() {
        let counter = TokenCounter::new(Some(&words_tokenizer())).unwrap();
        // Over the file's own bound of 3.
        assert_eq!(counter.answer("time and way and day"), 5);
        assert_eq!(counter.prompt("time and way and day"), 6);
        assert!(counter.is_exact());
    }

    #[test]
    fn without_a_tokenizer_four_bytes_are_a_token() {
        let counter = TokenCounter::new(None).unwrap();
        for (text, tokens) in [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2)] {
            assert_eq!(counter.prompt(text), tokens, "{text}");
        }
        assert!(TokenCounter::new(Some(b"{}")).is_err());
    }
}
