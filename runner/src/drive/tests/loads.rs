//! What each kind of load sends, and when.

use super::*;

#[test]
fn a_closed_loop_keeps_its_concurrency_and_agrees_with_the_server() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for threads in [1, 2] {
        let before = server.log.records().len();
        let mut stage = stage(&server.url, closed(4), StageEnd::Requests(40));
        stage.threads = threads;
        let driven = drive(&stage, &Control::default()).unwrap();
        assert_eq!(
            (driven.intended, driven.dropped.total(), driven.cut),
            (40, 0, None)
        );
        assert_eq!(driven.records.len(), 40);
        for (index, record) in driven.records.iter().enumerate() {
            assert_eq!(record.outcome, Outcome::Succeeded);
            assert_eq!(record.index, index as u64);
            assert_eq!((record.chunks, record.output_tokens), (5, Some(5)));
            assert_eq!(record.due, None);
        }
        assert_eq!(most_in_flight(&driven.records), 4);
        assert_eq!(driven.gaps.chunk.count(), 40 * 4);
        assert_eq!(driven.vitals.loops.chunks, 200);
        assert!(driven.vitals.loops.cpu > 0);
        // What the client watches in itself is looked at: each answer took a read, and a loop that
        // runs for 200 ms looks about every 10 ms how late it is.
        let loops = &driven.vitals.loops;
        assert!(loops.backlog.reads >= 40, "{:?}", loops.backlog);
        assert!(loops.backlog.most_bytes > 0, "{:?}", loops.backlog);
        assert!(loops.delay.as_ref().is_some_and(|delay| delay.count() > 5));
        assert!(loops.longest_stall > 0 && loops.busiest_share > 0.0);
        assert_eq!(loops.most_connections, 4);

        let truth = server.log.records();
        let truth = &truth[before..];
        assert_eq!(truth.len(), 40);
        // The quickest of each: a busy machine makes single ones late.
        let true_least = truth
            .iter()
            .map(|record| record.first_token_at.unwrap() - record.received_at)
            .min();
        let said_least = driven
            .records
            .iter()
            .map(|record| record.first_content.unwrap() - record.sent.unwrap())
            .min();
        let added = said_least.unwrap().checked_sub(true_least.unwrap());
        assert!(
            added.is_some_and(|added| added < 10 * MILLISECOND),
            "{said_least:?} {true_least:?}"
        );
    }
}

#[test]
fn an_open_loop_sends_at_its_due_times_whatever_the_answers_do() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let stage = stage(&server.url, open(Some(100.0)), StageEnd::Seconds(0.5));
    let due = crate::workload::arrival::due_times(&stage.load, stage.end, stage.seed).unwrap();
    let driven = drive(&stage, &Control::default()).unwrap();
    assert_eq!(driven.intended, due.len() as u64);
    assert_eq!(driven.records.len(), due.len());
    for (record, due) in driven.records.iter().zip(&due) {
        assert_eq!(record.due, Some(driven.start.at + due));
        assert!(record.sent.unwrap() >= record.due.unwrap());
        assert!(record.succeeded(), "{record:?}");
    }
}

#[test]
fn a_replay_sends_each_prompt_at_its_time() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let load = Load {
        mode: LoadMode::Open,
        replay_speed: Some(2.0),
        ..Load::default()
    };
    let mut stage = stage(&server.url, load, StageEnd::Trace);
    let request = Arc::clone(&stage.script.turns(0)[0].requests[0]);
    stage.script = Arc::new(Script::of_requests(std::iter::repeat_n(request, 4)));
    stage.trace = Arc::from([0, 100, 100, 300].map(|at| at * MILLISECOND));
    let driven = drive(&stage, &Control::default()).unwrap();
    let records = driven.records.iter();
    let sent: Vec<_> = records
        .map(|record| {
            (
                record.prompt,
                (record.due.unwrap() - driven.start.at) / MILLISECOND,
            )
        })
        .collect();
    assert_eq!(sent, [(0, 0), (1, 50), (2, 50), (3, 150)]);
    assert_eq!(driven.intended, 4);
}

#[test]
fn a_burst_is_under_way_all_at_once() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let stage = stage(&server.url, open(None), StageEnd::Requests(50));
    let driven = drive(&stage, &Control::default()).unwrap();
    assert!(driven.records.iter().all(Record::succeeded));
    assert!(
        driven
            .records
            .iter()
            .all(|record| record.due == Some(driven.start.at))
    );
    assert_eq!(most_in_flight(&driven.records), 50);
}

#[test]
fn a_stage_of_a_duration_begins_nothing_after_it_and_waits_for_what_it_began() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let stage = stage(&server.url, closed(3), StageEnd::Seconds(0.2));
    let driven = drive(&stage, &Control::default()).unwrap();
    let end = driven.start.at + 200 * MILLISECOND;
    assert!(driven.records.len() >= 3);
    assert_eq!(
        (driven.intended, driven.dropped.total()),
        (driven.records.len() as u64, 0)
    );
    assert!(
        driven
            .records
            .iter()
            .all(|record| record.started < end && record.succeeded())
    );
}

#[test]
fn texts_are_kept_for_the_tokenizer_where_asked() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(2), StageEnd::Requests(6));
    stage.keep_text = true;
    let driven = drive(&stage, &Control::default()).unwrap();
    let mut seen = Vec::new();
    for texts in driven.texts {
        texts
            .for_each(|index, text| seen.push((index, text.is_empty())))
            .unwrap();
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..6).map(|index| (index, false)).collect::<Vec<_>>());
}

#[test]
fn a_load_that_says_too_little_is_refused() {
    let url = "http://127.0.0.1:9";
    for load in [closed(0), Load::default()] {
        let refused = drive(
            &stage(url, load, StageEnd::Requests(1)),
            &Control::default(),
        );
        assert!(matches!(refused, Err(DriveError::Load(_))));
    }
    let endless = drive(
        &stage(url, open(None), StageEnd::Seconds(1.0)),
        &Control::default(),
    );
    assert!(matches!(endless, Err(DriveError::Load(_))));
    let mut empty = stage(url, closed(1), StageEnd::Requests(1));
    empty.script = Arc::default();
    assert!(matches!(
        drive(&empty, &Control::default()),
        Err(DriveError::NoPrompts)
    ));
}
