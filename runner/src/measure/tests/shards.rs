//! Several shards against one simulated engine, within one process and over loopback.

mod late;
mod lost;

use super::*;
use crate::{drive::Share, record::log, shard::Follower};

const OF: u32 = 4;
const TOKEN: &str = "of this Job";

/// A run of one stage that lasts long enough to lose a shard in it.
fn plan_of(workload: &str) -> Plan {
    planned(&format!(
        "
  model: {{id: demo/model}}
  engines:
    - name: fake
      simulated: {{protocol: OpenAiChat, timeToFirstToken: 20ms, interTokenLatency: 2ms}}
  workload:
    prompts: {{inline: [one, two, three]}}
    limits: {{maxOutputTokens: 4}}
    sampling: {{ignoreEos: true}}
    warmup: {{requests: 0}}
    {workload}
  runner: {{parallelism: {OF}, calibration: Never}}
  output: {{uri: 'file:///nowhere'}}"
    ))
}

/// What all shards of a test share.
#[derive(Clone)]
struct Bench {
    plan: Plan,
    url: String,
    store: Store,
}

impl Bench {
    fn new(workload: &str) -> (Self, simulate::Running) {
        let plan = plan_of(workload);
        let server = start(&plan);
        let bench = Self {
            plan,
            url: server.url.clone(),
            store: Store::in_memory(),
        };
        (bench, server)
    }

    fn prompts(&self) -> Vec<Prompt> {
        workload::freeze(&self.plan, &workload::Sources::default())
            .unwrap()
            .prompts
    }

    fn round<'a>(
        &'a self,
        prompts: &'a [Prompt],
        progress: Arc<Progress>,
        crew: Crew,
    ) -> EngineRound<'a> {
        EngineRound {
            client: Client {
                plan: &self.plan,
                engine: &self.plan.engines[0],
                url: &self.url,
                prompts,
                tokenizer: None,
                api_key: None,
                headers: Vec::new(),
                tls: tls::client_config(None).unwrap(),
                threads: 1,
                progress,
            },
            round: 1,
            restart: 0,
            store: &self.store,
            pods: ScrapeTarget::default(),
            patience: Duration::from_secs(20),
            crew,
        }
    }

    /// Shard 0, served on `listener` until it is done.
    async fn lead(
        &self,
        listener: tokio::net::TcpListener,
        patience: Duration,
        progress: Arc<Progress>,
    ) -> RoundResult {
        let leader = Leader::new(TOKEN.into(), OF, patience, Arc::clone(&progress));
        let leader = Arc::new(leader);
        let routes = leader.routes();
        let served = tokio::spawn(async move { axum::serve(listener, routes).await });
        let prompts = self.prompts();
        let round = self.round(&prompts, progress, Crew::Leader(leader));
        let result = measure_engine(&round).await;
        served.abort();
        result
    }

    /// Another shard, as a task.
    fn follow(
        &self,
        index: u32,
        leader: &str,
        progress: Arc<Progress>,
    ) -> tokio::task::JoinHandle<Result<(), MeasureError>> {
        let (bench, leader) = (self.clone(), leader.to_owned());
        tokio::spawn(async move {
            let share = Share { index, of: OF };
            let patience = Duration::from_secs(60);
            let follower = Follower::new(
                &leader,
                TOKEN.into(),
                share,
                patience,
                Arc::clone(&progress),
            )
            .unwrap();
            let prompts = bench.prompts();
            super::super::follow(&bench.round(&prompts, progress, Crew::Alone), &follower).await
        })
    }

    async fn report(&self, stage: &str, attempt: u32) -> StageReport {
        let folder = attempt_folder("fake", 1, 1, stage, attempt);
        let json = self.store.get(&format!("{folder}/{STAGE}")).await.unwrap();
        serde_json::from_slice(&json).unwrap()
    }
}

async fn listen() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn reasons(report: &StageReport) -> Vec<(&str, &str)> {
    let reasons = report.verdict.reasons.iter();
    reasons
        .map(|reason| (reason.reason.as_str(), reason.message.as_str()))
        .collect()
}

