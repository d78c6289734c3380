//! One stage: driven, counted, reported, stored.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    BEGUN, Client, EngineRound, Load, MeasureError, REQUESTS, STAGE, Scraping, attempt_folder,
    resume::Begun, run,
};
use crate::{
    answer::{AnswerFacts, Expected},
    clock,
    drive::Driven,
    record::{Record, log},
    scrape::{self, TimeWindow},
    stats::stage::{StageContext, report},
    workload::tokens::TokenCounter,
};
use bakeoff_crds::{
    plan::{Plan, Stage},
    report::{EngineMetric, StageReport},
    run::{Format, History},
    summary::reason,
};

/// Which stage it is.
pub(super) struct Place<'a> {
    pub(super) stage: &'a Stage,
    /// Its number among the stages that the plan can have, from 0.
    pub(super) number: u64,
    /// Requests of the stages before it in this round, where they say how many: a stage goes on with
    /// the prompts where the one before stopped, so that an engine's prefix cache helps no stage by a
    /// prompt of another.
    pub(super) requests_before: u64,
    /// From 1.
    pub(super) round: u32,
    /// From 1.
    pub(super) repetition: u32,
    /// From 1.
    pub(super) attempt: u32,
}

/// Drives a stage and stores what it gave.
pub(super) async fn measure(
    round: &EngineRound<'_>,
    load: &Load,
    scraping: &Scraping,
    place: &Place<'_>,
) -> Result<StageReport, MeasureError> {
    let client = &round.client;
    let folder = attempt_folder(
        &client.engine.name,
        place.round,
        place.repetition,
        &place.stage.name,
        place.attempt,
    );
    let begun = Begun {
        start: clock::wall_now().to_string(),
        load: place.stage.load.clone(),
        restart: round.restart,
    };
    let begun = serde_json::to_vec(&begun).unwrap_or_default();
    round
        .store
        .put_new(&format!("{folder}/{BEGUN}"), begun)
        .await?;

    if let Some(direct) = &scraping.direct {
        direct.begin_window().await;
    }
    let driven = drive_stage(client, load, place).await?;
    let direct = match &scraping.direct {
        Some(direct) => direct.end_window().await,
        None => BTreeMap::new(),
    };
    let (mut stage, driven) = counted(client, load, place, driven).await?;
    stage.restart = round.restart;
    stage.engine_metrics = engine_metrics(round, scraping, direct, &driven).await;
    store(round, &folder, &stage, &driven).await?;
    tracing::info!(
        engine = %client.engine.name,
        stage = %stage.name,
        repetition = stage.repetition,
        succeeded = stage.requests.succeeded,
        failed = stage.requests.failed,
        verdict = ?stage.verdict.status,
        "stage done"
    );
    Ok(stage)
}

/// Drives a stage.
pub(super) async fn drive_stage(
    client: &Client<'_>,
    load: &Load,
    place: &Place<'_>,
) -> Result<Driven, MeasureError> {
    let mut input = load.stage(client, place.stage);
    input.first_request = place.requests_before;
    input.seed = seed(client.plan, place.repetition, place.number);
    input.keep_text = true;
    run(input, &client.progress).await
}

/// Reads the answers, counting their tokens where there is a tokenizer, and makes the report.
pub(super) async fn counted(
    client: &Client<'_>,
    load: &Load,
    place: &Place<'_>,
    mut driven: Driven,
) -> Result<(StageReport, Driven), MeasureError> {
    driven = read_answers(driven, client.tokenizer.clone(), Arc::clone(&load.expected)).await?;
    let spec = &client.plan.spec;
    let context = StageContext {
        name: &place.stage.name,
        round: place.round,
        repetition: place.repetition,
        attempt: place.attempt,
        load: &place.stage.load,
        streaming: spec.workload.streaming,
        names: client
            .engine
            .models
            .iter()
            .map(|model| model.name.clone())
            .collect(),
        objectives: &spec.objectives,
        max_error_rate: spec.policy.max_error_rate,
        asked_tokens: &load.asked_tokens,
        forced_length: spec.workload.sampling.ignore_eos,
        greedy: spec.workload.sampling.temperature == 0.0 && same_question(client),
        prompt_tokens: &load.prompt_tokens,
        calibration: load.calibration,
    };
    Ok((report(&context, &driven), driven))
}

