//! The engines' answers against each other.

use std::collections::BTreeMap;

use bakeoff_crds::report::{Agreement, EngineReport, QualityDifference};

use crate::{
    report::spread::counts,
    stats::interval::{of_share, of_share_difference},
};

/// Most pairs of engines of which a sentence is made; all of them are in the report.
const MOST_PAIRS: usize = 10;

/// Digests of one engine's answers, by prompt.
type Answers<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// How often each engine agrees with itself, and each two with each other. Invalid stages take no
/// part; pairs without a prompt in common are left out.
pub fn agreement(engines: &[EngineReport]) -> Vec<Agreement> {
    let answers: Vec<(&str, Answers<'_>)> = engines
        .iter()
        .map(|engine| (engine.name.as_str(), answers(engine)))
        .collect();
    let mut found = Vec::new();
    for (place, (first, ours)) in answers.iter().enumerate() {
        let shares: Vec<f64> = ours
            .values()
            .filter_map(|texts| with_itself(texts))
            .collect();
        found.extend(mean(first, first, &shares));
        for (second, theirs) in answers.iter().skip(place + 1) {
            let shares: Vec<f64> = ours
                .iter()
                .filter_map(|(prompt, texts)| Some(with_other(texts, theirs.get(prompt)?)))
                .collect();
            found.extend(mean(first, second, &shares));
        }
    }
    found
}

fn answers(engine: &EngineReport) -> Answers<'_> {
    let mut answers = Answers::new();
    for stage in engine.stages.iter().filter(|stage| counts(stage)) {
        for (prompt, digests) in &stage.answer_digests {
            let known = answers.entry(prompt).or_default();
            known.extend(digests.iter().map(String::as_str));
        }
    }
    answers.retain(|_, digests| !digests.is_empty());
    answers
}

fn mean(first: &str, second: &str, shares: &[f64]) -> Option<Agreement> {
    (!shares.is_empty()).then(|| Agreement {
        first: first.to_owned(),
        second: second.to_owned(),
        prompts: shares.len() as u64,
        share: shares.iter().sum::<f64>() / shares.len() as f64,
    })
}

fn times<'a>(texts: &[&'a str]) -> BTreeMap<&'a str, f64> {
    texts.iter().fold(BTreeMap::new(), |mut times, text| {
        *times.entry(*text).or_default() += 1.0;
        times
    })
}

/// Share of equal pairs among the answers of one; none for a single answer.
fn with_itself(texts: &[&str]) -> Option<f64> {
    let all = texts.len() as f64;
    let pairs = all * (all - 1.0);
    let equal: f64 = times(texts)
        .values()
        .map(|times| times * (times - 1.0))
        .sum();
    (texts.len() > 1).then(|| equal / pairs)
}

/// Share of equal pairs of an answer of one and an answer of the other.
fn with_other(ours: &[&str], theirs: &[&str]) -> f64 {
    let other = times(theirs);
    let equal: f64 = times(ours)
        .iter()
        .filter_map(|(text, times)| Some(times * other.get(text)?))
        .sum();
    equal / (ours.len() * theirs.len()) as f64
}

/// Answers of an engine that were right, of so many: over all stages, but as of no more than the
/// different prompts of the stage that had most, since stages and rounds may ask the same again.
fn right(engine: &EngineReport) -> Option<(u64, u64)> {
    let stages = engine.stages.iter().filter(|stage| counts(stage));
    let found: Vec<_> = stages.filter_map(|stage| stage.quality.as_ref()).collect();
    let matched: u64 = found.iter().map(|quality| quality.matched).sum();
    let judged: u64 = found.iter().map(|quality| quality.judged).sum();
    let prompts = found.iter().map(|quality| quality.prompts).max()?;
    let share = matched as f64 / judged.max(1) as f64;
    Some(((share * prompts as f64).round() as u64, prompts))
}

/// Whether each two engines differ in their share of right answers.
pub fn quality(engines: &[EngineReport]) -> Vec<QualityDifference> {
    let shares: Vec<(&str, (u64, u64))> = engines
        .iter()
        .filter_map(|engine| Some((engine.name.as_str(), right(engine)?)))
        .collect();
    let mut found = Vec::new();
    for (place, (first, ours)) in shares.iter().enumerate() {
        for (second, theirs) in shares.iter().skip(place + 1) {
            let Some(interval) = of_share_difference(*ours, *theirs) else {
                continue;
            };
            let share = |(matched, judged): (u64, u64)| matched as f64 / judged as f64;
            found.push(QualityDifference {
                first: (*first).to_owned(),
                second: (*second).to_owned(),
                value: share(*ours) - share(*theirs),
                interval,
                shown: interval.low > 0.0 || interval.high < 0.0,
            });
        }
    }
    found
}

