use bakeoff_crds::plan::{Load, Stage, StageEnd};

use super::*;

const PATIENCE: Nanos = 100 * SECOND;

fn step() -> Step {
    Step {
        number: 0,
        stage: Stage {
            name: "concurrency-4".into(),
            load: Load::default(),
            end: StageEnd::Requests(8),
        },
        place: Default::default(),
        first_request: 0,
        seed: 1,
        folder: "a".into(),
    }
}

/// A board of three shards whose two others have joined and wait.
fn gathered() -> Board {
    let mut board = Board::new(3, 0);
    for index in 1..3 {
        assert_eq!(
            board.answer(index, u64::from(index), &Ask::Join, 1),
            Answer::Noted
        );
        assert_eq!(next(&mut board, index, 0, 1), Answer::Wait);
    }
    assert_eq!(board.gathered(PATIENCE, 1), Standing::All);
    board
}

fn next(board: &mut Board, index: u32, after: u64, now: Nanos) -> Answer {
    board.answer(index, u64::from(index), &Ask::Next { after }, now)
}

fn ask(board: &mut Board, index: u32, ask: Ask, now: Nanos) -> Answer {
    board.answer(index, u64::from(index), &ask, now)
}

#[test]
fn a_step_goes_from_announcement_to_storage() {
    let mut board = gathered();
    let number = board.announce(step(), 2);
    for index in 1..3 {
        let Answer::Step(told) = next(&mut board, index, 0, 2) else {
            panic!("no step");
        };
        assert_eq!(told.number, number);
    }
    assert_eq!(board.begin(3), None);
    assert_eq!(
        ask(&mut board, 1, Ask::Ready { step: number }, 4),
        Answer::Wait
    );
    assert_eq!(board.begin(5), None);
    ask(&mut board, 2, Ask::Ready { step: number }, 6);
    let at = 7 + START_AHEAD;
    assert_eq!(board.begin(7), Some(Ok(at)));
    for index in 1..3 {
        let answer = ask(&mut board, index, Ask::Ready { step: number }, 8);
        assert_eq!(answer, Answer::Start(at));
    }
    // One that asks anew is not told of a step that has begun.
    assert_eq!(board.ended(9), Standing::Waiting);
    ask(&mut board, 1, Ask::Ended { step: number }, 9);
    ask(&mut board, 2, Ask::Ended { step: number }, 9);
    assert_eq!(board.ended(9), Standing::All);
    assert_eq!(board.stored(9), Standing::Waiting);
    ask(&mut board, 1, Ask::Stored { step: number }, 10);
    assert_eq!(next(&mut board, 1, number, 10), Answer::Wait);
    ask(&mut board, 2, Ask::Stored { step: number }, 10);
    assert_eq!(board.stored(10), Standing::All);
    assert_eq!(board.gathered(PATIENCE, 10), Standing::Waiting);
    next(&mut board, 2, number, 10);
    assert_eq!(board.gathered(PATIENCE, 10), Standing::All);
    board.end(None);
    assert!(!board.is_dismissed(11));
    for index in 1..3 {
        assert_eq!(next(&mut board, index, number, 11), Answer::End(None));
    }
    assert!(board.is_dismissed(11));
}

/// Takes a gathered board to a step that has begun.
fn begun() -> (Board, u64) {
    let mut board = gathered();
    let number = board.announce(step(), 2);
    for index in 1..3 {
        next(&mut board, index, 0, 2);
        ask(&mut board, index, Ask::Ready { step: number }, 2);
    }
    assert!(matches!(board.begin(2), Some(Ok(_))));
    (board, number)
}

#[test]
fn a_shard_that_falls_silent_under_load_is_named_and_the_others_are_waited_for() {
    let (mut board, number) = begun();
    let late = 2 + LOST_AFTER + 1;
    let beat = Ask::Beat {
        step: number,
        requests: 7,
    };
    ask(&mut board, 1, beat, late);
    assert_eq!(board.requests(), 7);
    assert_eq!(board.missing(late), [2]);
    assert_eq!(board.stored(late), Standing::Waiting);
    ask(&mut board, 1, Ask::Stored { step: number }, late);
    assert_eq!(board.stored(late), Standing::Without(vec![2]));
}

