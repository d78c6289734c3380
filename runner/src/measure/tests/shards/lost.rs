//! Shards that are lost: what it costs, and what it does not.

use std::{sync::atomic::AtomicBool, thread};

use super::*;
use crate::shard::{SHARD_LOST, files};

/// A shard that dies without a word and is started anew, as the pod of an indexed Job: the stage's
/// first attempt is marked and kept, and all drive it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_shard_costs_the_attempt_and_nothing_else() {
    let (bench, server) = Bench::new("sweep: {concurrency: [8]}\n    requestsPerStage: 400");
    let (listener, url) = listen().await;
    let mut followers: Vec<_> = (1..OF)
        .map(|index| bench.follow(index, &url, Arc::default()))
        .collect();
    let leading = {
        let bench = bench.clone();
        tokio::spawn(async move {
            bench
                .lead(listener, Duration::from_secs(60), Arc::default())
                .await
        })
    };
    until_requests(&server, 100).await;
    // Its task goes without a word; what its threads still send, nobody hears of.
    followers.remove(1).abort();
    followers.push(bench.follow(2, &url, Arc::default()));
    let result = leading.await.unwrap();
    assert!(result.error.is_none(), "{:?}", result.error);
    for follower in followers {
        follower.await.unwrap().unwrap();
    }
    let cut = bench.report("concurrency-8", 1).await;
    assert_eq!(cut.verdict.status, VerdictStatus::Invalid);
    let (reason, message) = reasons(&cut)[0];
    assert_eq!(reason, SHARD_LOST);
    assert!(message.contains("shard 2 of 4"), "{message}");
    // The other three's results are in it, the lost one's arrivals are counted.
    assert_eq!((cut.requests.intended, cut.requests.succeeded), (400, 300));
    assert_eq!(cut.requests.failures["shardLost"], 100);
    assert_eq!(result.stages.len(), 1);
    assert_eq!(
        (
            result.stages[0].attempt,
            result.stages[0].requests.succeeded
        ),
        (2, 400)
    );
    assert_eq!(bench.report("concurrency-8", 2).await, result.stages[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_stays_away_ends_the_round_by_name() {
    let (bench, server) = Bench::new("sweep: {concurrency: [8]}\n    requestsPerStage: 400");
    let (listener, url) = listen().await;
    let stopped = Arc::new(Progress::default());
    let followers = [
        bench.follow(1, &url, Arc::default()),
        bench.follow(2, &url, Arc::default()),
        bench.follow(3, &url, Arc::clone(&stopped)),
    ];
    let stop = async {
        until_requests(&server, 100).await;
        stopped.control().cancel();
    };
    // Shard 0 tells of the requests of all, and of the one that is not there.
    let progress = Arc::new(Progress::default());
    let watch = async {
        loop {
            let now = progress.snapshot();
            // Its own are a quarter of all.
            if now.shards_missing == [3] && now.requests_done > 100 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (result, (), watched) = tokio::join!(
        bench.lead(listener, Duration::from_secs(10), Arc::clone(&progress)),
        stop,
        tokio::time::timeout(Duration::from_secs(60), watch)
    );
    assert!(watched.is_ok(), "{:?}", progress.snapshot());
    let error = result.error.as_ref().unwrap();
    assert_eq!(error.reason, reason::SHARD_LOST, "{error}");
    assert!(error.message.contains("shard 3 of 4"), "{error}");
    let [one, two, three] = followers;
    // The others are sent home with what happened.
    for other in [one, two] {
        let error = other.await.unwrap().unwrap_err();
        assert!(
            error.message.contains("shard 0 ended: ShardLost"),
            "{error}"
        );
    }
    assert_eq!(three.await.unwrap().unwrap_err().reason, reason::ABORTED);
    // Told to stop, it stored what it had: that is in the report too.
    let cut = bench.report("concurrency-8", 1).await;
    let cancelled = |(reason, _): &&(&str, &str)| *reason == "Cancelled";
    let told = reasons(&cut);
    let (_, message) = told.iter().find(cancelled).unwrap();
    assert!(message.contains("shard 3"), "{message}");
    assert_eq!(cut.verdict.status, VerdictStatus::Invalid);
    assert_eq!(cut.requests.intended, 400);
    let own: Vec<u64> = cut
        .shards
        .iter()
        .map(|shard| shard.requests.succeeded)
        .collect();
    assert_eq!(own[..3], [100, 100, 100]);
    assert_eq!(result.summary(&bench.plan).intended, 400);
}

/// Shard 0 in a runtime of its own, which dies with all of its connections.
fn leader_that_dies(
    bench: &Bench,
    listener: std::net::TcpListener,
    die: Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let bench = bench.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            bench
                .lead(listener, Duration::from_secs(60), Arc::default())
                .await
        });
        while !die.load(std::sync::atomic::Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(2));
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_costs_the_attempt_and_nothing_else() {
    let (bench, server) = Bench::new("sweep: {concurrency: [8]}\n    requestsPerStage: 400");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}");
    let die = Arc::new(AtomicBool::new(false));
    let first = leader_that_dies(&bench, listener, Arc::clone(&die));
    let followers: Vec<_> = (1..OF)
        .map(|index| bench.follow(index, &url, Arc::default()))
        .collect();
    until_requests(&server, 100).await;
    die.store(true, std::sync::atomic::Ordering::Relaxed);
    tokio::task::spawn_blocking(move || first.join().unwrap())
        .await
        .unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let result = bench
        .lead(listener, Duration::from_secs(60), Arc::default())
        .await;
    assert!(result.error.is_none(), "{:?}", result.error);
    for follower in followers {
        follower.await.unwrap().unwrap();
    }
    // The others had driven their parts to the end, and the next leader laid them together.
    let cut = bench.report("concurrency-8", 1).await;
    let (reason, message) = reasons(&cut)[0];
    assert_eq!(reason, SHARD_LOST);
    assert!(message.contains("shard 0 of 4"), "{message}");
    let own: Vec<u64> = cut
        .shards
        .iter()
        .map(|shard| shard.requests.succeeded)
        .collect();
    assert_eq!(own, [0, 100, 100, 100]);
    assert_eq!(result.stages.len(), 1);
    assert_eq!(
        (
            result.stages[0].attempt,
            result.stages[0].requests.succeeded
        ),
        (2, 400)
    );
}

/// Where no leader comes back, the reporter finds what the others stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reporter_lays_together_what_no_leader_did() {
    let (bench, _server) = Bench::new("sweep: {concurrency: [8]}\n    requestsPerStage: 40");
    let (listener, url) = listen().await;
    let followers: Vec<_> = (1..OF)
        .map(|index| bench.follow(index, &url, Arc::default()))
        .collect();
    let result = bench
        .lead(listener, Duration::from_secs(60), Arc::default())
        .await;
    assert!(result.error.is_none(), "{:?}", result.error);
    for follower in followers {
        follower.await.unwrap().unwrap();
    }
    // The same folder, but for what shard 0 wrote last, and, the second time, its own part.
    let sources = workload::Sources::default();
    let frozen = workload::freeze(&bench.plan, &sources).unwrap();
    for without in ["/stage.json", "/shard-0/"] {
        let store = Store::in_memory();
        workload::frozen::store(&store, &frozen, &sources)
            .await
            .unwrap();
        for path in paths(&bench.store).await {
            if !path.ends_with(STAGE) && !path.contains(without) {
                let bytes = bench.store.get(&path).await.unwrap();
                store.put_new(&path, bytes).await.unwrap();
            }
        }
        let found = crate::report::collect::stages(&store, &bench.plan)
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{without}");
        if without == "/stage.json" {
            assert_eq!(found[0].stage, result.stages[0]);
            // Where the round begins anew on another node, it is driven again; else it is done.
            let copy = Bench {
                store: store.clone(),
                ..bench.clone()
            };
            let prompts = copy.prompts();
            for (restart, done) in [(1, 0), (0, 1)] {
                let round = EngineRound {
                    restart,
                    ..copy.round(&prompts, Arc::default(), Crew::Alone)
                };
                let mut earlier = crate::measure::resume::earlier(&round).await.unwrap();
                assert_eq!(earlier.take_done().len(), done, "{restart}");
            }
        } else {
            assert_eq!(reasons(&found[0].stage)[0].0, SHARD_LOST);
            assert_eq!(found[0].stage.requests.succeeded, 30);
        }
    }
    let broken = Store::in_memory();
    workload::frozen::store(&broken, &frozen, &sources)
        .await
        .unwrap();
    let folder = attempt_folder("fake", 1, 1, "concurrency-8", 1);
    let path = format!("{folder}/shard-1/{}", files::RESULT);
    broken.put_new(&path, "{").await.unwrap();
    broken
        .put_new(&format!("{folder}/shard-1/{REQUESTS}"), "")
        .await
        .unwrap();
    let error = crate::report::collect::stages(&broken, &bench.plan)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("shard-1/shard.json"), "{error}");
}
