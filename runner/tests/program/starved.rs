//! A client that gets no CPU must say so, and never pass for a slow engine.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bakeoff_crds::{report::StageReport, run::status::VerdictStatus};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::{
    common::{alone, bakeoff, bench, engine, has, stage, start},
    quota::Quota,
};

/// Far more than a tenth of a CPU can read.
const LOAD: [&str; 7] = [
    "--concurrency",
    "64",
    "--duration",
    "3s",
    "--max-tokens",
    "32",
    "--no-calibration",
];

/// Runs the load with a command line, and gives the stage.
fn measure(url: &str, wrapper: Option<&Path>) -> StageReport {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("report.json");
    let words = bench(url, &output, &LOAD);
    let mut child = match wrapper {
        None => start(bakeoff(), &words),
        Some(entrance) => {
            // The shell enters the group and becomes the program.
            let script = "echo $$ > \"$1\" && shift && exec \"$@\"";
            let mut all = vec!["-c".to_owned(), script.to_owned(), "sh".to_owned()];
            all.push(entrance.display().to_string());
            all.push(bakeoff().to_owned());
            all.extend(words);
            start("sh", &all)
        }
    };
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    stage(&output)
}

/// The reason shows under starvation; without it, it does not, unless this machine starves
/// everyone. Then the starved run is at least no better.
fn judge(reason: &str, starved: &StageReport, control: &StageReport) {
    assert!(has(starved, reason), "{:?}", starved.verdict);
    assert!(starved.verdict.status >= VerdictStatus::Suspect);
    if has(control, reason) {
        println!("the control has {reason} too: {:?}", control.verdict);
        assert!(starved.verdict.status >= control.verdict.status);
    }
}

#[test]
fn a_cpu_quota_shows_as_throttling() {
    let _alone = alone();
    let quota = match Quota::new(10_000) {
        Ok(quota) => quota,
        Err(why) => {
            println!("SKIPPED, the quota was not tested: {why}");
            return;
        }
    };
    let engine = engine();
    let starved = measure(&engine.url, Some(&quota.entrance()));
    let control = measure(&engine.url, None);
    assert_eq!(starved.client.cpu_limit, Some(0.1), "{:?}", starved.client);
    assert!(
        starved
            .client
            .throttled_periods
            .is_some_and(|periods| periods > 0)
    );
    // No quota, so no throttling, however busy the machine is.
    assert!(!has(&control, "ClientThrottled"), "{:?}", control.verdict);
    judge("ClientThrottled", &starved, &control);
}

#[test]
fn a_busy_neighbour_shows_as_contention() {
    let _alone = alone();
    let cpus = allowed();
    let [first, _, ..] = cpus.as_slice() else {
        println!("SKIPPED, the neighbour was not tested: it takes two CPUs, one for the engine");
        return;
    };
    let engine = engine();
    let control = measure(&engine.url, None);
    let starved = beside_spinners(*first, 3, &cpus, || measure(&engine.url, None));
    judge("CpuContention", &starved, &control);
    let waited = |stage: &StageReport| stage.client.run_queue_wait_seconds.unwrap();
    if !has(&control, "CpuContention") {
        assert!(waited(&starved) > waited(&control));
    }
}

/// CPUs that this process may use.
fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect()
}

fn pin(cpus: &[usize]) {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    sched_setaffinity(None, &set).unwrap();
}

/// Does something on one CPU, where so many threads spin at the same time.
fn beside_spinners<T>(cpu: usize, spinners: usize, cpus: &[usize], act: impl FnOnce() -> T) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    // Threads and processes that are begun from here on stay on that CPU.
    pin(&[cpu]);
    let threads: Vec<_> = (0..spinners)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let result = act();
    stop.store(true, Ordering::Relaxed);
    pin(cpus);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    result
}
