mod cache;
mod conformance;
mod probe;
mod profiles;
mod requests;

use bakeoff_crds::{
    plan::EngineSource,
    report::{StageReport, TokenCountSource},
    run::status::VerdictStatus,
    summary::reason,
};

use super::*;
use crate::{clock, simulate, store::Store, testing::planned, wire::tls, workload};

const RUN: &str = "
  model: {id: demo/model}
  engines:
    - name: fake
      simulated: {protocol: OpenAiChat, timeToFirstToken: 5ms, interTokenLatency: 1ms, fault: FAULT}
  workload:
    prompts: {inline: [one, two, three]}
    limits: {maxOutputTokens: 4}
    sampling: {ignoreEos: true}
    requestTimeout: 1s
    warmup: {requests: 2}
    sweep: {concurrency: [1, 4]}
    requestsPerStage: 8
    repetitions: 2
  metrics: {interval: 20ms}
  runner: {calibration: Never}
  output: {uri: 'file:///nowhere'}
";

/// Requests of the parity probe: two prompts, twice.
const PROBED: usize = 4;

fn plan(fault: &str) -> Plan {
    planned(&RUN.replace("FAULT", fault))
}

fn start(plan: &Plan) -> simulate::Running {
    match &plan.engines[0].source {
        EngineSource::Simulated(simulated) => {
            simulate::start(simulated, &plan.engines[0].endpoint.model).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// The plan's prompts.
fn frozen(plan: &Plan) -> Vec<Prompt> {
    let frozen = workload::freeze(plan, &workload::Sources::default());
    frozen.unwrap().prompts
}

/// Measures the plan's engine at a URL.
async fn measure_at(plan: &Plan, url: &str, store: &Store, progress: Arc<Progress>) -> RoundResult {
    measure_with(plan, url, store, progress, &frozen(plan)).await
}

async fn measure_with(
    plan: &Plan,
    url: &str,
    store: &Store,
    progress: Arc<Progress>,
    prompts: &[Prompt],
) -> RoundResult {
    measure_round(plan, url, store, progress, prompts, (0, None)).await
}

/// Measures the plan's engine in a round that has begun anew so often.
async fn measure_anew(plan: &Plan, url: &str, store: &Store, restart: u32) -> RoundResult {
    let prompts = frozen(plan);
    measure_round(plan, url, store, Arc::default(), &prompts, (restart, None)).await
}

/// Measures the plan's engine with a tokenizer of the model.
async fn measure_counted(
    plan: &Plan,
    url: &str,
    store: &Store,
    tokenizer: TokenCounter,
) -> RoundResult {
    let (prompts, tokenizer) = (frozen(plan), Some(Arc::new(tokenizer)));
    measure_round(plan, url, store, Arc::default(), &prompts, (0, tokenizer)).await
}

fn client<'a>(
    plan: &'a Plan,
    url: &'a str,
    progress: Arc<Progress>,
    prompts: &'a [Prompt],
) -> Client<'a> {
    Client {
        plan,
        engine: &plan.engines[0],
        url,
        prompts,
        tokenizer: None,
        api_key: None,
        headers: Vec::new(),
        tls: tls::client_config(None).unwrap(),
        threads: 1,
        progress,
    }
}

async fn measure_round(
    plan: &Plan,
    url: &str,
    store: &Store,
    progress: Arc<Progress>,
    prompts: &[Prompt],
    (restart, tokenizer): (u32, Option<Arc<TokenCounter>>),
) -> RoundResult {
    let round = EngineRound {
        client: Client {
            tokenizer,
            ..client(plan, url, progress, prompts)
        },
        round: 1,
        restart,
        store,
        pods: ScrapeTarget::default(),
        patience: Duration::from_secs(5),
        crew: Crew::Alone,
    };
    measure_engine(&round).await
}

async fn paths(store: &Store) -> Vec<String> {
    store
        .list("")
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.path)
        .collect()
}

