//! A stage that several shards drive, as the first of them sees it.

use std::sync::Arc;

use bakeoff_crds::{
    plan::Stage,
    report::{CacheReport, StageReport},
    summary::reason,
};

use super::{
    EngineRound, MeasureError,
    load::{Load, run},
    scraping::{Scraping, figures},
    stage::{Place, input, read_answers},
    stopped,
};
use crate::{
    drive::{DriveError, Driven, Share},
    shard::{self, Leader, ShardResult, Step, files},
};

/// Has all shards drive a stage at the same time, stores this shard's part, and lays all parts
/// together. `Aborted` where this shard was told to stop before all was stored: whoever takes up the
/// round, or the reporter, finds the parts.
pub(super) async fn measure(
    round: &EngineRound<'_>,
    leader: &Arc<Leader>,
    load: &Load,
    scraping: &Scraping,
    (place, folder): (&Place<'_>, &str),
    cache: Option<CacheReport>,
) -> Result<(StageReport, Driven), MeasureError> {
    let client = &round.client;
    let mut driven = drive(round, leader, load, scraping, (place, folder)).await?;
    leader.wait_ended().await;
    let direct = scraping.end_window().await;
    driven = read_answers(driven, client.tokenizer.clone(), Arc::clone(&load.expected)).await?;
    let mut result = ShardResult::of(&driven, place.stage, place.attempt(), share(leader));
    result.calibration = load.calibration;
    let figures = figures(round, scraping, direct, &driven).await;
    (result.engine_metrics, result.resources) = (figures.engine, figures.resources);
    result.accelerators = figures.accelerators;
    result.cache = cache;
    let part = (driven.start, &driven.records[..]);
    files::write(
        round.store,
        folder,
        &result,
        part,
        client.progress.control(),
    )
    .await?;
    let all = leader.wait_stored().await;
    if !all && client.progress.control().is_cancelled() {
        return Err(stopped());
    }
    let entries = round.store.list(folder).await?;
    let paths = entries.iter().map(|entry| entry.path.as_str());
    let parts = files::read(round.store, folder, paths).await?;
    let merged = shard::merge_parts(client.plan, client.engine, client.prompts, &parts)
        .ok_or_else(|| {
            let message = format!(
                "{} does not list what was just stored",
                round.store.uri(folder)
            );
            MeasureError::new(reason::UPLOAD_FAILED, message)
        })?;
    Ok((merged.report, merged.driven))
}

/// One stage alone that several processes drive together, in the round's store: `bakeoff bench
/// --processes`. The others [`follow`](super::follow), and are sent home.
///
/// # Errors
/// Where the engine cannot be loaded at all, or another process was lost.
pub async fn lead_stage(
    round: &EngineRound<'_>,
    leader: &Arc<Leader>,
    stage: &Stage,
) -> Result<(StageReport, Driven), MeasureError> {
    let measured = alone(round, leader, stage).await;
    let failure = measured.as_ref().err().map(MeasureError::failure);
    leader.dismiss(failure).await;
    measured
}

async fn alone(
    round: &EngineRound<'_>,
    leader: &Arc<Leader>,
    stage: &Stage,
) -> Result<(StageReport, Driven), MeasureError> {
    let client = &round.client;
    let mut load = Load::prepare(client)?;
    leader.gather().await?;
    load.calibrate(client).await;
    load.warm_up(client).await?;
    client.progress.stage(1, &stage.name);
    let place = Place::only(stage);
    let scraping = Scraping::none();
    let place = (&place, stage.name.as_str());
    measure(round, leader, &load, &scraping, place, None).await
}

/// Drives this shard's part once all are ready; as often as it takes until all are.
async fn drive(
    round: &EngineRound<'_>,
    leader: &Arc<Leader>,
    load: &Load,
    scraping: &Scraping,
    (place, folder): (&Place<'_>, &str),
) -> Result<Driven, MeasureError> {
    let client = &round.client;
    loop {
        leader.gather().await?;
        let mut input = input(client, load, place);
        leader.announce(Step {
            number: 0,
            stage: place.stage.clone(),
            place: place.attempt(),
            first_request: input.first_request,
            seed: input.seed,
            folder: folder.to_owned(),
        });
        input.share = share(leader);
        input.gate = Some(leader.gate());
        scraping.begin_window().await;
        match run(input, &client.progress).await {
            Err(DriveError::NotBegun) if client.progress.control().is_cancelled() => {
                return Err(stopped());
            }
            Err(DriveError::NotBegun) => {
                let _ = scraping.end_window().await;
            }
            driven => return Ok(driven?),
        }
    }
}

fn share(leader: &Leader) -> Share {
    Share {
        index: 0,
        of: leader.of(),
    }
}
