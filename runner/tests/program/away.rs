//! A bucket that is away while results are there: they are held, stored later, never lost and never
//! replaced.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bakeoff_crds::{
    report::{Report, StageReport},
    summary::reason,
};

use crate::{
    bucket::Act,
    common::alone,
    pod::{Ended, REQUESTS, Run, assert_whole, stage},
};

/// Requests that the engine gets beside the stages': one to try, and the probe's.
const BESIDE: u64 = 5;

/// What a bucket can do wrong for a while, and how often: more than its client tries by itself, so
/// that our own patience is asked. What was stored all the same is found at the next look.
const FAULTS: [(&str, Act, usize); 6] = [
    ("says 503", Act::Refuse(503, "SlowDown"), 7),
    ("says 500", Act::Refuse(500, "InternalError"), 7),
    ("is full", Act::Refuse(507, "XMinioStorageFull"), 7),
    ("breaks off before it stores", Act::CutBefore, 7),
    ("breaks off after it stored", Act::CutAfter, 1),
    ("breaks off amid its answer", Act::CutMidway, 1),
];

#[test]
fn results_go_up_as_each_stage_ends_and_are_held_while_the_bucket_is_away() {
    let _alone = alone();
    std::thread::scope(|scope| {
        for (what, act, times) in FAULTS {
            scope.spawn(move || held_while(what, act, times));
        }
    });
}

fn held_while(what: &str, act: Act, times: usize) {
    let run = Run::new("1, 2", "60s");
    let (first, second) = (stage(1, 1), stage(2, 1));
    let failed = Arc::new(AtomicUsize::new(0));
    let stored_first = Arc::new(AtomicUsize::new(0));
    let (counter, seen, key) = (
        Arc::clone(&failed),
        Arc::clone(&stored_first),
        run.key(&first),
    );
    run.bucket.decide(move |asked| {
        // Of those that store all the same, the write alone.
        let is_it = asked.key == key && (times > 1 || asked.method == "PUT");
        if is_it && counter.load(Ordering::Relaxed) < times {
            counter.fetch_add(1, Ordering::Relaxed);
            return act;
        }
        if asked.key == key && asked.method == "PUT" {
            seen.store(1, Ordering::Relaxed);
        }
        // The second stage does not begin before the first is there.
        if asked.key.ends_with("concurrency-2/attempt-1/begun.json") && times > 1 {
            assert_eq!(
                seen.load(Ordering::Relaxed),
                1,
                "the first stage is not stored yet"
            );
        }
        Act::Serve
    });
    let ended = run.end(&run.load());
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.log);
    assert_eq!(
        failed.load(Ordering::Relaxed),
        times,
        "{what}: {}",
        ended.log
    );
    if times > 1 {
        let words = "the store is away, trying again";
        assert!(ended.log.contains(words), "{what}: {}", ended.log);
    }
    for path in [&first, &second] {
        let report: StageReport = run.stored(path).unwrap();
        assert_eq!(report.requests.succeeded, REQUESTS, "{what}");
    }
    // Each stage was driven once: it was held, not measured again.
    let sent = run.engine.log.records().len() as u64;
    assert_eq!(sent, 2 * REQUESTS + BESIDE, "{what}");
    run.bucket.assert_never_overwritten();
}

/// Twice it takes the question whether a stage is there, and says nothing.
#[test]
fn a_bucket_that_says_nothing_for_a_while_is_asked_again() {
    let _alone = alone();
    let run = Run::new("1", "16s");
    let key = run.key(&stage(1, 1));
    let mut left = 2;
    run.bucket.decide(move |asked| {
        if asked.key == key && left > 0 {
            left -= 1;
            return Act::Hang;
        }
        Act::Serve
    });
    let ended = run.end(&run.load());
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("no answer within 4s"), "{}", ended.log);
    let report: StageReport = run.stored(&stage(1, 1)).unwrap();
    assert_eq!(report.requests.succeeded, REQUESTS);
}

/// A pod that begins while the bucket is away: it waits for what it reads, too.
#[test]
fn runner_and_reporter_wait_for_a_bucket_that_they_cannot_read_yet() {
    let _alone = alone();
    let run = Run::new("1", "60s");
    for words in [run.load(), run.report()] {
        let mut left = 7;
        run.bucket.decide(move |_| {
            left -= 1;
            if left < 0 {
                Act::Serve
            } else {
                Act::Refuse(503, "SlowDown")
            }
        });
        let ended = run.end(&words);
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        let told = "the store is away, trying again";
        assert!(ended.log.contains(told), "{}", ended.log);
    }
    assert_whole(&run, &[(1, 1)]);
}