#[tokio::test]
async fn every_stage_is_stored_as_it_ends() {
    let plan = plan("None");
    let server = start(&plan);
    let store = Store::in_memory();
    let progress = Arc::new(Progress::default());
    let result = measure_at(&plan, &server.url, &store, Arc::clone(&progress)).await;
    assert!(result.error.is_none(), "{:?}", result.error);
    let summary = result.summary(&plan);
    assert_eq!((summary.stages_done, summary.stages_planned), (4, 4));
    assert_eq!(
        (summary.intended, summary.succeeded, summary.failed),
        (32, 32, 0)
    );
    assert!(summary.engine_version.is_some());
    assert!(summary.headline.unwrap().output_tokens_per_second > 0.0);

    let stored = paths(&store).await;
    for repetition in 1..=2 {
        for stage in ["concurrency-1", "concurrency-4"] {
            let folder = attempt_folder("fake", 1, repetition, stage, 1);
            for file in [BEGUN, REQUESTS, STAGE] {
                assert!(
                    stored.contains(&format!("{folder}/{file}")),
                    "{folder}/{file}"
                );
            }
            let json = store.get(&format!("{folder}/{STAGE}")).await.unwrap();
            let report: StageReport = serde_json::from_slice(&json).unwrap();
            assert_eq!((report.repetition, report.attempt), (repetition, 1));
            assert_eq!(report.output_tokens.unwrap().sum, 32);
            assert!(report.engine_metrics.contains_key("running"));
            let agree = report.reconciliation.iter().map(|check| check.passed);
            assert_eq!(
                agree.collect::<Vec<_>>(),
                [true; 4],
                "{:?}",
                report.reconciliation
            );
            let log = store.get(&format!("{folder}/{REQUESTS}")).await.unwrap();
            let lines = String::from_utf8(zstd::decode_all(&log[..]).unwrap()).unwrap();
            assert_eq!(lines.lines().count(), 1 + 8);
        }
    }
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.stages_done, snapshot.stages_planned), (4, 4));
    // One to try, the probe's, two to warm up, and the measured ones.
    assert_eq!(server.log.records().len(), 1 + PROBED + 2 + 32);
}

#[tokio::test]
async fn answers_are_read_judged_and_held_against_each_other() {
    let plan = plan("None");
    let server = start(&plan);
    let mut prompts = frozen(&plan);
    let expects = |answers: Vec<String>| {
        Some(crate::answer::Expected {
            answers,
            rule: crate::answer::MatchRule::Contains,
        })
    };
    // The simulator knows 64 words, and a zebra is none of them.
    let words = simulate::text::answer(0, 4000);
    let words = words.split_whitespace().map(str::to_owned);
    prompts[0].expected = expects(words.collect());
    prompts[1].expected = expects(vec!["zebra".into()]);
    let store = Store::in_memory();
    let result = measure_with(&plan, &server.url, &store, Arc::default(), &prompts).await;
    let stage = &result.stages[0];
    // Eight requests over three prompts: 0 1 2 0 1 2 0 1.
    let sanity = stage.output_sanity.as_ref().unwrap();
    assert_eq!(
        (sanity.judged, sanity.shorter_than_asked, sanity.repeating),
        (8, Some(0), 0)
    );
    let quality = stage.quality.as_ref().unwrap();
    assert_eq!(
        (quality.matched, quality.judged, quality.prompts),
        (3, 6, 2)
    );
    assert_eq!(stage.answer_digests.len(), 3);
    assert_eq!(stage.answer_digests["0"].len(), 3);
    // The simulator says the same each time.
    let engine = bakeoff_crds::report::EngineReport {
        name: "fake".into(),
        stages: result.stages,
        ..Default::default()
    };
    let found = crate::report::compare::compare(&[engine], &[]).agreement;
    assert_eq!((found.len(), found[0].prompts, found[0].share), (1, 3, 1.0));
    let folder = attempt_folder("fake", 1, 1, "concurrency-1", 1);
    let log = store.get(&format!("{folder}/{REQUESTS}")).await.unwrap();
    let lines = String::from_utf8(zstd::decode_all(&log[..]).unwrap()).unwrap();
    let digested = |line: &str| line.contains("\"digest\":\"");
    assert!(lines.lines().skip(1).all(digested), "{lines}");
}

