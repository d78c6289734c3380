//! Requests that fail, and stages that are cut.

use super::*;

#[test]
fn each_fault_is_one_kind_of_failure() {
    for (fault, kind) in [
        (Fault::ServerError, FailureKind::Http5xx),
        (Fault::ErrorEvent, FailureKind::StreamError),
        (Fault::CutStream, FailureKind::Truncated),
        (Fault::Stall, FailureKind::Timeout),
    ] {
        let server = simulate::start(&simulated(fault), MODEL).unwrap();
        let mut stage = stage(&server.url, closed(2), StageEnd::Requests(4));
        stage.request_timeout = 500 * MILLISECOND;
        let driven = drive(&stage, &Control::default()).unwrap();
        assert_eq!(driven.records.len(), 4, "{fault:?}");
        for record in &driven.records {
            assert_eq!(failure_of(record), Some(kind), "{fault:?}: {record:?}");
        }
    }
}

#[test]
fn nobody_listening_is_a_failure_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for load in [closed(2), open(Some(200.0))] {
        let driven = drive(
            &stage(&url, load, StageEnd::Requests(4)),
            &Control::default(),
        )
        .unwrap();
        assert_eq!(driven.records.len(), 4);
        for record in &driven.records {
            assert_eq!(failure_of(record), Some(FailureKind::Connect));
        }
    }
}

#[test]
fn what_was_measured_before_a_stop_is_kept_and_the_counts_add_up() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for load in [closed(2), open(Some(50.0))] {
        let stage = stage(&server.url, load, StageEnd::Requests(100_000));
        let control = Control::default();
        let driven = std::thread::scope(|scope| {
            let stopper = scope.spawn(|| {
                while control.requests_done() < 4 {
                    std::thread::yield_now();
                }
                control.cancel();
            });
            let driven = drive(&stage, &control).unwrap();
            stopper.join().unwrap();
            driven
        });
        assert_eq!(driven.cut, Some(Cut::Cancelled));
        assert_eq!(driven.intended, 100_000);
        assert_eq!(
            driven.dropped.not_sent + driven.records.len() as u64,
            100_000
        );
        assert!(
            driven
                .records
                .iter()
                .filter(|record| record.succeeded())
                .count()
                >= 4
        );
        for record in driven.records.iter().filter(|record| !record.succeeded()) {
            assert_eq!(failure_of(record), Some(FailureKind::Cancelled));
        }
    }
}

#[test]
fn a_stage_that_takes_too_long_is_cut() {
    let server = simulate::start(&simulated(Fault::Stall), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(1), StageEnd::Requests(10));
    stage.deadline = Some(200 * MILLISECOND);
    let driven = drive(&stage, &Control::default()).unwrap();
    assert_eq!(driven.cut, Some(Cut::Deadline));
    assert_eq!((driven.intended, driven.dropped.total()), (10, 9));
}
