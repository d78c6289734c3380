//! Processes that are killed at random moments: no stage that was stored is lost or changed, no object
//! is corrupt, and each stage is reported once.
//!
//! ```sh
//! BAKEOFF_SOAK=200 cargo test -p bakeoff-runner --test program -- soak --nocapture
//! ```
//! `BAKEOFF_SOAK_SEED=N` begins elsewhere than at 1, and repeats what a failure printed.

use std::{
    collections::BTreeMap,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    bucket::Act,
    common::alone,
    pod::{Ended, Run, assert_whole},
};

/// Runs where nothing else is asked for.
const RUNS: u64 = 10;
/// Requests to the bucket of a runner and of a reporter that nobody disturbs, and some more.
const REQUESTS_OF_LOAD: usize = 34;
const REQUESTS_OF_REPORT: usize = 40;
/// Most times that one is killed before it is left alone.
const MOST_KILLS: u32 = 3;
/// Processes that may be started for one piece of work: they stop being killed before.
const MOST_STARTS: u32 = MOST_KILLS + 2;

fn variable(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |number| number.parse().unwrap())
}

#[test]
fn soak_of_processes_that_are_killed() {
    let _alone = alone();
    let first = variable("BAKEOFF_SOAK_SEED", 1);
    let runs = variable("BAKEOFF_SOAK", RUNS);
    let mut kills = 0;
    for seed in first..first + runs {
        // Before: whatever fails is of the last seed that was printed.
        println!("seed {seed}");
        kills += one(seed);
    }
    println!("{runs} runs from seed {first}: {kills} processes killed");
    assert!(kills > 0, "nothing was killed, so nothing was tried");
}

/// One run, its runner and its reporter killed and started anew. How many were killed.
fn one(seed: u64) -> u32 {
    let mut random = StdRng::seed_from_u64(seed);
    let run = Run::new("1, 2, 3", "60s");
    let kills = until_done(&run, &run.load(), REQUESTS_OF_LOAD, &mut random, seed)
        + until_done(&run, &run.report(), REQUESTS_OF_REPORT, &mut random, seed);
    let stages = last_attempts(&run);
    assert_eq!(
        stages
            .iter()
            .map(|(concurrency, _)| *concurrency)
            .collect::<Vec<_>>(),
        [1, 2, 3],
        "seed {seed}"
    );
    assert_whole(&run, &stages);
    run.bucket.assert_never_overwritten();
    kills
}

/// Starts the program as its Job would, again and again, and kills it amid its requests to the bucket.
/// How often it was killed.
fn until_done(run: &Run, words: &[String], requests: usize, random: &mut StdRng, seed: u64) -> u32 {
    for start in 0..MOST_STARTS {
        let before = run.bucket.objects();
        let ended = if start < MOST_KILLS {
            let request = random.random_range(1..requests);
            let ended = killed(run, words, request, &Moment::any(random));
            // Whoever comes after a process that ended before its moment is not meant.
            run.bucket.decide(|_| Act::Serve);
            ended
        } else {
            Some(run.end(words))
        };
        // What was there is there, as it was.
        let after = run.bucket.objects();
        for (key, bytes) in &before {
            assert_eq!(
                after.get(key),
                Some(bytes),
                "seed {seed}: {key} is lost or changed"
            );
        }
        if let Some(ended) = ended {
            assert_eq!(ended.code, Some(0), "seed {seed}: {}", ended.log);
            return start;
        }
    }
    panic!("seed {seed}: not done after {MOST_STARTS} starts");
}

/// When a process is killed: at its n-th request to the bucket.
enum Moment {
    /// Before it is done.
    Before,
    /// Once it is done, before it is answered.
    After,
    /// So long after it was answered.
    Later(Duration),
}

impl Moment {
    fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..3) {
            0 => Self::Before,
            1 => Self::After,
            _ => Self::Later(Duration::from_micros(random.random_range(0..30_000))),
        }
    }

    /// What becomes of the request.
    fn act(&self) -> Act {
        match self {
            Self::Before => Act::Hang,
            Self::After => Act::HangAfter,
            Self::Later(_) => Act::Serve,
        }
    }
}

/// Kills the program at its n-th request to the bucket; where it ended before, how.
fn killed(run: &Run, words: &[String], request: usize, moment: &Moment) -> Option<Ended> {
    let seen = Arc::new(AtomicUsize::new(0));
    let (counter, act) = (Arc::clone(&seen), moment.act());
    run.bucket
        .decide(move |_| match counter.fetch_add(1, Ordering::Relaxed) + 1 {
            number if number < request => Act::Serve,
            _ => act,
        });
    let mut child: Child = run.start(words);
    while seen.load(Ordering::Relaxed) < request {
        if child.try_wait().unwrap().is_some() {
            return Some(Ended::of(child.wait_with_output().unwrap()));
        }
        // How often it is looked at; nothing depends on it where the request hangs.
        std::thread::sleep(Duration::from_millis(1));
    }
    if let Moment::Later(time) = moment {
        // The moment is what is random; nothing waits for anything here.
        std::thread::sleep(*time);
    }
    // One that has ended meanwhile is not killed by this; it has done its work.
    child.kill().unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    ended.code.is_some().then_some(ended)
}

/// The last attempt of each concurrency.
fn last_attempts(run: &Run) -> Vec<(u32, u32)> {
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    for key in run.bucket.objects().into_keys() {
        let Some(rest) = key.split("/concurrency-").nth(1) else {
            continue;
        };
        let mut parts = rest.split('/');
        let concurrency = parts.next().unwrap().parse().unwrap();
        let attempt = parts.next().unwrap().strip_prefix("attempt-").unwrap();
        let attempt: u32 = attempt.parse().unwrap();
        let known = last.entry(concurrency).or_default();
        *known = attempt.max(*known);
    }
    last.into_iter().collect()
}