#[test]
fn a_bucket_that_denies_is_told_of_at_once() {
    let _alone = alone();
    let run = Run::new("1", "60s");
    run.bucket.decide(|asked| match asked.method.as_str() {
        "PUT" if asked.key.ends_with("begun.json") => Act::Refuse(403, "AccessDenied"),
        _ => Act::Serve,
    });
    let ended = run.end(&run.load());
    // It would be denied again: the Job does not try anew.
    assert_eq!(ended.code, Some(4), "{}", ended.log);
    let failure = run.last_words().failure.unwrap();
    assert_eq!(failure.reason, reason::UPLOAD_FAILED);
    for words in ["AccessDenied", "begun.json cannot be written"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
}

/// One that answers nothing, and one that takes what comes and says nothing.
#[test]
fn what_a_bucket_that_stays_away_did_not_take_is_on_the_logs_and_goes_up_later() {
    let _alone = alone();
    for act in [Act::Refuse(503, "SlowDown"), Act::Hang] {
        let run = Run::new("1, 2", "4s");
        let away = run.key(&stage(2, 1));
        let mut gone = false;
        run.bucket.decide(move |asked| {
            gone |= asked.key == away;
            if gone { act } else { Act::Serve }
        });
        let loaded = run.end(&run.load());
        // Another try may go through.
        assert_eq!(loaded.code, Some(75), "{}", loaded.log);
        let words = run.last_words();
        let failure = words.failure.unwrap();
        assert_eq!(failure.reason, reason::UPLOAD_FAILED);
        assert!(
            failure.message.contains("within 4 s"),
            "{}",
            failure.message
        );
        // Both stages are summed up, also the one that is not stored.
        let summary = words.runner.unwrap();
        assert_eq!((summary.stages_done, summary.stages_planned), (2, 2));
        assert_eq!(summary.succeeded, 2 * REQUESTS);
        // The pod that is made anew knows nothing of them, and does not say that there were none.
        let again = run.end(&run.load());
        assert_eq!(again.code, Some(75), "{}", again.log);
        let words = run.last_words();
        assert_eq!(words.runner, None);
        assert_eq!(words.failure.unwrap().reason, reason::UPLOAD_FAILED);
        let reported = run.end(&run.report());
        assert_eq!(reported.code, Some(75), "{}", reported.log);
        let message = run.last_words().failure.unwrap().message;
        assert!(message.contains("bakeoff report --upload"), "{message}");

        // Now it is back. A reader is told that the run is not whole.
        run.bucket.decide(|_| Act::Serve);
        assert!(run.stored::<StageReport>(&stage(2, 1)).is_none());
        let partial = run.end(&["report".to_owned(), run.address()]);
        assert_eq!(partial.code, Some(1), "{}", partial.log);
        let words = "stages do: the run is under way, or was cut";
        assert!(partial.log.contains(words), "{}", partial.log);
        // The runner's log alone has no report; what it has is stored.
        let told = upload(&run, &[&loaded]);
        assert!(told.log.contains("The run is not whole"), "{}", told.log);
        let told = upload(&run, &[&loaded, &reported]);
        assert!(told.log.contains("The run is whole"), "{}", told.log);
        assert_whole(&run, &[(1, 1), (2, 1)]);
        // Each was driven once, and the log tells what the engine was asked for.
        let sent = run.engine.log.records().len() as u64;
        assert_eq!(sent, 2 * REQUESTS + BESIDE);
        let whole = run.end(&["report".to_owned(), run.address()]);
        assert!(matches!(whole.code, Some(0 | 3)), "{}", whole.log);
        let again = upload(&run, &[&loaded, &reported]);
        assert!(again.log.contains("is whole already"), "{}", again.log);
        run.bucket.assert_never_overwritten();
    }
}

/// Without a cluster there is no pod's log; the program's output is one.
#[test]
fn bakeoff_run_leaves_its_report_on_its_output_where_it_cannot_store_it() {
    let _alone = alone();
    let run = Run::new("1", "4s");
    run.bucket.decide(|asked| match asked.method.as_str() {
        "PUT" if asked.key.ends_with("report.json") => Act::Refuse(507, "XMinioStorageFull"),
        _ => Act::Serve,
    });
    let file = run.path("run.yaml").display().to_string();
    let ended = run.end(&["run".to_owned(), file]);
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(
        ended
            .log
            .contains("give this output to bakeoff report --upload"),
        "{}",
        ended.log
    );
    run.bucket.decide(|_| Act::Serve);
    let told = upload(&run, &[&ended]);
    assert!(
        told.log
            .contains("The run is whole: s3://results/runs/team/kept-"),
        "{}",
        told.log
    );
    let objects = run.bucket.objects();
    let ends = |end: &str| objects.keys().filter(|key| key.ends_with(end)).count();
    assert_eq!(
        (
            ends("/report.json"),
            ends("/manifest.json"),
            ends("/stage.json")
        ),
        (1, 1, 1)
    );
    run.bucket.assert_never_overwritten();
}

/// Parts of several runner pods, each on its own pod's log.
#[test]
fn parts_of_shards_that_were_not_stored_go_up_later_and_are_laid_together() {
    let _alone = alone();
    let run = Run::of_shards(2, "2", "4s");
    let mut gone = false;
    run.bucket.decide(move |asked| {
        gone |= asked.key.contains("/shard-");
        if gone {
            Act::Refuse(503, "SlowDown")
        } else {
            Act::Serve
        }
    });
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap().to_string();
    drop(port);
    let shard = |index: &str| {
        let mut words = run.load();
        for word in &mut words {
            if word == "127.0.0.1:0" && index == "0" {
                word.clone_from(&address);
            }
            if word.ends_with("last-words") && index == "1" {
                word.push_str("-of-shard-1");
            }
        }
        words.extend(["--shards", "2", "--shard-index", index].map(str::to_owned));
        words.extend(["--shard-leader".to_owned(), format!("http://{address}")]);
        run.start(&words)
    };
    let ended = [shard("0"), shard("1")].map(|child| Ended::of(child.wait_with_output().unwrap()));
    for ended in &ended {
        assert_eq!(ended.code, Some(75), "{}", ended.log);
        assert!(ended.log.contains("BEGIN BAKEOFF FILE"), "{}", ended.log);
    }
    run.bucket.decide(|_| Act::Serve);
    let told = upload(&run, &[&ended[0], &ended[1]]);
    assert!(told.log.contains("The run is not whole"), "{}", told.log);
    let reported = run.end(&run.report());
    assert_eq!(reported.code, Some(0), "{}", reported.log);
    let report: Report = run.stored("report.json").unwrap();
    let stage = &report.engines[0].stages[0];
    assert_eq!(stage.requests.succeeded, REQUESTS, "{:?}", stage.requests);
    assert_eq!(stage.shards.len(), 2);
}

/// A reporter that may read and cannot write: its own log is enough.
#[test]
fn a_report_that_was_not_stored_is_finished_from_the_reporters_log() {
    let _alone = alone();
    let run = Run::new("1", "4s");
    assert_eq!(run.end(&run.load()).code, Some(0));
    run.bucket.decide(|asked| match asked.method.as_str() {
        "PUT" => Act::Refuse(507, "XMinioStorageFull"),
        _ => Act::Serve,
    });
    let reported = run.end(&run.report());
    assert_eq!(reported.code, Some(75), "{}", reported.log);
    run.bucket.decide(|_| Act::Serve);
    assert!(run.stored::<Report>("report.json").is_none());
    // What comes before the report on the log, and on each line, changes nothing.
    let stamped: String = reported
        .log
        .lines()
        .map(|line| format!("2026-03-01T12:00:00.0Z {line}\n"))
        .collect();
    let reported = Ended {
        log: stamped,
        ..reported
    };
    let told = upload(&run, &[&reported]);
    assert!(told.log.contains("The run is whole"), "{}", told.log);
    assert_whole(&run, &[(1, 1)]);
}

/// Told to stop while the bucket is away, as a pod that is evicted then: 30 s are left to it.
#[test]
fn a_runner_that_is_evicted_while_the_bucket_is_away_leaves_its_results_on_the_log() {
    let _alone = alone();
    let run = Run::new("1", "600s");
    let away = run.key(&stage(1, 1));
    let asked_for = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked_for);
    run.bucket.decide(move |asked| {
        if asked.key == away {
            counter.fetch_add(1, Ordering::Relaxed);
            return Act::Refuse(503, "SlowDown");
        }
        Act::Serve
    });
    let child = run.start(&run.load());
    while asked_for.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let loaded = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(loaded.code, Some(75), "{}", loaded.log);
    assert_eq!(run.last_words().runner.unwrap().stages_done, 1);
    run.bucket.decide(|_| Act::Serve);
    upload(&run, &[&loaded]);
    let report: StageReport = run.stored(&stage(1, 1)).unwrap();
    assert_eq!(report.requests.succeeded, REQUESTS);
}

/// Gives logs to `bakeoff report --upload`.
fn upload(run: &Run, logs: &[&Ended]) -> Ended {
    let mut words = vec!["report".to_owned()];
    for (number, log) in logs.iter().enumerate() {
        let path = run.path(&format!("log-{number}"));
        std::fs::write(&path, &log.log).unwrap();
        words.push(path.display().to_string());
    }
    words.extend(["--upload".to_owned(), run.target()]);
    let ended = run.end(&words);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    ended
}
