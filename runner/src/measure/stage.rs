//! One stage: driven, counted, reported, stored.

use std::sync::Arc;

use bakeoff_crds::{
    plan::{Plan, Stage},
    report::{CacheReport, StageReport},
    run::Format,
    summary::reason,
};

use super::{
    BEGUN, Client, Crew, EngineRound, MeasureError, REQUESTS, STAGE, attempt_folder, cache, lead,
    load::{Load, run},
    resume::Begun,
    scraping::{Scraping, attach, figures},
    stage_context,
};
use crate::{
    answer::{AnswerFacts, Expected},
    clock,
    drive::{Driven, StageInput},
    record::{Record, log},
    shard::result,
    stats::stage::report,
    store::held,
    workload::tokens::TokenCounter,
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
    /// How often the round had begun anew before.
    pub(super) restart: u32,
}

impl<'a> Place<'a> {
    /// A stage that is the only one.
    pub(super) fn only(stage: &'a Stage) -> Self {
        Self {
            stage,
            number: 0,
            requests_before: 0,
            round: 1,
            repetition: 1,
            attempt: 1,
            restart: 0,
        }
    }

    /// Which attempt at the stage it is.
    pub(super) fn attempt(&self) -> result::Place {
        result::Place {
            round: self.round,
            repetition: self.repetition,
            attempt: self.attempt,
            restart: self.restart,
        }
    }
}

/// Drives a stage and stores what it gave.
pub(super) async fn measure(
    round: &EngineRound<'_>,
    load: &Load,
    scraping: &Scraping,
    place: &Place<'_>,
    cache: CacheReport,
) -> Result<StageReport, MeasureError> {
    let client = &round.client;
    if let Crew::Leader(leader) = &round.crew {
        leader.gather().await?;
    }
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
        restart: place.restart,
    };
    let begun = serde_json::to_vec(&begun).unwrap_or_default();
    round
        .store
        .put_new(&format!("{folder}/{BEGUN}"), begun)
        .await?;

    let (stage, driven) = match &round.crew {
        Crew::Alone => {
            let (mut stage, driven) = alone(round, load, scraping, place).await?;
            cache::judge(&mut stage, cache, client.prompts);
            (stage, driven)
        }
        Crew::Leader(leader) => {
            let place = (place, folder.as_str());
            lead::measure(round, leader, load, scraping, place, Some(cache)).await?
        }
    };
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

/// Drives a stage as the only client.
async fn alone(
    round: &EngineRound<'_>,
    load: &Load,
    scraping: &Scraping,
    place: &Place<'_>,
) -> Result<(StageReport, Driven), MeasureError> {
    let client = &round.client;
    scraping.begin_window().await;
    let driven = drive_stage(client, load, place).await?;
    let direct = scraping.end_window().await;
    let (mut stage, driven) = counted(client, load, place, driven).await?;
    let figures = figures(round, scraping, direct, &driven).await;
    attach(client.plan, &mut stage, figures);
    Ok((stage, driven))
}

/// Drives a stage.
pub(super) async fn drive_stage(
    client: &Client<'_>,
    load: &Load,
    place: &Place<'_>,
) -> Result<Driven, MeasureError> {
    Ok(run(input(client, load, place), &client.progress).await?)
}

/// A stage as one client drives it.
pub(super) fn input(client: &Client<'_>, load: &Load, place: &Place<'_>) -> StageInput {
    let mut input = load.stage(client, place.stage);
    input.first_request = place.requests_before;
    input.seed = seed(client.plan, place.repetition, place.number);
    input.keep_text = true;
    input
}

/// Reads the answers, counting their tokens where there is a tokenizer, and makes the report.
pub(super) async fn counted(
    client: &Client<'_>,
    load: &Load,
    place: &Place<'_>,
    mut driven: Driven,
) -> Result<(StageReport, Driven), MeasureError> {
    driven = read_answers(driven, client.tokenizer.clone(), Arc::clone(&load.expected)).await?;
    let context = stage_context(
        client.plan,
        client.engine,
        (place.stage, place.attempt()),
        &load.lengths,
        load.calibration,
    );
    Ok((report(&context, &driven), driven))
}

/// Seed of a stage's arrivals: the same for every engine and round, another for every stage.
fn seed(plan: &Plan, repetition: u32, number: u64) -> u64 {
    let number = u64::from(repetition) * 10_000 + number;
    // An odd constant spreads neighbouring numbers over all bits (SplitMix64's increment).
    plan.spec.workload.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Reads the answers' texts, outside the stage's window and CPU figures, one at a time.
pub(super) async fn read_answers(
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

/// The report last: where it is, the stage is done. Where the store does not take it, it is on the
/// log, and the error has it.
pub(super) async fn store(
    round: &EngineRound<'_>,
    folder: &str,
    stage: &StageReport,
    driven: &Driven,
) -> Result<(), MeasureError> {
    let wrong = |error: String| MeasureError::new(reason::UPLOAD_FAILED, error);
    let client = &round.client;
    let mut files = Vec::new();
    if client.plan.spec.output.formats.contains(&Format::Requests) {
        let requests = log::compressed(&stage.name, driven.start, &driven.records)
            .map_err(|error| wrong(error.to_string()))?;
        files.push((format!("{folder}/{REQUESTS}"), requests.into()));
    }
    let json = serde_json::to_vec_pretty(stage).map_err(|error| wrong(error.to_string()))?;
    files.push((format!("{folder}/{STAGE}"), json.into()));
    held::store_or_hold(round.store, files, client.progress.control())
        .await
        .map_err(|error| MeasureError {
            unstored: Some(Box::new(stage.clone())),
            ..error.into()
        })
}

/// One stage alone, stored nowhere: `bakeoff bench`.
///
/// # Errors
/// Where the engine cannot be loaded at all.
pub async fn measure_stage(
    client: &Client<'_>,
    stage: &Stage,
) -> Result<(StageReport, Driven), MeasureError> {
    let mut load = Load::prepare(client)?;
    load.calibrate(client).await;
    load.warm_up(client).await?;
    client.progress.stage(1, &stage.name);
    let place = Place::only(stage);
    let driven = drive_stage(client, &load, &place).await?;
    counted(client, &load, &place, driven).await
}
