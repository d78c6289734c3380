//! Lengths in tokens: by the model's own tokenizer, or estimated where there is none.

use tokenizers::Tokenizer;

/// Bytes of a token where there is no tokenizer: about what English text has in the vocabularies of
/// today's models.
const BYTES_PER_TOKEN: usize = 4;

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
    /// When the file is no tokenizer.
    pub fn new(tokenizer_json: Option<&[u8]>) -> Result<Self, String> {
        let Some(bytes) = tokenizer_json else {
            return Ok(Self::Estimate);
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
        // Some files hold the settings of a training run; they would cut or fill up what is counted.
        tokenizer
            .with_truncation(None)
            .map_err(|error| error.to_string())?
            .with_padding(None);
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

    fn count(&self, text: &str, special: bool) -> u32 {
        let estimate = || text.len().div_ceil(BYTES_PER_TOKEN);
        let tokens = match self {
            Self::Model(tokenizer) => tokenizer
                .encode_fast(text, special)
                // Text that the tokenizer cannot take at all has no length of its own.
                .map_or_else(|_| estimate(), |encoding| encoding.len()),
            Self::Estimate => estimate(),
        };
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A tokenizer whose words are single tokens, those that it does not know as well.
    pub(in crate::workload) fn words_tokenizer() -> Vec<u8> {
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
