//! What other runner pods say and leave in the bucket, mutated at random: it is taken or refused, and
//! what is taken can be laid together.

use bakeoff_crds::plan::{Load, Stage, StageEnd};
use serde_json::Value;

use super::{
    board::Board,
    message::{Ask, Question, Reply, Step},
    result::{Part, Place, ShardResult, join},
};
use crate::{
    clock::{MILLISECOND, SECOND},
    drive::{Driven, Dropped, Share, vitals::StageVitals},
    record::{FailureKind, Outcome, Record, log},
    stats::Gaps,
    testing::fuzz::{self, Random},
};

const WORDS: &[&[u8]] = &[
    b"\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"null",
    b"-1",
    b"0",
    b"1e308",
    b"-1e308",
    b"1e999",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9999-12-31T23:59:59Z",
    b"-009999-01-01T00:00:00Z",
    b"\xFF",
    b"\\u0000",
    b"\"succeeded\"",
    b"\"truncated\"",
];

fn stage() -> Stage {
    Stage {
        name: "rate-10".into(),
        load: Load::default(),
        end: StageEnd::Requests(8),
    }
}

/// The two files that a shard leaves, the second not compressed.
fn files() -> (Value, Vec<u8>) {
    let start = log::Start {
        at: 3600 * SECOND,
        wall: "2026-03-01T12:00:00Z".parse().unwrap(),
    };
    let records: Vec<Record> = (0..3)
        .map(|number| {
            let due = start.at + number * SECOND;
            let mut record = Record::new(number, number, Some(due), due);
            record.sent = Some(due + 1);
            record.first_content = Some(due + MILLISECOND);
            record.last_content = Some(due + 2 * MILLISECOND);
            record.end = due + 3 * MILLISECOND;
            record.chunks = 2;
            if number == 2 {
                record.outcome = Outcome::Failed(FailureKind::Truncated, "cut".into());
            }
            record
        })
        .collect();
    let mut gaps = Gaps::new();
    gaps.record(MILLISECOND, Some(1));
    let packed = log::compressed("rate-10", start, &records).unwrap();
    let driven = Driven {
        start,
        intended: 3,
        intended_of_all: Some(6),
        lost: 0,
        dropped: Dropped::default(),
        records,
        gaps,
        vitals: StageVitals::default(),
        cut: None,
        texts: Vec::new(),
    };
    let share = Share { index: 1, of: 2 };
    let result = ShardResult::of(&driven, &stage(), Place::default(), share);
    let lines = zstd::decode_all(&packed[..]).unwrap();
    (serde_json::to_value(result).unwrap(), lines)
}

#[test]
fn a_shards_files_are_laid_together_or_refused() {
    let (result, lines) = files();
    let (mut joined, mut refused) = (0, 0);
    fuzz::cases(1000, |random| {
        let mut json = result.clone();
        for _ in 0..random.below(3) {
            random.mutate_json(&mut json);
        }
        let mut log = lines.clone();
        for _ in 0..random.below(3) {
            random.mutate(&mut log, &[&lines], WORDS);
        }
        let mut packed = zstd::encode_all(&log[..], 0).unwrap();
        if random.below(8) == 0 {
            random.mutate(&mut packed, &[&lines], WORDS);
        }
        match Part::read(&serde_json::to_vec(&json).unwrap(), &packed) {
            Ok(part) => {
                joined += 1;
                let all = join(&[part.clone(), part], 2).unwrap();
                assert_eq!(all.records.len() % 2, 0);
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    });
    eprintln!("{joined} laid together, {refused} refused");
    assert!(joined > 0 && refused > 0);
}

#[test]
fn counts_beyond_all_bounds_are_laid_together() {
    let (mut result, lines) = files();
    for count in ["/intended", "/intendedOfAll", "/dropped/notSent"] {
        if let Some(place) = result.pointer_mut(count) {
            *place = u64::MAX.into();
        }
    }
    let packed = zstd::encode_all(&lines[..], 0).unwrap();
    let part = Part::read(&serde_json::to_vec(&result).unwrap(), &packed).unwrap();
    let all = join(&[part.clone(), part], 2).unwrap();
    assert_eq!(all.intended, u64::MAX);
}

fn question(random: &mut Random) -> Question {
    let step = *random.pick(&[0, 1, 2, u64::MAX]);
    let ask = match random.below(8) {
        0 => Ask::Clock,
        1 => Ask::Join,
        2 => Ask::Next { after: step },
        3 => Ask::Ready { step },
        4 => Ask::Ended { step },
        5 => Ask::Stored { step },
        6 => Ask::Beat {
            step,
            requests: *random.pick(&[0, 7, u64::MAX]),
        },
        _ => Ask::Leave(Default::default()),
    };
    Question {
        token: "t".into(),
        index: *random.pick(&[0, 1, 2, 3, u32::MAX]),
        of: 3,
        process: *random.pick(&[1, 2, u64::MAX]),
        ask,
    }
}

#[test]
fn whatever_shards_ask_in_whatever_order_is_answered() {
    let (mut understood, mut refused) = (0, 0);
    fuzz::cases(500, |random| {
        let mut board = Board::new(3, 0);
        let mut now = 0;
        for _ in 0..40 {
            now += *random.pick(&[0, MILLISECOND, SECOND, 90 * SECOND]);
            match random.below(12) {
                0 => {
                    board.announce(
                        Step {
                            number: 0,
                            stage: stage(),
                            place: Place::default(),
                            first_request: 0,
                            seed: 1,
                            folder: "a".into(),
                        },
                        now,
                    );
                }
                1 => board.call_off(),
                2 => drop(board.begin(now)),
                3 if random.below(4) == 0 => board.end(None),
                _ => {
                    let mut json = serde_json::to_value(question(random)).unwrap();
                    if random.below(4) == 0 {
                        random.mutate_json(&mut json);
                    }
                    let Ok(asked) = serde_json::from_value::<Question>(json) else {
                        refused += 1;
                        continue;
                    };
                    understood += 1;
                    let answer = board.answer(asked.index, asked.process, &asked.ask, now);
                    let reply = serde_json::to_vec(&Reply { leader: 1, answer }).unwrap();
                    serde_json::from_slice::<Reply>(&reply).unwrap();
                }
            }
            let _ = (
                board.gathered(SECOND, now),
                board.ended(now),
                board.stored(now),
                board.requests(),
                board.missing(now),
                board.is_dismissed(now),
            );
        }
    });
    eprintln!("{understood} understood, {refused} refused");
    assert!(understood > 0 && refused > 0);
}
