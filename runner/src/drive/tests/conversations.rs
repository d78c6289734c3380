//! Arrivals of several turns.

use super::*;
use crate::prompt::Message;

/// A script of conversations with so many turns each, all of the stage's own request.
fn conversations(stage: &StageInput, turns: &[usize], think: Nanos) -> Script {
    let request = Arc::clone(&stage.script.turns(0)[0].requests[0]);
    Script::new(
        turns.iter().map(|&count| {
            (0..count)
                .map(|turn| Turn {
                    echo: None,
                    prompt: turn as u64,
                    think: if turn > 0 { think } else { 0 },
                    requests: Box::from([Arc::clone(&request)]),
                })
                .collect()
        }),
        Vec::new(),
    )
}

/// The records of one arrival's turns.
fn turns_of(driven: &Driven, arrival: u64) -> Vec<&Record> {
    let of_it = driven.records.iter();
    of_it.filter(|record| record.arrival == arrival).collect()
}

#[test]
fn a_turn_is_due_after_the_answer_before_and_the_time_to_think() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for load in [closed(2), open(Some(100.0))] {
        for threads in [1, 2] {
            let mut stage = stage(&server.url, load.clone(), StageEnd::Requests(6));
            stage.threads = threads;
            let think = 30 * MILLISECOND;
            stage.script = Arc::new(conversations(&stage, &[3, 1], think));
            let driven = drive(&stage, &Control::default()).unwrap();
            // Three conversations of three turns, three of one.
            assert_eq!((driven.intended, driven.dropped.total()), (12, 0));
            assert!(driven.records.iter().all(Record::succeeded));
            for arrival in 0..6 {
                let turns = turns_of(&driven, arrival);
                assert_eq!(turns.len(), if arrival % 2 == 0 { 3 } else { 1 });
                for pair in turns.windows(2) {
                    assert_eq!(pair[1].turn, pair[0].turn.map(|turn| turn + 1));
                    assert_eq!(pair[1].due, Some(pair[0].end + think));
                    assert!(pair[1].sent >= pair[1].due, "{pair:?}");
                }
            }
            if load.mode == LoadMode::Closed {
                // A conversation keeps its worker while it thinks: no third one begins meanwhile.
                let spans = (0..6).map(|arrival| {
                    let turns = turns_of(&driven, arrival);
                    (turns[0].started, turns[turns.len() - 1].end)
                });
                let mut moments: Vec<(Nanos, i64)> = spans
                    .flat_map(|(begin, end)| [(begin, 1), (end, -1)])
                    .collect();
                moments.sort_unstable();
                let running = moments.iter().scan(0, |now, (_, change)| {
                    *now += change;
                    Some(*now)
                });
                assert_eq!(running.max(), Some(2));
            }
        }
    }
}

#[test]
fn a_failed_turn_ends_its_conversation_and_the_rest_is_counted() {
    let server = simulate::start(&simulated(Fault::CutStream), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(2), StageEnd::Requests(4));
    stage.script = Arc::new(conversations(&stage, &[3, 2], 0));
    let driven = drive(&stage, &Control::default()).unwrap();
    assert_eq!(driven.records.len(), 4);
    assert_eq!(driven.intended, 10);
    assert_eq!(
        driven.dropped,
        Dropped {
            not_sent: 0,
            conversation_ended: 6
        }
    );
}

#[test]
fn a_cut_amid_the_time_to_think_drops_what_is_left() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(1), StageEnd::Requests(3));
    stage.script = Arc::new(conversations(&stage, &[3], 3600 * SECOND));
    let control = Control::default();
    let driven = std::thread::scope(|scope| {
        let driven = scope.spawn(|| drive(&stage, &control).unwrap());
        while control.requests_done() == 0 {
            std::thread::yield_now();
        }
        control.cancel();
        driven.join().unwrap()
    });
    assert_eq!(driven.records.len(), 1);
    assert_eq!((driven.intended, driven.dropped.not_sent), (9, 8));
    assert_eq!(driven.cut, Some(Cut::Cancelled));
}

#[test]
fn turns_that_are_due_after_the_stages_end_are_not_part_of_it() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for load in [closed(1), open(Some(20.0))] {
        let mut stage = stage(&server.url, load, StageEnd::Seconds(0.3));
        stage.script = Arc::new(conversations(&stage, &[2], 3600 * SECOND));
        let driven = drive(&stage, &Control::default()).unwrap();
        assert!(!driven.records.is_empty());
        assert!(driven.records.iter().all(|record| record.turn == Some(0)));
        assert_eq!(driven.dropped, Dropped::default());
        assert_eq!(driven.intended, driven.records.len() as u64);
    }
}

/// Sends the stage's own request again, and keeps what it was asked to make it from.
struct Asked {
    request: Arc<[u8]>,
    turns: std::sync::Mutex<Vec<(u64, Vec<String>)>>,
}

impl Compose for Asked {
    fn next(
        &self,
        before: &mut Vec<Message>,
        said: u64,
        answer: String,
        next: &Turn,
        _name: u16,
    ) -> Option<Arc<[u8]>> {
        for content in [format!("question {said}"), answer] {
            before.push(Message {
                role: String::new(),
                content,
            });
        }
        let contents = before.iter().map(|message| message.content.clone());
        let asked = (next.prompt, contents.collect());
        self.turns.lock().unwrap().push(asked);
        Some(Arc::clone(&self.request))
    }
}

#[test]
fn the_engines_own_answers_stand_before_later_turns() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(1), StageEnd::Requests(1));
    let request = Arc::clone(&stage.script.turns(0)[0].requests[0]);
    let turn = |prompt, requests: Box<[Arc<[u8]>]>| Turn {
        prompt,
        requests,
        ..Turn::default()
    };
    let turns = vec![
        turn(0, Box::from([Arc::clone(&request)])),
        turn(1, Box::default()),
        turn(2, Box::default()),
    ];
    let asked = Arc::new(Asked {
        request,
        turns: std::sync::Mutex::default(),
    });
    let composer: Arc<dyn Compose> = Arc::clone(&asked) as _;
    stage.script = Arc::new(Script::new([turns], Vec::new()).composed_by(composer));
    let driven = drive(&stage, &Control::default()).unwrap();
    assert_eq!(driven.records.len(), 3);
    assert!(driven.records.iter().all(Record::succeeded));
    let asked = asked.turns.lock().unwrap();
    let [(1, first), (2, second)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    // The same prompt each time, so the same answer: five words.
    let answer = first[1].clone();
    assert_eq!(answer.split_whitespace().count(), 5);
    assert_eq!(first[..], ["question 0".to_owned(), answer.clone()]);
    assert_eq!(second[2..], ["question 1".to_owned(), answer]);
    assert_eq!(second.len(), 4);
}
