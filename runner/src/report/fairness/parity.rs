//! What the engines answered to the same questions.

use std::collections::{BTreeMap, BTreeSet};

use bakeoff_crds::report::{EngineReport, FairnessFinding, ProbeAnswer, ProbeQuestion};

use super::{differs, unknown};

const NOT_ASKED: &str = "it gave no whole answer to the parity probe";

fn questions(engine: &EngineReport) -> impl Iterator<Item = &ProbeQuestion> {
    engine.probes.iter().flat_map(|probe| &probe.questions)
}

/// Answers that are whole.
fn answers(question: &ProbeQuestion) -> impl Iterator<Item = &ProbeAnswer> {
    question.answers.iter().filter(|it| it.failure.is_none())
}

/// One finding for each engine at the most: `judge` says what differs, or that it was not told.
fn each(
    engines: &[&EngineReport],
    judge: impl Fn(&EngineReport) -> Option<FairnessFinding>,
) -> Vec<FairnessFinding> {
    let asked = |engine: &EngineReport| questions(engine).flat_map(answers).next().is_some();
    engines
        .iter()
        .filter_map(|engine| match asked(engine) {
            true => judge(engine),
            false => Some(unknown(Some(&engine.name), NOT_ASKED)),
        })
        .collect()
}

/// Tokens of the same prompt: by the tokenizer and the engine, then by one engine and another.
pub fn input_tokens(engines: &[&EngineReport]) -> Vec<FairnessFinding> {
    let mut found = each(engines, |engine| {
        let name = Some(engine.name.as_str());
        let counted = |question: &ProbeQuestion| answers(question).find_map(|it| it.input_tokens);
        if !questions(engine).any(|question| counted(question).is_some()) {
            return Some(unknown(name, "it does not tell the length of a prompt"));
        }
        let differing = questions(engine).find_map(|question| {
            let (found, tokens) = (counted(question)?, question.tokens?);
            (found != tokens).then(|| {
                let why = why(found, tokens, question.bare_tokens);
                let prompt = question.prompt;
                format!("it counts {found} tokens in prompt {prompt}, and the model's tokenizer {tokens}: {why}")
            })
        });
        differing.map(|message| differs(name, message))
    });
    found.extend(among(engines));
    found
}

/// What a difference from the tokenizer's count points to.
fn why(found: u32, tokens: u32, bare: Option<u32>) -> &'static str {
    let special = bare.map_or(0, |bare| tokens.saturating_sub(bare));
    match bare {
        Some(bare) if special > 0 && found == bare => {
            "it does not add the tokens of the beginning that the tokenizer adds"
        }
        Some(_) if special > 0 && found == tokens.saturating_add(special) => {
            "it adds the tokens of the beginning twice"
        }
        _ => "its chat template or its tokenizer is another",
    }
}

/// The engines' counts of a prompt that was put to several of them.
fn among(engines: &[&EngineReport]) -> Option<FairnessFinding> {
    let mut counts: BTreeMap<u64, Vec<(&str, u32)>> = BTreeMap::new();
    for engine in engines {
        for question in questions(engine) {
            let tokens = answers(question).find_map(|it| it.input_tokens);
            let known = counts.entry(question.prompt).or_default();
            let name = engine.name.as_str();
            if let Some(tokens) = tokens
                && known.iter().all(|(known, _)| *known != name)
            {
                known.push((name, tokens));
            }
        }
    }
    let unlike = |(_, counts): &(u64, Vec<(&str, u32)>)| {
        let different: BTreeSet<u32> = counts.iter().map(|(_, tokens)| *tokens).collect();
        different.len() > 1
    };
    let (prompt, counts) = counts.into_iter().find(unlike)?;
    let counts: Vec<_> = counts
        .iter()
        .map(|(engine, tokens)| format!("{tokens} by {engine}"))
        .collect();
    let counts = counts.join(", ");
    Some(differs(
        None,
        format!("prompt {prompt} has {counts} tokens: the engines do not work on the same input"),
    ))
}

/// Answers that were to run to a length.
pub fn forced_length(engines: &[&EngineReport]) -> Vec<FairnessFinding> {
    each(engines, |engine| {
        let name = Some(engine.name.as_str());
        let mut told = false;
        for question in questions(engine).filter(|it| it.forced) {
            for tokens in answers(question).filter_map(|it| it.output_tokens) {
                told = true;
                let asked = question.asked_tokens;
                if tokens != asked {
                    let message = format!(
                        "its answer has {tokens} tokens where {asked} were asked for: it cannot be \
                         held to a length, so compare it per token"
                    );
                    return Some(differs(name, message));
                }
            }
        }
        (!told).then(|| unknown(name, "it does not tell the length of an answer"))
    })
}

/// Answers to the same prompt at temperature 0, one request at a time.
pub fn greedy(engines: &[&EngineReport]) -> Vec<FairnessFinding> {
    each(engines, |engine| {
        let name = Some(engine.name.as_str());
        let mut twice = false;
        for question in questions(engine) {
            let digests: Vec<&str> = answers(question)
                .filter_map(|it| it.digest.as_deref())
                .collect();
            twice |= digests.len() > 1;
            if digests.windows(2).any(|pair| pair.first() != pair.last()) {
                let prompt = question.prompt;
                let message = format!(
                    "it answers prompt {prompt} in several ways at temperature 0: it does not sample \
                     greedily, or its kernels are not deterministic"
                );
                return Some(differs(name, message));
            }
        }
        (!twice).then(|| unknown(name, "it did not answer the same prompt twice"))
    })
}

/// Engines that said the same and counted it differently, where the model ended the answer: some
/// count the token of the end.
pub fn end_token(engines: &[&EngineReport]) -> Vec<FairnessFinding> {
    let mut counts: BTreeMap<(u64, &str), Vec<(&str, u32)>> = BTreeMap::new();
    for engine in engines {
        for question in questions(engine) {
            let ended = answers(question).filter(|it| it.finish.as_deref() == Some("stop"));
            for answer in ended {
                if let Some((digest, tokens)) = answer.digest.as_deref().zip(answer.output_tokens) {
                    let known = counts.entry((question.prompt, digest)).or_default();
                    known.push((&engine.name, tokens));
                }
            }
        }
    }
    let pairs = counts.into_iter().filter_map(|((prompt, _), counts)| {
        let (first, tokens) = *counts.first()?;
        let (second, others) = *counts.iter().find(|(_, others)| *others != tokens)?;
        Some(format!(
            "the same answer to prompt {prompt} has {tokens} tokens by {first} and {others} by {second}: \
             one counts the token of the end"
        ))
    });
    pairs
        .take(1)
        .map(|message| differs(None, message))
        .collect()
}
