//! What engines make of the token of the beginning where a prompt has it already, as one does that a
//! chat template was applied to.

use std::collections::BTreeMap;

use bakeoff_crds::report::{EngineReport, FairnessFinding};

use super::{differs, unknown};

/// How an engine reads the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reading {
    /// As the token, beside the one that it adds itself.
    Twice,
    /// As the token; it adds none itself.
    Once,
    /// It sees that the token is there, and adds none.
    Noticed,
    /// As text.
    Text,
}

impl Reading {
    fn words(self) -> &'static str {
        match self {
            Self::Twice => "adds another one",
            Self::Once => "takes it as it is",
            Self::Noticed => "adds none because it is there",
            Self::Text => "takes it for text",
        }
    }
}

/// Engines that read the token in different ways. None where no engine was asked.
pub fn begin_token(engines: &[&EngineReport]) -> Option<Vec<FairnessFinding>> {
    let mut any = false;
    let mut found = Vec::new();
    let mut readings: BTreeMap<Reading, Vec<&str>> = BTreeMap::new();
    for engine in engines {
        let begun = engine.probes.iter().filter(|probe| probe.begin.is_some());
        let mut told = begun.peekable();
        if told.peek().is_none() {
            continue;
        }
        any = true;
        let reading = told.find_map(|probe| {
            let question = probe.questions.first()?;
            let mut whole = question.answers.iter().filter(|it| it.failure.is_none());
            let plain = whole.find_map(|it| it.input_tokens)?;
            let begun = probe.begin.as_ref()?.input_tokens?;
            Some(reading(plain, begun, question.bare_tokens))
        });
        match reading {
            Some(reading) => readings.entry(reading).or_default().push(&engine.name),
            None => found.push(unknown(
                Some(&engine.name),
                "it does not tell how it counts a prompt that has the token of the beginning already",
            )),
        }
    }
    if readings.len() > 1 {
        let words: Vec<String> = readings
            .iter()
            .map(|(reading, engines)| format!("{} {}", engines.join(" and "), reading.words()))
            .collect();
        found.push(differs(
            None,
            format!(
                "of a prompt that has the token of the beginning already, {}",
                words.join(", ")
            ),
        ));
    }
    any.then_some(found)
}

/// From the counts of a prompt without the token and with it, and its bare length by the tokenizer.
fn reading(plain: u32, begun: u32, bare: Option<u32>) -> Reading {
    let adds = bare.is_none_or(|bare| plain > bare);
    match begun.checked_sub(plain) {
        None | Some(0) => Reading::Noticed,
        Some(1) if adds => Reading::Twice,
        Some(1) => Reading::Once,
        Some(_) => Reading::Text,
    }
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::report::{FairnessStatus, Probe, ProbeAnswer, ProbeBegin, ProbeQuestion};

    use super::*;

    fn engine(name: &str, plain: u32, begun: Option<u32>) -> EngineReport {
        EngineReport {
            name: name.to_owned(),
            probes: vec![Probe {
                begin: Some(ProbeBegin {
                    token: "<s>".into(),
                    input_tokens: begun,
                }),
                questions: vec![ProbeQuestion {
                    bare_tokens: Some(7),
                    answers: vec![ProbeAnswer {
                        input_tokens: Some(plain),
                        ..ProbeAnswer::default()
                    }],
                    ..ProbeQuestion::default()
                }],
                ..Probe::default()
            }],
            ..EngineReport::default()
        }
    }

    fn found(engines: &[EngineReport]) -> Option<Vec<(FairnessStatus, String)>> {
        let engines: Vec<&EngineReport> = engines.iter().collect();
        let found = begin_token(&engines)?.into_iter();
        Some(found.map(|it| (it.status, it.message)).collect())
    }

    #[test]
    fn engines_that_read_the_token_alike_are_alike() {
        for (plain, begun) in [(8, 9), (7, 8), (8, 8), (8, 12)] {
            let both = [
                engine("a", plain, Some(begun)),
                engine("b", plain, Some(begun)),
            ];
            assert_eq!(found(&both), Some(vec![]), "{plain} {begun}");
        }
        assert_eq!(found(&[EngineReport::default()]), None);
    }

    #[test]
    fn each_way_to_read_it_is_named() {
        let all = [
            engine("twice", 8, Some(9)),
            engine("once", 7, Some(8)),
            engine("noticed", 8, Some(8)),
            engine("text", 8, Some(11)),
            engine("silent", 8, None),
        ];
        let found = found(&all).unwrap();
        assert_eq!(found[0].0, FairnessStatus::Unproven);
        assert_eq!(
            found[1],
            (
                FairnessStatus::Deviating,
                "of a prompt that has the token of the beginning already, twice adds another one, \
                 once takes it as it is, noticed adds none because it is there, text takes it for text"
                    .to_owned()
            )
        );
    }
}