/// Agreement and quality in a few sentences.
pub fn notes(
    engines: &[EngineReport],
    agreement: &[Agreement],
    differences: &[QualityDifference],
) -> Vec<String> {
    let percent = crate::report::format::percent;
    // Of many pairs, those that agree least, and those that are shown to differ.
    let mut agreement: Vec<_> = agreement.iter().collect();
    if agreement.len() > MOST_PAIRS {
        agreement.sort_by(|a, b| a.share.total_cmp(&b.share));
    }
    let mut differences: Vec<_> = differences.iter().collect();
    if differences.len() > MOST_PAIRS {
        differences.sort_by_key(|pair| !pair.shown);
    }
    let agreed = agreement.into_iter().take(MOST_PAIRS).map(|pair| {
        let share = percent(pair.share);
        if pair.first == pair.second {
            format!(
                "{} gave the same answer again {share} of the times, over {} prompts that it answered more than once.",
                pair.first, pair.prompts
            )
        } else {
            format!(
                "{} and {} gave the same answer {share} of the times, over {} prompts.",
                pair.first, pair.second, pair.prompts
            )
        }
    });
    let right = engines.iter().filter_map(|engine| {
        let (matched, judged) = right(engine)?;
        let interval = of_share(matched, judged)?;
        Some(format!(
            "{}: {} of the answers are right (95 % CI {} to {}).",
            engine.name,
            percent(matched as f64 / judged as f64),
            percent(interval.low),
            percent(interval.high)
        ))
    });
    let differ = differences.into_iter().take(MOST_PAIRS).map(|pair| {
        let interval = format!(
            "{:+.1} points, 95 % CI {:+.1} to {:+.1}",
            pair.value * 100.0,
            pair.interval.low * 100.0,
            pair.interval.high * 100.0
        );
        if pair.shown {
            format!(
                "{} and {} differ in quality ({interval}).",
                pair.first, pair.second
            )
        } else {
            format!(
                "No difference in quality is shown between {} and {} ({interval}).",
                pair.first, pair.second
            )
        }
    });
    agreed.chain(right).chain(differ).collect()
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::report::Quality;

    use super::*;
    use crate::report::fixture::{engine, invalid, stage};

    fn answered(name: &str, stages: &[&[(&str, &[&str])]]) -> EngineReport {
        let stages = stages.iter().map(|answers| {
            let mut stage = stage(8, 100.0, 0.1);
            stage.answer_digests = answers
                .iter()
                .map(|(prompt, texts)| {
                    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
                    ((*prompt).to_owned(), texts)
                })
                .collect();
            stage
        });
        engine(name, stages.collect())
    }

    #[test]
    fn equal_answers_are_counted_by_pairs() {
        let first = answered(
            "a",
            &[&[("1", &["x", "x"]), ("2", &["y"])], &[("1", &["z"])]],
        );
        let mut second = answered("b", &[&[("1", &["x"]), ("3", &["y"])], &[("1", &["z"])]]);
        // Takes no part.
        second.stages[1].verdict = invalid("ErrorRateExceeded");
        let found = agreement(&[first, second, answered("c", &[])]);
        let seen: Vec<_> = found
            .iter()
            .map(|pair| (pair.first.as_str(), pair.second.as_str(), pair.prompts))
            .collect();
        assert_eq!(seen, [("a", "a", 1), ("a", "b", 1)]);
        // Of x x z, one pair of three is equal; of x x z against x, two of three.
        assert!((found[0].share - 1.0 / 3.0).abs() < 1e-12, "{found:?}");
        assert!((found[1].share - 2.0 / 3.0).abs() < 1e-12, "{found:?}");
        let notes = notes(&[], &found, &[]);
        assert_eq!(
            notes,
            [
                "a gave the same answer again 33 % of the times, over 1 prompts that it answered more than once.",
                "a and b gave the same answer 67 % of the times, over 1 prompts."
            ]
        );
    }

    fn judged(name: &str, shares: &[(u64, u64)]) -> EngineReport {
        let stages = shares.iter().map(|(matched, prompts)| {
            let mut stage = stage(8, 100.0, 0.1);
            stage.quality = Some(Quality {
                matched: *matched,
                judged: *prompts,
                prompts: *prompts,
                share: *matched as f64 / *prompts as f64,
                interval: of_share(*matched, *prompts).unwrap(),
            });
            stage
        });
        engine(name, stages.collect())
    }

    #[test]
    fn quality_differs_where_its_interval_says_so() {
        // Newcombe's example, 56 of 70 and 48 of 80; asking the same again adds no evidence.
        let engines = [
            judged("a", &[(56, 70), (56, 70)]),
            judged("b", &[(48, 80)]),
            judged("c", &[(50, 80)]),
            answered("d", &[]),
        ];
        let found = quality(&engines);
        assert_eq!(found.len(), 3);
        assert!((found[0].interval.low - 0.0524).abs() < 1e-3, "{found:?}");
        assert_eq!(
            found.iter().map(|pair| pair.shown).collect::<Vec<_>>(),
            [true, true, false]
        );
        let notes = notes(&engines, &[], &found);
        assert_eq!(
            notes[0],
            "a: 80 % of the answers are right (95 % CI 69 % to 88 %)."
        );
        assert!(
            notes[3].starts_with("a and b differ in quality (+20.0 points, 95 % CI +5.2"),
            "{notes:?}"
        );
        assert!(
            notes[5].starts_with("No difference in quality is shown between b and c"),
            "{notes:?}"
        );
    }
}