async fn until_requests(server: &simulate::Running, requests: usize) {
    while server.log.records().len() < requests {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_shards_send_what_one_client_would() {
    // With two at a time, two of the four have nothing to do.
    let (bench, server) =
        Bench::new("sweep: {concurrency: [2, 6]}\n    requestsPerStage: 20\n    repetitions: 2");
    let (listener, url) = listen().await;
    let followers: Vec<_> = (1..OF)
        .map(|index| bench.follow(index, &url, Arc::default()))
        .collect();
    let progress = Arc::new(Progress::default());
    let result = bench
        .lead(listener, Duration::from_secs(60), Arc::clone(&progress))
        .await;
    assert!(result.error.is_none(), "{:?}", result.error);
    for follower in followers {
        follower.await.unwrap().unwrap();
    }
    // One to try, the probe's, and each of the others once.
    assert_eq!(server.log.records().len(), 1 + PROBED + 4 * 20);
    assert_eq!(result.stages.len(), 4);
    assert_eq!(progress.snapshot().stages_done, 4);
    for stage in &result.stages {
        assert_eq!(
            (stage.requests.intended, stage.requests.succeeded),
            (20, 20)
        );
        assert_eq!(stage.output_tokens.as_ref().unwrap().sum, 80);
        assert!(!stage.engine_metrics.is_empty());
        let agree = stage.reconciliation.iter().map(|check| check.passed);
        assert_eq!(
            agree.collect::<Vec<_>>(),
            [true; 4],
            "{:?}",
            stage.reconciliation
        );
        assert_eq!(stage.shards.len(), OF as usize);
        assert!(stage.shards.iter().all(|shard| !shard.lost));
        let bounds: Vec<f64> = stage
            .shards
            .iter()
            .map(|s| s.clock_offset_bound_seconds)
            .collect();
        assert_eq!(bounds[0], 0.0);
        assert!(bounds[1..].iter().all(|bound| *bound > 0.0), "{bounds:?}");
        let sent: Vec<u64> = stage
            .shards
            .iter()
            .map(|shard| shard.requests.sent)
            .collect();
        let expected = match stage.name.as_str() {
            "concurrency-2" => [10, 10, 0, 0],
            // Six workers over four shards; 20 requests are three rounds of six and two more.
            _ => [7, 7, 3, 3],
        };
        assert_eq!(sent, expected, "{}", stage.name);
    }
    let folder = attempt_folder("fake", 1, 2, "concurrency-6", 1);
    let packed = bench
        .store
        .get(&format!("{folder}/{REQUESTS}"))
        .await
        .unwrap();
    let records = log::read(&packed, 3600 * clock::SECOND).unwrap();
    let of: Vec<(u64, u64)> = records
        .iter()
        .map(|record| (record.index, record.prompt))
        .collect();
    // The prompts go on where the stages before stopped, whatever the number of shards.
    let expected: Vec<(u64, u64)> = (0..20).map(|index| (index, (60 + index) % 3)).collect();
    assert_eq!(of, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_keeps_its_schedule_whatever_the_shards() {
    let (bench, _server) = Bench::new("sweep: {requestRate: [40]}\n    requestsPerStage: 40");
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
    let due = |packed: &[u8]| -> Vec<clock::Nanos> {
        let records = log::read(packed, 3600 * clock::SECOND).unwrap();
        records.iter().map(|record| record.due.unwrap()).collect()
    };
    let file = format!("{}/{REQUESTS}", attempt_folder("fake", 1, 1, "rate-40", 1));
    let shared = due(&bench.store.get(&file).await.unwrap());
    let alone = Bench {
        store: Store::in_memory(),
        ..bench.clone()
    };
    let prompts = alone.prompts();
    let round = alone.round(&prompts, Arc::default(), Crew::Alone);
    assert!(measure_engine(&round).await.error.is_none());
    assert_eq!(shared, due(&alone.store.get(&file).await.unwrap()));
}

/// Shard 0 decides by all answers: a quarter of them is too few for a 90th percentile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_is_decided_by_what_all_shards_measured() {
    for (bound, expected) in [
        ("1ms", &["concurrency-4"][..]),
        ("30s", &["concurrency-4", "concurrency-8"][..]),
    ] {
        let (bench, _server) = Bench::new(&format!(
            "sweep: {{search: {{concurrency: {{min: 4, max: 8}}, precision: 1.0}}}}\n    requestsPerStage: 100\n  \
             objectives: [{{metric: RequestLatency, percentile: 90, lessThan: {bound}}}]"
        ));
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
        let names: Vec<&str> = result
            .stages
            .iter()
            .map(|stage| stage.name.as_str())
            .collect();
        assert_eq!(names, expected, "{bound}");
        for stage in &result.stages {
            assert_eq!(stage.requests.succeeded, 100);
            let sent = stage.shards.iter().map(|shard| shard.requests.sent);
            assert!(sent.max() < Some(100));
        }
        let stages: Vec<&StageReport> = result.stages.iter().collect();
        let found = bakeoff_crds::plan::search::answer(&bench.plan, 1, 1, &stages).unwrap();
        assert_eq!(
            found.best,
            (bound == "30s").then_some(8.0),
            "{}",
            found.message
        );
    }
}

/// The engine has four places: four at a time answer twice as much as two, eight no more than four.
/// Shard 0 alone would see no gain at all: its part of one, two and four requests in flight is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_knee_is_decided_by_what_all_shards_measured() {
    let (mut bench, _) = Bench::new(
        "sweep: {knee: {concurrency: {min: 1, max: 64}, leastGain: 0.2}}\n    requestsPerStage: 16",
    );
    let EngineSource::Simulated(simulated) = &mut bench.plan.engines[0].source else {
        panic!("{:?}", bench.plan.engines[0].source);
    };
    simulated.max_batch_size = 4;
    simulated.batch_slowdown = 0.0;
    // Long against what a busy machine adds.
    simulated.time_to_first_token = bakeoff_crds::Duration::from_millis(150);
    let server = start(&bench.plan);
    bench.url = server.url.clone();
    let (listener, url) = listen().await;
    let followers: Vec<_> = (1..OF)
        .map(|index| bench.follow(index, &url, Arc::default()))
        .collect();
    let progress = Arc::new(Progress::default());
    let result = bench
        .lead(listener, Duration::from_secs(60), Arc::clone(&progress))
        .await;
    assert!(result.error.is_none(), "{:?}", result.error);
    for follower in followers {
        follower.await.unwrap().unwrap();
    }
    let names: Vec<&str> = result
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "concurrency-1",
            "concurrency-2",
            "concurrency-4",
            "concurrency-8"
        ]
    );
    assert!(
        result
            .stages
            .iter()
            .all(|stage| stage.requests.succeeded == 16)
    );
    let stages: Vec<&StageReport> = result.stages.iter().collect();
    let found = bakeoff_crds::plan::search::answer(&bench.plan, 1, 1, &stages).unwrap();
    assert_eq!((found.best, found.first_failing), (Some(4.0), Some(8.0)));
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.stages_done, snapshot.stages_planned), (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stray_pod_is_refused() {
    let (listener, url) = listen().await;
    let leader = Leader::new(TOKEN.into(), OF, Duration::from_secs(1), Arc::default());
    let routes = Arc::new(leader).routes();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    for (token, index, of, expected) in [
        ("of another Job", 1, OF, "a pod of another Job"),
        (TOKEN, OF, OF, "no shard 4 of 4 here"),
        (TOKEN, 0, OF, "no shard 0 of 4 here"),
        (TOKEN, 1, 2, "no shard 1 of 2 here"),
    ] {
        let share = Share { index, of };
        let patience = Duration::from_secs(60);
        let follower = Follower::new(&url, token.into(), share, patience, Arc::default()).unwrap();
        let error = follower.join().await.unwrap_err();
        assert_eq!(error.reason, reason::SHARD_LOST);
        assert!(error.message.contains(expected), "{error}");
    }
}
