//! What the answers of a stage are like, from what was kept of their texts.

use std::collections::{BTreeMap, BTreeSet};

use bakeoff_crds::report::{OutputSanity, Quality};

use super::interval;
use crate::{answer::AnswerDigest, record::Record};

/// Prompts of a stage whose answers' digests are kept.
const DIGESTED_PROMPTS: usize = 64;
/// Answers to one prompt whose digests are kept.
const DIGESTED_ANSWERS: usize = 4;

/// Counts answers that are not what was asked for; `None` where no answer was read. `asked_tokens`
/// is by prompt, `forced` whether answers were to run to their full length.
///
/// A pure function of records: those of several clients may be put together.
pub fn output_sanity(
    records: &[Record],
    asked_tokens: &[u32],
    forced: bool,
) -> Option<OutputSanity> {
    let mut found = OutputSanity::default();
    let (mut shorter, mut cut_off) = (0, 0);
    for record in records.iter().filter(|record| record.succeeded()) {
        let Some(answer) = record.answer else {
            continue;
        };
        found.judged += 1;
        found.empty += u64::from(answer.empty);
        found.repeating += u64::from(answer.repeating);
        cut_off += u64::from(record.finish == Some("length"));
        let asked = usize::try_from(record.prompt).ok();
        let asked = asked.and_then(|place| asked_tokens.get(place));
        if let (Some(tokens), Some(asked)) = (record.answer_tokens(), asked) {
            shorter += u64::from(tokens < *asked);
            found.longer_than_asked += u64::from(tokens > *asked);
        }
    }
    if found.judged == 0 {
        return None;
    }
    if forced {
        found.shorter_than_asked = Some(shorter);
    } else {
        found.cut_off = Some(cut_off);
    }
    Some(found)
}

/// Share of right answers; `None` where no right answer is known.
pub fn quality(records: &[Record]) -> Option<Quality> {
    let (mut matched, mut judged) = (0, 0);
    let mut prompts = BTreeSet::new();
    for record in records.iter().filter(|record| record.succeeded()) {
        if let Some(right) = record.answer.and_then(|answer| answer.right) {
            judged += 1;
            matched += u64::from(right);
            prompts.insert(record.prompt);
        }
    }
    let prompts = prompts.len() as u64;
    let share = matched as f64 / f64::max(judged as f64, 1.0);
    Some(Quality {
        matched,
        judged,
        prompts,
        share,
        // The same question asked again is no further evidence.
        interval: interval::of_share((share * prompts as f64).round() as u64, prompts)?,
    })
}

/// Digests of the answers to a few prompts, by prompt: those whose numbers come first once their
/// bits are mixed. So every engine, and every client of one engine, keeps the same ones, and parts
/// can be put together and cut down again.
pub fn digests(records: &[Record]) -> BTreeMap<String, Vec<String>> {
    let mut chosen: BTreeMap<(u64, u64), Vec<AnswerDigest>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.succeeded()) {
        let Some(answer) = record.answer else {
            continue;
        };
        let answers = chosen
            .entry((mixed(record.prompt), record.prompt))
            .or_default();
        if answers.len() < DIGESTED_ANSWERS {
            answers.push(answer.digest);
        }
        if chosen.len() > DIGESTED_PROMPTS {
            chosen.pop_last();
        }
    }
    chosen
        .into_iter()
        .map(|((_, prompt), answers)| {
            let answers = answers.iter().map(ToString::to_string).collect();
            (prompt.to_string(), answers)
        })
        .collect()
}

/// The finalizer of SplitMix64.
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::AnswerFacts,
        record::{FailureKind, Outcome},
    };

    fn record(prompt: u64, tokens: u32, finish: &'static str, text: &str) -> Record {
        let mut record = Record::new(prompt, prompt, None, 0);
        record.output_tokens = Some(tokens);
        record.finish = Some(finish);
        record.answer = Some(AnswerFacts::of(text, None));
        record
    }

    #[test]
    fn each_fault_of_an_answer_is_counted() {
        let mut failed = record(0, 1, "length", "");
        failed.outcome = Outcome::Failed(FailureKind::Truncated, "".into());
        let mut unread = record(0, 1, "length", "");
        unread.answer = None;
        let records = [
            record(0, 8, "length", "sound"),
            record(1, 5, "stop", "sound"),
            record(1, 9, "length", &"again ".repeat(50)),
            record(0, 8, "length", " \n"),
            failed,
            unread,
        ];
        let forced = output_sanity(&records, &[8, 8], true).unwrap();
        let expected = OutputSanity {
            judged: 4,
            empty: 1,
            shorter_than_asked: Some(1),
            longer_than_asked: 1,
            cut_off: None,
            repeating: 1,
        };
        assert_eq!(forced, expected);
        let free = output_sanity(&records, &[8, 8], false).unwrap();
        assert_eq!((free.shorter_than_asked, free.cut_off), (None, Some(3)));
        assert_eq!(output_sanity(&records[4..], &[8], true), None);
    }

    #[test]
    fn the_same_question_asked_again_is_no_evidence() {
        let answered = |prompt: u64, right: Option<bool>| {
            let mut one = record(prompt, 1, "stop", "x");
            one.answer = one.answer.map(|answer| AnswerFacts { right, ..answer });
            one
        };
        // Ten prompts, each asked twenty times, eight of them always right.
        let records: Vec<Record> = (0..200)
            .map(|number| answered(number % 10, Some(number % 10 < 8)))
            .chain([answered(99, None)])
            .collect();
        let found = quality(&records).unwrap();
        assert_eq!((found.matched, found.judged, found.prompts), (160, 200, 10));
        assert!((found.share - 0.8).abs() < 1e-12);
        // Wilson's interval of 8 in 10.
        assert!((found.interval.low - 0.4902).abs() < 1e-3, "{found:?}");
        assert_eq!(quality(&records[200..]), None);
    }

    #[test]
    fn every_client_keeps_the_same_prompts() {
        let all: Vec<Record> = (0..1000)
            .map(|number| record(number % 500, 1, "stop", &number.to_string()))
            .collect();
        let found = digests(&all);
        assert_eq!(found.len(), DIGESTED_PROMPTS);
        assert!(found.values().all(|answers| answers.len() == 2));
        // Of two clients with half of the requests each, what both keep holds what the whole keeps.
        let (even, odd): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.index % 2 == 0);
        let parts = [digests(&even), digests(&odd)];
        let kept = |prompt: &String| parts.iter().any(|part| part.contains_key(prompt));
        assert!(found.keys().all(kept));
        assert_eq!(digests(&[]), BTreeMap::new());
    }
}
