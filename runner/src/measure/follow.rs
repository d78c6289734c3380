//! What a shard other than the first does: its part of each stage that shard 0 names, until that one
//! sends it home.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bakeoff_crds::summary::{Failure, reason};

use super::{
    EngineRound, MeasureError,
    load::{Load, run},
    stage::read_answers,
    stopped,
};
use crate::{
    drive::DriveError,
    shard::{Follower, Next, ShardResult, Step, files, message::Ask},
};

/// Takes part in a round until shard 0 says that it is over. What was measured until then is stored,
/// whatever becomes of the others.
///
/// # Errors
/// Where this shard cannot go on, or shard 0 failed.
pub async fn follow(round: &EngineRound<'_>, follower: &Follower) -> Result<(), MeasureError> {
    let done = take_part(round, follower).await;
    if let Err(error) = &done {
        follower.tell(Ask::Leave(error.failure())).await;
    }
    done
}

async fn take_part(round: &EngineRound<'_>, follower: &Follower) -> Result<(), MeasureError> {
    let mut load = Load::prepare(&round.client)?;
    let under_way = Arc::new(AtomicU64::new(0));
    let _beat = follower.beat(Arc::clone(&under_way));
    // Before it joins, since shard 0 has it send nothing before.
    load.calibrate(&round.client).await;
    loop {
        let leader = follower.join().await?;
        let mut last = 0;
        loop {
            match follower.next(leader, last).await? {
                Next::Step(step) => {
                    last = step.number;
                    under_way.store(last, Ordering::Relaxed);
                    drive_part(round, follower, &load, &step, leader).await?;
                }
                Next::End(None) => return Ok(()),
                Next::End(Some(failure)) => return Err(ended_with(&failure)),
                Next::LeaderGone => break,
            }
        }
        tracing::warn!("shard 0 is gone; waiting for it to come back");
    }
}

fn ended_with(failure: &Failure) -> MeasureError {
    let message = format!("shard 0 ended: {}: {}", failure.reason, failure.message);
    MeasureError {
        may_pass: failure.may_pass,
        ..MeasureError::new(reason::SHARD_LOST, message)
    }
}

/// Drives this shard's part of a step and stores it. Nothing is done where the step does not begin.
async fn drive_part(
    round: &EngineRound<'_>,
    follower: &Follower,
    load: &Load,
    step: &Step,
    leader: u64,
) -> Result<(), MeasureError> {
    let client = &round.client;
    let Some(before) = follower.compare_clocks().await else {
        return Ok(());
    };
    client
        .progress
        .stage(step.place.repetition, &step.stage.name);
    let mut input = load.stage(client, &step.stage);
    input.first_request = step.first_request;
    input.seed = step.seed;
    input.share = follower.share();
    input.gate = Some(follower.gate(step.number, leader, before));
    input.keep_text = true;
    let mut driven = match run(input, &client.progress).await {
        Err(DriveError::NotBegun) => return Ok(()),
        driven => driven?,
    };
    let number = step.number;
    follower.tell(Ask::Ended { step: number }).await;
    let after = follower.compare_clocks().await.unwrap_or(before);
    driven = read_answers(driven, client.tokenizer.clone(), Arc::clone(&load.expected)).await?;
    let mut result = ShardResult::of(&driven, &step.stage, step.place, follower.share());
    result.calibration = load.calibration;
    result.clock_offset_bound_seconds = before.bound_until(after);
    let records = &driven.records;
    let part = (driven.start, &records[..]);
    files::write(
        round.store,
        &step.folder,
        &result,
        part,
        client.progress.control(),
    )
    .await?;
    follower.tell(Ask::Stored { step: number }).await;
    tracing::info!(stage = %step.stage.name, requests = records.len(), "this shard's part is stored");
    if client.progress.control().is_cancelled() {
        return Err(stopped());
    }
    Ok(())
}