/// TorchServe tells no count of tokens; OpenAI's interface does, and that one stands.
#[tokio::test]
async fn answers_are_counted_by_the_tokenizer_where_there_is_one() {
    for (protocol, source) in [
        ("TorchServe", TokenCountSource::Tokenizer),
        ("OpenAiChat", TokenCountSource::Server),
    ] {
        let plan = planned(&RUN.replace("FAULT", "None").replace("OpenAiChat", protocol));
        let server = start(&plan);
        let prompts = frozen(&plan);
        for tokenizer in [None, Some(Arc::new(TokenCounter::new(None).unwrap()))] {
            let is_counted = tokenizer.is_some();
            let client = Client {
                tokenizer,
                ..client(&plan, &server.url, Arc::default(), &prompts)
            };
            let (stage, driven) = measure_stage(&client, &plan.stages[1]).await.unwrap();
            let output = stage.output_tokens.as_ref().map(|tokens| tokens.sum);
            let counted = |record: &crate::record::Record| record.tokenizer_output_tokens.is_some();
            assert!(
                driven
                    .records
                    .iter()
                    .all(|record| counted(record) == is_counted)
            );
            match (source, is_counted) {
                (TokenCountSource::Tokenizer, false) => {
                    assert_eq!(stage.token_count_source, TokenCountSource::None);
                    assert_eq!(output, None);
                }
                (TokenCountSource::Tokenizer, true) => {
                    assert_eq!(stage.token_count_source, source);
                    assert!(output > Some(0), "{stage:?}");
                }
                _ => {
                    assert_eq!(stage.token_count_source, source);
                    assert_eq!(output, Some(32));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_sweep_rests_between_its_stages() {
    let mut plan = plan("None");
    plan.spec.workload.repetitions = 1;
    plan.spec.workload.sweep.pause = Some(bakeoff_crds::Duration::from_millis(300));
    let server = start(&plan);
    let result = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
    let [first, second] = result.stages.as_slice() else {
        panic!("{:?}", result.stages)
    };
    let begin = |stage: &StageReport| stage.window.start.parse::<jiff::Timestamp>().unwrap();
    let gap = begin(second).duration_since(begin(first)).as_secs_f64();
    assert!(gap - first.window.duration_seconds >= 0.3, "{gap}");
}

/// The plan with a search for the highest concurrency at which half of the answers take less than
/// `less_than`.
fn searching(less_than: &str) -> Plan {
    let sweep = "sweep: {search: {concurrency: {min: 1, max: 4}}}";
    let objectives =
        format!("objectives: [{{metric: RequestLatency, percentile: 50, lessThan: {less_than}}}]");
    let run = RUN
        .replace("FAULT", "None")
        .replace("sweep: {concurrency: [1, 4]}", sweep)
        .replace("  metrics:", &format!("  {objectives}\n  metrics:"));
    planned(&run)
}

fn names(stages: &[StageReport]) -> Vec<(u32, &str)> {
    stages
        .iter()
        .map(|stage| (stage.repetition, stage.name.as_str()))
        .collect()
}

#[tokio::test]
async fn a_search_drives_what_follows_from_its_stages() {
    // Nothing takes an hour: up to the highest concurrency, in both repetitions.
    let plan = searching("1h");
    let server = start(&plan);
    let store = Store::in_memory();
    let progress = Arc::new(Progress::default());
    let result = measure_at(&plan, &server.url, &store, Arc::clone(&progress)).await;
    assert!(result.error.is_none(), "{:?}", result.error);
    let expected = [1, 2].map(|repetition| {
        ["concurrency-1", "concurrency-2", "concurrency-4"].map(|name| (repetition, name))
    });
    assert_eq!(names(&result.stages), expected.concat());
    let snapshot = progress.snapshot();
    assert_eq!((snapshot.stages_done, snapshot.stages_planned), (6, 6));
    assert_eq!(result.summary(&plan).stages_planned, 6);

    // A runner that was lost in the middle: the next one comes to the same end.
    let cut = Store::in_memory();
    for path in paths(&store).await {
        if !path.contains("rep-2/concurrency-2") && !path.contains("rep-2/concurrency-4") {
            cut.put_new(&path, store.get(&path).await.unwrap())
                .await
                .unwrap();
        }
    }
    let sent = server.log.records().len();
    let resumed = measure_at(&plan, &server.url, &cut, Arc::default()).await;
    let mut found = names(&resumed.stages);
    found.sort_unstable();
    assert_eq!(found, expected.concat());
    // One to try, the probe's, two to warm up, and the two stages.
    assert_eq!(server.log.records().len() - sent, 1 + PROBED + 2 + 2 * 8);

    // The simulator's first token takes 5 ms: the first stage is the last.
    let plan = searching("1ms");
    let hopeless = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
    assert_eq!(
        names(&hopeless.stages),
        [(1, "concurrency-1"), (2, "concurrency-1")]
    );
    assert_eq!(hopeless.summary(&plan).stages_planned, 2);
}

#[tokio::test]
async fn a_second_runner_goes_on_where_the_first_was_lost() {
    let plan = plan("None");
    let server = start(&plan);
    let store = Store::in_memory();
    let first = measure_at(&plan, &server.url, &store, Arc::default()).await;
    assert_eq!(first.stages.len(), 4);
    let sent = server.log.records().len();
    let again = measure_at(&plan, &server.url, &store, Arc::default()).await;
    assert_eq!(again.stages, first.stages);
    assert_eq!(server.log.records().len(), sent);

    // The same, but for one stage whose attempt has only begun.
    let cut = Store::in_memory();
    let lost = attempt_folder("fake", 1, 2, "concurrency-4", 1);
    for path in paths(&store).await {
        if path != format!("{lost}/{STAGE}") && path != format!("{lost}/{REQUESTS}") {
            cut.put_new(&path, store.get(&path).await.unwrap())
                .await
                .unwrap();
        }
    }
    let resumed = measure_at(&plan, &server.url, &cut, Arc::default()).await;
    assert!(resumed.error.is_none(), "{:?}", resumed.error);
    assert_eq!(resumed.stages.len(), 4);
    assert_eq!(server.log.records().len(), sent + 1 + PROBED + 2 + 8);
    let mark: StageReport =
        serde_json::from_slice(&cut.get(&format!("{lost}/{STAGE}")).await.unwrap()).unwrap();
    assert_eq!(mark.verdict.status, VerdictStatus::Invalid);
    assert_eq!(mark.verdict.reasons[0].reason, "RunnerLost");
    let second = attempt_folder("fake", 1, 2, "concurrency-4", 2);
    let report: StageReport =
        serde_json::from_slice(&cut.get(&format!("{second}/{STAGE}")).await.unwrap()).unwrap();
    assert_eq!((report.attempt, report.requests.succeeded), (2, 8));
}

#[tokio::test]
async fn a_round_that_begins_anew_drives_every_stage_again_and_keeps_what_was_there() {
    let plan = plan("None");
    let server = start(&plan);
    let store = Store::in_memory();
    let first = measure_at(&plan, &server.url, &store, Arc::default()).await;
    let before = paths(&store).await;
    let anew = measure_anew(&plan, &server.url, &store, 1).await;
    assert!(anew.error.is_none(), "{:?}", anew.error);
    let places = |result: &RoundResult| -> Vec<(u32, u32)> {
        let stages = result.stages.iter();
        stages.map(|stage| (stage.restart, stage.attempt)).collect()
    };
    assert_eq!(places(&first), [(0, 1); 4]);
    assert_eq!(places(&anew), [(1, 2); 4]);
    let after = paths(&store).await;
    assert!(before.iter().all(|path| after.contains(path)));
    // A runner of the same time goes on where it was; one that was cut is marked with its time.
    let sent = server.log.records().len();
    let again = measure_anew(&plan, &server.url, &store, 1).await;
    assert_eq!(places(&again), [(1, 2); 4]);
    assert_eq!(server.log.records().len(), sent);
}

#[tokio::test]
async fn an_engine_with_another_model_is_not_loaded() {
    let plan = plan("WrongModel");
    let server = start(&plan);
    let result = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
    let error = result.error.unwrap();
    assert_eq!(error.reason, reason::WRONG_MODEL_SERVED);
    assert!(error.message.contains("demo/model"), "{error}");
    assert_eq!(server.log.records().len(), 0);
}

#[tokio::test]
async fn an_engine_that_cannot_answer_costs_no_stage() {
    let plan = plan("ServerError");
    let server = start(&plan);
    let store = Store::in_memory();
    let result = measure_at(&plan, &server.url, &store, Arc::default()).await;
    assert_eq!(result.error.unwrap().reason, reason::ENGINE_UNREACHABLE);
    assert_eq!(paths(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn failures_within_answers_are_counted_by_the_stages() {
    let plan = plan("CutStream");
    let server = start(&plan);
    let result = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
    assert!(result.error.is_none(), "{:?}", result.error);
    let summary = result.summary(&plan);
    assert_eq!((summary.failed, summary.succeeded), (32, 0));
    assert_eq!(summary.verdict, VerdictStatus::Invalid);
    assert_eq!(result.stages[0].requests.failures["truncated"], 8);
    assert_eq!(summary.headline, None);
}

#[tokio::test]
async fn a_runner_that_is_told_to_stop_keeps_what_it_has() {
    let plan = plan("Stall");
    let server = start(&plan);
    let store = Store::in_memory();
    let progress = Arc::new(Progress::default());
    let stopper = {
        let progress = Arc::clone(&progress);
        tokio::spawn(async move {
            while progress.snapshot().stage != "concurrency-1" {
                tokio::task::yield_now().await;
            }
            progress.control().cancel();
        })
    };
    let result = measure_at(&plan, &server.url, &store, progress).await;
    stopper.await.unwrap();
    assert_eq!(result.error.unwrap().reason, reason::ABORTED);
    assert_eq!(result.stages.len(), 1);
    let reasons = &result.stages[0].verdict.reasons;
    assert_eq!(reasons[0].reason, "Cancelled");
    let folder = attempt_folder("fake", 1, 1, "concurrency-1", 1);
    assert!(store.exists(&format!("{folder}/{STAGE}")).await.unwrap());
}

mod shards;
