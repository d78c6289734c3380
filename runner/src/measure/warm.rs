//! What is done before the first stage: the client calibrated, the engine tried and warmed up.

use std::sync::Arc;

use bakeoff_crds::{
    plan::{Load as StageLoad, Stage, StageEnd},
    run::Calibration as Wanted,
};

use super::{
    Client, MeasureError, check,
    load::{Load, run},
};
use crate::{
    calibrate,
    drive::{DriveError, Driven, Script},
};

impl Load {
    /// Measures what the client itself adds, while the engine has nothing to do. Where that fails,
    /// the run goes on without.
    pub(super) async fn calibrate(&mut self, client: &Client<'_>) {
        if client.plan.spec.runner.calibration == Wanted::Never {
            return;
        }
        client.progress.stage(0, "calibration");
        let protocol = client.engine.endpoint.protocol;
        let processes = client.plan.spec.runner.parallelism;
        let streams = calibrate::streams(&client.plan.stages, processes);
        let threads = client.threads;
        let found =
            tokio::task::spawn_blocking(move || calibrate::calibrate(protocol, streams, threads));
        match found.await {
            Ok(Ok(found)) => {
                tracing::info!(
                    streams = found.streams,
                    overhead_micros = (found.overhead_mean * 1e6).round(),
                    chunks_per_second = found.sustainable_chunks_per_second.round(),
                    seconds = found.seconds,
                    cpu_seconds = found.cpu_seconds,
                    "the client is calibrated"
                );
                self.calibration = Some(found);
            }
            Ok(Err(error)) => tracing::warn!(%error, "the client is not calibrated"),
            Err(error) => tracing::warn!(%error, "the client is not calibrated"),
        }
    }

    /// One tiny answer for each name that requests ask for, so that an engine that cannot answer costs
    /// no stage.
    pub(super) async fn try_once(&self, client: &Client<'_>) -> Result<Driven, MeasureError> {
        let Some(prompt) = client.prompts.first() else {
            return Err(DriveError::NoPrompts.into());
        };
        let mut tiny = prompt.clone();
        tiny.max_tokens = 1;
        let tiny = vec![&tiny; self.writer.codec.prompts_per_request()];
        let names = u16::try_from(client.engine.models.len().max(1)).unwrap_or(u16::MAX);
        let requests = (0..names).map(|name| self.writer.request(&tiny, name));
        let requests = requests.collect::<Result<Vec<_>, _>>()?;
        let stage = Stage {
            name: "try".into(),
            load: closed_loop_of_one(),
            end: StageEnd::Requests(u64::from(names)),
        };
        let mut input = self.stage(client, &stage);
        input.script = Arc::new(Script::of_requests(requests));
        input.request_timeout = input.request_timeout.min(check::TRY_TIMEOUT);
        let driven = run(input, &client.progress).await?;
        check::first_answers(&driven.records, &client.engine.models)?;
        Ok(driven)
    }

    /// Requests that are thrown away, at the first stage's load.
    pub(super) async fn warm_up(&self, client: &Client<'_>) -> Result<(), MeasureError> {
        let requests = u64::from(client.plan.spec.workload.warmup.requests);
        let Some(stage) = client.plan.stages.first().filter(|_| requests > 0) else {
            return Ok(());
        };
        client.progress.stage(0, "warm-up");
        let mut input = self.stage(client, stage);
        // A ramp warms up at its mean rate: it may begin with none.
        input.load.rate = input.load.mean_rate();
        input.load.to_rate = None;
        if stage.load.replay_speed.is_some() {
            input.load = closed_loop_of_one();
        }
        input.end = StageEnd::Requests(requests);
        // From the last ones, so that no prompt is in the engine's cache because of the warm-up
        // before it is first measured, where there are enough.
        input.script = Arc::clone(&self.first_turns);
        let prompts = self.script.len();
        input.first_request = prompts - requests % prompts;
        run(input, &client.progress).await?;
        Ok(())
    }
}

pub(super) fn closed_loop_of_one() -> StageLoad {
    StageLoad {
        concurrency: Some(1),
        ..StageLoad::default()
    }
}