#[test]
fn a_shard_that_comes_back_as_another_process_has_lost_its_part() {
    let (mut board, number) = begun();
    assert_eq!(board.answer(2, 77, &Ask::Join, 3), Answer::Noted);
    // It takes no part in what has begun without it.
    let answer = board.answer(2, 77, &Ask::Next { after: 0 }, 3);
    assert_eq!(answer, Answer::Wait);
    // The old process is a stranger now.
    let old = ask(&mut board, 2, Ask::Stored { step: number }, 3);
    assert_eq!(old, Answer::Wait);
    ask(&mut board, 1, Ask::Stored { step: number }, 3);
    assert_eq!(board.stored(3), Standing::Without(vec![2]));
    next(&mut board, 1, number, 3);
    assert_eq!(board.gathered(PATIENCE, 3), Standing::All);
    let again = board.announce(step(), 4);
    let answer = board.answer(2, 77, &Ask::Next { after: 0 }, 4);
    assert!(matches!(answer, Answer::Step(step) if step.number == again));
}

#[test]
fn a_shard_that_leaves_is_lost_at_once() {
    let (mut board, number) = begun();
    ask(&mut board, 2, Ask::Leave(Failure::default()), 3);
    assert_eq!(board.missing(3), [2]);
    ask(&mut board, 1, Ask::Stored { step: number }, 3);
    assert_eq!(board.stored(3), Standing::Without(vec![2]));
}

#[test]
fn a_process_that_ended_without_a_word_is_lost_at_once() {
    let (mut board, number) = begun();
    board.is_gone(2);
    board.is_gone(7);
    assert_eq!(board.missing(3), [2]);
    ask(&mut board, 1, Ask::Stored { step: number }, 3);
    assert_eq!(board.stored(3), Standing::Without(vec![2]));
}

#[test]
fn a_step_without_one_of_the_shards_does_not_begin() {
    let mut board = gathered();
    let number = board.announce(step(), 2);
    ask(&mut board, 1, Ask::Ready { step: number }, 2);
    let late = 2 + LOST_AFTER + 1;
    ask(&mut board, 1, Ask::Ready { step: number }, late);
    assert_eq!(board.begin(late), Some(Err(vec![2])));
    let answer = ask(&mut board, 1, Ask::Ready { step: number }, late);
    assert_eq!(answer, Answer::NotBegun);
}

#[test]
fn a_shard_that_lives_but_is_never_ready_does_not_hold_the_others_for_ever() {
    let mut board = gathered();
    let number = board.announce(step(), 2);
    ask(&mut board, 1, Ask::Ready { step: number }, 2);
    let late = 3 + READY_WITHIN;
    for index in 1..3 {
        let beat = Ask::Beat {
            step: 0,
            requests: 0,
        };
        ask(&mut board, index, beat, late);
    }
    assert_eq!(board.begin(late), Some(Err(vec![2])));
}

#[test]
fn patience_counts_from_the_last_sign_of_life() {
    let mut board = Board::new(3, 0);
    assert_eq!(board.gathered(PATIENCE, PATIENCE), Standing::Waiting);
    // One that still drives an earlier leader's step has not joined, but lives.
    let beat = Ask::Beat {
        step: 9,
        requests: 1,
    };
    assert_eq!(ask(&mut board, 1, beat, PATIENCE), Answer::Wait);
    assert_eq!(
        board.gathered(PATIENCE, PATIENCE + 1),
        Standing::Without(vec![2])
    );
    assert_eq!(
        board.gathered(PATIENCE, 2 * PATIENCE + 1),
        Standing::Without(vec![1, 2])
    );
}
