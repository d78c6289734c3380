use super::*;
use crate::{
    clock::MILLISECOND,
    record::{Record, log::Start},
    stats::Gaps,
};

fn part(protocol: Protocol, pace: Pace) -> Part {
    Part {
        protocol,
        streams: 3,
        threads: 1,
        frames: 4,
        requests: 30,
        end: StageEnd::Requests(30),
        pace,
    }
}

#[test]
fn every_protocol_is_answered_and_no_stamp_comes_before_its_write() {
    for protocol in Protocol::ALL.map(streaming) {
        for pace in [Pace::Every(10_000), Pace::AsFastAsRead] {
            let (driven, truth) = part(protocol, pace).drive().unwrap();
            assert_eq!(driven.records.len(), 30);
            for (number, record) in driven.records.iter().enumerate() {
                assert!(record.succeeded(), "{protocol:?} {record:?}");
                assert_eq!(record.chunks, 4, "{protocol:?}");
                let written = truth.first_written[number].unwrap();
                assert!(written >= record.sent.unwrap());
                assert!(record.first_content.unwrap() >= written);
            }
            assert!(truth.cpu > 0);
        }
    }
}

#[test]
fn overhead_is_from_the_write_to_the_clients_stamp() {
    let records: Vec<Record> = (0..5)
        .map(|index| {
            let mut record = Record::new(index, index, None, 0);
            record.sent = Some(0);
            record.first_content = Some((10 + index) * MILLISECOND);
            record
        })
        .collect();
    let driven = Driven {
        start: Start {
            at: 0,
            wall: clock::wall(0),
        },
        intended: 5,
        intended_of_all: None,
        lost: 0,
        dropped: drive::Dropped::default(),
        records,
        gaps: Gaps::new(),
        vitals: vitals::StageVitals::default(),
        cut: None,
        texts: Vec::new(),
    };
    let truth = Truth {
        first_written: vec![
            Some(0),
            Some(0),
            Some(10 * MILLISECOND),
            None,
            Some(10 * MILLISECOND),
        ],
        cpu: 0,
    };
    // The first two are the streams' first requests; one was never written.
    let found = overhead(&driven, &truth, 2).unwrap();
    assert_eq!((found.count, found.min, found.max), (2, 0.002, 0.004));
    assert_eq!(overhead(&driven, &truth, 5), None);
}

#[test]
fn what_a_client_can_take_is_by_the_cpu_that_it_has() {
    let mut driven = part(Protocol::Tgi, Pace::AsFastAsRead).drive().unwrap().0;
    driven.vitals.loops.cpu = SECOND / 2;
    driven.vitals.loops.chunks = 1000;
    driven.vitals.surroundings.cpu_limit = None;
    assert_eq!(sustainable(&driven, 1), 2000.0);
    driven.vitals.surroundings.cpu_limit = Some(0.25);
    assert_eq!(sustainable(&driven, 1), 500.0);
}

#[test]
fn a_calibration_gives_every_figure() {
    let found = calibrate(Protocol::OpenAiChat, 2, 1).unwrap();
    assert_eq!(found.streams, 2);
    assert!(found.overhead_mean > 0.0 && found.overhead_p99.unwrap() >= found.overhead_mean / 10.0);
    assert!(found.sustainable_chunks_per_second > 0.0);
    assert!(found.cpu_seconds > 0.0 && found.seconds > found.cpu_seconds / 2.0);
}

#[test]
fn there_are_as_many_streams_as_the_load_has() {
    let stage = |concurrency| Stage {
        name: "stage".into(),
        load: Load {
            concurrency,
            ..Load::default()
        },
        end: StageEnd::Requests(1),
    };
    for (asked, expected) in [
        (vec![Some(1), Some(8)], 8),
        (vec![Some(100_000)], MOST_STREAMS),
        (vec![None], STREAMS),
        (vec![], STREAMS),
    ] {
        let stages: Vec<Stage> = asked.iter().map(|&asked| stage(asked)).collect();
        assert!(streams(&stages, 1) <= expected, "{asked:?}");
        assert!(streams(&stages, 1) >= expected.min(STREAMS), "{asked:?}");
        // One of several processes has its part of them.
        let part = expected.div_ceil(3);
        if !asked.is_empty() && expected < MOST_STREAMS {
            assert!(streams(&stages, 3) <= part, "{asked:?}");
        }
    }
}
