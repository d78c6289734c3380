//! The story of a round: what is there already, the engine checked, then stage after stage.

use std::time::Duration;

use bakeoff_crds::{
    plan::{Plan, search::NextStage},
    report::StageReport,
    summary::Summary,
};

use super::{
    Crew, EngineRound, MeasureError, Progress, cache, check, load::Load, probe, resume,
    scraping::Scraping, stage, stopped, summarize,
};
use crate::clock;

/// Between two looks at whether to stop, while nothing is sent.
const LOOK_FOR_STOP: Duration = Duration::from_millis(100);

/// What a round gave.
#[derive(Debug, Default)]
pub struct RoundResult {
    /// Every stage of the round that is done, also those of an earlier pod.
    pub stages: Vec<StageReport>,
    /// Version that the engine tells of itself.
    pub engine_version: Option<String>,
    /// Why it ended early.
    pub error: Option<MeasureError>,
}

impl RoundResult {
    /// As a runner sums it up.
    pub fn summary(&self, plan: &Plan) -> Summary {
        let planned = plan.stages_in_round(&self.stages);
        summarize(&self.stages, planned, self.engine_version.clone())
    }
}

/// Measures one engine for one round. Stages that are stored already are not driven again.
pub async fn measure_engine(round: &EngineRound<'_>) -> RoundResult {
    let mut result = RoundResult::default();
    if let Err(mut error) = measure(round, &mut result).await {
        // What was measured counts, wherever it is kept; of a stage the last attempt.
        if let Some(stage) = error.unstored.take() {
            let of_it = |other: &StageReport| {
                (other.repetition, &other.name) == (stage.repetition, &stage.name)
            };
            result.stages.retain(|other| !of_it(other));
            result.stages.push(*stage);
        }
        result.error = Some(error);
    }
    if let Crew::Leader(leader) = &round.crew {
        let failure = result.error.as_ref().map(MeasureError::failure);
        leader.dismiss(failure).await;
    }
    result
}

async fn measure(round: &EngineRound<'_>, result: &mut RoundResult) -> Result<(), MeasureError> {
    let client = &round.client;
    let (plan, progress) = (client.plan, &client.progress);
    if let Crew::Leader(leader) = &round.crew {
        // Shards that still drive an earlier leader's stage store their parts before they come.
        leader.gather().await?;
    }
    let mut earlier = resume::earlier(round).await?;
    result.stages.extend(earlier.take_done());
    progress.begin(
        result.stages.len() as u32,
        plan.stages_in_round(&result.stages),
    );
    let repetitions = 1..=plan.spec.workload.repetitions;
    let is_over = |repetition| next_stage(plan, &result.stages, repetition).is_none();
    if repetitions.clone().all(is_over) {
        return Ok(());
    }
    let mut load = Load::prepare(client)?;
    let api_key = client.api_key.as_deref();
    let engine = check::Engine::new(client.url, api_key, round.patience, progress)?;
    engine.check_model(client.engine).await?;
    result.engine_version = engine.version(client.engine).await;
    let first = load.try_once(client).await?;
    let revision = engine.model_revision(client.engine).await;
    probe::probe(round, &load, &first, revision).await?;
    load.calibrate(client).await;
    load.warm_up(client).await?;
    let scraping = Scraping::start(client).await;
    let mut requests_before = 0;
    for repetition in repetitions {
        while let Some(next) = next_stage(plan, &result.stages, repetition) {
            if !result.stages.is_empty() {
                rest(plan, progress).await;
            }
            if progress.control().is_cancelled() {
                return Err(stopped());
            }
            // One that ran to its end is among the stages, so it is not the next one.
            let attempt = earlier.next_attempt(repetition, &next.stage.name);
            progress.stage(repetition, &next.stage.name);
            let place = stage::Place {
                stage: &next.stage,
                number: next.number,
                requests_before: requests_before + next.requests_before,
                round: round.round,
                repetition,
                attempt: attempt.unwrap_or(1),
                restart: round.restart,
            };
            let way = (&load, &engine, &scraping);
            until_whole(round, way, place, &mut result.stages).await?;
            progress.stage_done(plan.stages_in_round(&result.stages));
        }
        requests_before += plan.requests_of(&of_repetition(&result.stages, repetition));
    }
    if progress.control().is_cancelled() {
        return Err(stopped());
    }
    Ok(())
}

fn of_repetition(stages: &[StageReport], repetition: u32) -> Vec<&StageReport> {
    let of_it = |stage: &&StageReport| stage.repetition == repetition;
    stages.iter().filter(of_it).collect()
}

/// What is to be driven next in a repetition, after the stages of the round so far.
fn next_stage(plan: &Plan, stages: &[StageReport], repetition: u32) -> Option<NextStage> {
    plan.next_stage(&of_repetition(stages, repetition))
}

/// Rests before the next stage, where the sweep says so, unless the runner is told to stop.
async fn rest(plan: &Plan, progress: &Progress) {
    let pause = plan.spec.workload.sweep.pause.unwrap_or_default().get();
    let over = clock::now().saturating_add(clock::span(pause));
    while clock::now() < over && !progress.control().is_cancelled() {
        let left = Duration::from_nanos(over.saturating_sub(clock::now()));
        tokio::time::sleep(left.min(LOOK_FOR_STOP)).await;
    }
}

/// Most attempts of one process at a stage whose shards are lost again and again.
const MOST_ATTEMPTS: u32 = 3;

/// Measures a stage; where a shard was lost from it and has come back, all drive it again as the
/// next attempt. The last attempt's report is added.
async fn until_whole(
    round: &EngineRound<'_>,
    (load, engine, scraping): (&Load, &check::Engine<'_>, &Scraping),
    mut place: stage::Place<'_>,
    stages: &mut Vec<StageReport>,
) -> Result<(), MeasureError> {
    for attempt in 1.. {
        let cache = cache::prepare(&round.client, load, engine, &place).await?;
        let report = stage::measure(round, load, scraping, &place, cache).await?;
        let again = matches!(round.crew, Crew::Leader(_))
            && !resume::is_whole(&report)
            && attempt < MOST_ATTEMPTS
            && !round.client.progress.control().is_cancelled();
        if attempt > 1 {
            stages.pop();
        }
        stages.push(report);
        if !again {
            break;
        }
        place.attempt += 1;
    }
    Ok(())
}
