mod chosen;
mod conversations;
mod made_up;
mod traces;

use super::*;
use crate::{
    testing::planned,
    workload::{
        frozen,
        tokens::tests::{bpe_tokenizer, words_tokenizer},
    },
};

/// The plan of a run with these prompts (YAML) and a seed.
fn plan(prompts: &str, seed: u64) -> Plan {
    let max_input = if prompts.contains("synthetic") {
        100
    } else {
        8
    };
    planned(&format!(
        "
  model: {{id: demo/model}}
  engines: [{{name: fake, simulated: {{protocol: OpenAiChat}}}}]
  workload:
    prompts: {prompts}
    limits: {{maxInputTokens: {max_input}, maxOutputTokens: 50}}
    seed: {seed}
  output: {{uri: 'file:///nowhere'}}"
    ))
}

fn with_tokenizer() -> Sources {
    Sources {
        tokenizer: Some(words_tokenizer().into()),
        ..Sources::default()
    }
}
