//! Several processes that act as one client, one of them killed.

use std::{path::Path, process::Child};

use bakeoff_crds::run::status::VerdictStatus;
use rustix::process::{Pid, Signal, kill_process};

use crate::common::{alone, bakeoff, bench, engine, stage, start};

/// The process of a shard that this one started.
fn shard(parent: &Child, index: u32) -> Option<Pid> {
    let is_it = |process: &Path| {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let words = std::fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        status.contains(&format!("\nPPid:\t{}\n", parent.id()))
            && words.contains(&format!("--shard-index\0{index}\0"))
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let found = processes
        .map(|entry| entry.path())
        .find(|path| is_it(path))?;
    Pid::from_raw(found.file_name()?.to_str()?.parse().ok()?)
}

#[test]
fn processes_of_bench_act_as_one_client() {
    let _alone = alone();
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let (report, log) = (folder.path().join("report.json"), folder.path().join("log"));
    let load = [
        "--rate",
        "100",
        "--requests",
        "90",
        "--max-tokens",
        "4",
        "--processes",
        "3",
        "--no-calibration",
        "--requests-log",
        log.to_str().unwrap(),
    ];
    let mut child = start(bakeoff(), &bench(&engine.url, &report, &load));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let stage = stage(&report);
    assert_eq!(
        (stage.requests.intended, stage.requests.succeeded),
        (90, 90)
    );
    let sent = stage.shards.iter().map(|shard| shard.requests.sent);
    assert_eq!(sent.collect::<Vec<_>>(), [30, 30, 30]);
    assert!(stage.shards[1].clock_offset_bound_seconds > 0.0);
    assert_eq!(engine.log.records().len(), 90);
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count(), 1 + 90);
}

#[test]
fn a_process_that_is_killed_is_named_and_the_others_are_kept() {
    let _alone = alone();
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let load = [
        "--concurrency",
        "6",
        "--requests",
        "900",
        "--max-tokens",
        "4",
        "--processes",
        "3",
        "--no-calibration",
    ];
    let mut child = start(bakeoff(), &bench(&engine.url, &report, &load));
    while engine.log.records().len() < 100 {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        std::thread::yield_now();
    }
    kill_process(shard(&child, 2).unwrap(), Signal::KILL).unwrap();
    // A verdict of Invalid.
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let stage = stage(&report);
    assert_eq!(stage.verdict.status, VerdictStatus::Invalid);
    let reasons = stage.verdict.reasons.iter();
    let lost: Vec<_> = reasons
        .filter(|found| found.reason == "ShardLost")
        .collect();
    assert_eq!(lost.len(), 1, "{:?}", stage.verdict);
    assert!(lost[0].message.contains("shard 2 of 3"), "{:?}", lost[0]);
    // The others' parts are whole, and what is not known of the lost one is counted as that.
    let requests = &stage.requests;
    assert_eq!((requests.intended, requests.succeeded), (900, 600));
    assert_eq!(requests.failures["shardLost"], 300);
    assert!(stage.shards[2].lost && !stage.shards[1].lost);
}