/// Whether a prompt is the same question each time: not where several models are asked, nor where
/// the engine's own answers stand before it.
fn same_question(client: &Client<'_>) -> bool {
    let conversations = client.plan.spec.workload.prompts.conversations.as_ref();
    let own_answers = conversations.is_some_and(|it| it.history == History::Answers);
    client.engine.models.len() < 2 && !own_answers
}

/// Seed of a stage's arrivals: the same for every engine and round, another for every stage.
fn seed(plan: &Plan, repetition: u32, number: u64) -> u64 {
    let number = u64::from(repetition) * 10_000 + number;
    // An odd constant spreads neighbouring numbers over all bits (SplitMix64's increment).
    plan.spec.workload.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Reads the answers' texts, outside the stage's window and CPU figures, one at a time.
async fn read_answers(
    mut driven: Driven,
    tokenizer: Option<Arc<TokenCounter>>,
    expected: Arc<[Option<Expected>]>,
) -> Result<Driven, MeasureError> {
    tokio::task::spawn_blocking(move || {
        for text in std::mem::take(&mut driven.texts) {
            text.for_each(|index, text| {
                if let Some(record) = record_of(&mut driven.records, index) {
                    read(record, text, tokenizer.as_deref(), &expected);
                }
            })
            .map_err(|error| {
                MeasureError::new(
                    reason::RUNNER_CRASHED,
                    format!(
                        "the answers' text cannot be read back from the temporary folder: {error}"
                    ),
                )
                .that_may_pass()
            })?;
        }
        Ok(driven)
    })
    .await
    .map_err(|_| {
        MeasureError::new(reason::RUNNER_CRASHED, "reading the answers panicked").that_may_pass()
    })?
}

/// The records are in the order of the arrivals.
fn record_of(records: &mut [Record], index: u64) -> Option<&mut Record> {
    let place = records.binary_search_by_key(&index, |record| record.index);
    records.get_mut(place.ok()?)
}

fn read(
    record: &mut Record,
    text: &str,
    tokenizer: Option<&TokenCounter>,
    expected: &[Option<Expected>],
) {
    if let Some(tokenizer) = tokenizer {
        // A request of several prompts has several answers.
        let before = record.tokenizer_output_tokens.unwrap_or(0);
        let tokens = before.saturating_add(tokenizer.answer(text));
        record.tokenizer_output_tokens = Some(tokens);
    }
    let prompt = usize::try_from(record.prompt).ok();
    let expected = prompt.and_then(|place| expected.get(place)?.as_ref());
    let facts = AnswerFacts::of(text, expected);
    record.answer = Some(record.answer.map_or(facts, |before| before.and(facts)));
}

async fn engine_metrics(
    round: &EngineRound<'_>,
    scraping: &Scraping,
    direct: BTreeMap<String, EngineMetric>,
    driven: &Driven,
) -> BTreeMap<String, EngineMetric> {
    let Some(prometheus) = &scraping.prometheus else {
        return direct;
    };
    let end = driven
        .records
        .iter()
        .map(|record| record.end)
        .max()
        .unwrap_or(driven.start);
    let window = TimeWindow {
        end: clock::wall(end).as_nanosecond() as f64 / 1e9,
        seconds: clock::seconds(end.saturating_sub(driven.start)),
    };
    let metrics = round.client.engine.metrics.as_ref();
    let found = prometheus.window(metrics, &round.pod, window).await;
    scrape::merge(direct, found)
}

/// The report last: where it is, the stage is done.
async fn store(
    round: &EngineRound<'_>,
    folder: &str,
    stage: &StageReport,
    driven: &Driven,
) -> Result<(), MeasureError> {
    let wrong = |error: String| MeasureError::new(reason::UPLOAD_FAILED, error);
    if round
        .client
        .plan
        .spec
        .output
        .formats
        .contains(&Format::Requests)
    {
        let requests = log::compressed(&stage.name, driven.start, &driven.records)
            .map_err(|error| wrong(error.to_string()))?;
        round
            .store
            .put_new(&format!("{folder}/{REQUESTS}"), requests)
            .await?;
    }
    let json = serde_json::to_vec_pretty(stage).map_err(|error| wrong(error.to_string()))?;
    round
        .store
        .put_new(&format!("{folder}/{STAGE}"), json)
        .await?;
    Ok(())
}
