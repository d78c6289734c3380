//! Several processes as one client.

use super::*;
use crate::clock;

/// Two processes' parts, driven side by side from one start that is named once both are ready.
#[test]
fn processes_that_begin_together_take_the_whole_sequence() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for (load, end) in [
        (closed(3), StageEnd::Requests(13)),
        (open(Some(200.0)), StageEnd::Requests(20)),
    ] {
        let whole = stage(&server.url, load.clone(), end);
        let due = intake::Arrivals::of(&whole).unwrap();
        let both = Arc::new((Barrier::new(2), std::sync::OnceLock::new()));
        let parts: Vec<Driven> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..2)
                .map(|index| {
                    let mut part = stage(&server.url, load.clone(), end);
                    part.share = Share { index, of: 2 };
                    let both = Arc::clone(&both);
                    part.gate = Some(Arc::new(move || {
                        both.0.wait();
                        Some(*both.1.get_or_init(|| clock::now() + 50 * MILLISECOND))
                    }));
                    scope.spawn(move || drive(&part, &Control::default()).unwrap())
                })
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap())
                .collect()
        });
        assert_eq!(parts[0].start.at, parts[1].start.at);
        let mut records: Vec<&Record> = parts.iter().flat_map(|part| &part.records).collect();
        records.sort_by_key(|record| record.index);
        assert!(
            records
                .iter()
                .all(|record| record.started >= parts[0].start.at)
        );
        let indexes: Vec<u64> = records.iter().map(|record| record.index).collect();
        assert_eq!(indexes, (0..due.intended().unwrap()).collect::<Vec<_>>());
        let offsets: Vec<Nanos> = records
            .iter()
            .filter_map(|record| Some(record.due? - parts[0].start.at))
            .collect();
        if let intake::Kind::Open { due, .. } = &due.kind {
            assert_eq!(&offsets, due);
        }
    }
}

#[test]
fn a_stage_that_others_do_not_begin_is_not_driven() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(1), StageEnd::Requests(1));
    stage.gate = Some(Arc::new(|| None));
    stage.threads = 2;
    let driven = drive(&stage, &Control::default());
    assert!(matches!(driven, Err(DriveError::NotBegun)));
    assert_eq!(server.log.records().len(), 0);
}

#[test]
fn a_process_without_a_worker_was_not_busy() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(2), StageEnd::Requests(4));
    stage.share = Share { index: 3, of: 4 };
    let driven = drive(&stage, &Control::default()).unwrap();
    assert!(driven.records.is_empty());
    assert_eq!(driven.vitals.loops.busiest_share, 0.0);
}
