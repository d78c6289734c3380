//! What an earlier runner of the same round left: stages that are done, and attempts that were cut.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::Load,
    report::{StageReport, Verdict, VerdictReason, Window},
    run::status::VerdictStatus,
    summary::reason,
};

use super::{
    BEGUN, EngineRound, MeasureError, STAGE, attempt_folder, paths::parse, round_folder, stage,
};
use crate::{
    shard::{self, SHARD_LOST, files},
    store::Entry,
};

/// Reason of the verdict on an attempt whose runner went away.
const RUNNER_LOST: &str = "RunnerLost";

/// Attempts of an earlier runner.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    /// By repetition and stage: the last attempt, and its report where it is done.
    attempts: BTreeMap<(u32, String), (u32, bool)>,
    done: Vec<StageReport>,
}

impl Earlier {
    /// Reports of the stages that are done. Gives them once.
    pub(super) fn take_done(&mut self) -> Vec<StageReport> {
        std::mem::take(&mut self.done)
    }

    /// Number of the attempt to make at a stage; `None` where the stage is done.
    pub(super) fn next_attempt(&self, repetition: u32, stage: &str) -> Option<u32> {
        match self.attempts.get(&(repetition, stage.to_owned())) {
            None => Some(1),
            Some((_, true)) => None,
            Some((attempt, false)) => Some(attempt + 1),
        }
    }
}

/// Looks through the round's folder, and marks attempts that were cut without a word.
pub(super) async fn earlier(round: &EngineRound<'_>) -> Result<Earlier, MeasureError> {
    let folder = round_folder(&round.client.engine.name, round.round);
    let entries = round.store.list(&folder).await?;
    let mut files: BTreeMap<(u32, String, u32), (bool, bool)> = BTreeMap::new();
    for entry in &entries {
        let Some(place) = parse(&folder, &entry.path) else {
            continue;
        };
        let key = (place.repetition, place.stage.to_owned(), place.attempt);
        let (begun, ended) = files.entry(key).or_default();
        *begun |= place.file == BEGUN;
        *ended |= place.file == STAGE;
    }
    let mut earlier = Earlier::default();
    for ((repetition, stage, attempt), (begun, ended)) in files {
        let path = |file: &str| {
            let folder = attempt_folder(
                &round.client.engine.name,
                round.round,
                repetition,
                &stage,
                attempt,
            );
            format!("{folder}/{file}")
        };
        let mut done = false;
        if ended {
            let bytes = round.store.get(&path(STAGE)).await?;
            let report: StageReport = serde_json::from_slice(&bytes).map_err(|error| {
                let path = round.store.uri(&path(STAGE));
                MeasureError::new(
                    reason::UPLOAD_FAILED,
                    format!("{path} is no report of a stage: {error}; begin a new run"),
                )
            })?;
            // Of another node, where the round began anew since: it is driven again here.
            done = is_whole(&report) && report.restart == round.restart;
            if done {
                earlier.done.push(report);
            }
        } else if let Some(report) = merged(round, &path, &entries).await? {
            done = is_whole(&report) && report.restart == round.restart;
            if done {
                earlier.done.push(report);
            }
        } else if begun {
            let start = round.store.get(&path(BEGUN)).await?;
            let start = serde_json::from_slice::<Begun>(&start).unwrap_or_default();
            let report = lost(round.round, repetition, &stage, attempt, start);
            let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
            round.store.put_new(&path(STAGE), json).await?;
        }
        earlier
            .attempts
            .insert((repetition, stage), (attempt, done));
    }
    Ok(earlier)
}

/// What is written when an attempt begins.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Begun {
    /// RFC 3339.
    pub(super) start: String,
    /// The load of the stage.
    #[serde(default)]
    pub(super) load: Load,
    /// How often the round had begun anew by then.
    #[serde(default)]
    pub(super) restart: u32,
}

/// What the shards of an attempt stored whose leader was lost before it laid that together; stored now
/// as the attempt's report.
async fn merged(
    round: &EngineRound<'_>,
    path: &impl Fn(&str) -> String,
    entries: &[Entry],
) -> Result<Option<StageReport>, MeasureError> {
    let folder = path("");
    let folder = folder.trim_end_matches('/');
    let paths = entries.iter().map(|entry| entry.path.as_str());
    let parts = files::read(round.store, folder, paths).await?;
    let client = &round.client;
    let merged = shard::merge_parts(client.plan, client.engine, client.prompts, &parts);
    let Some(merged) = merged else {
        return Ok(None);
    };
    stage::store(round, folder, &merged.report, &merged.driven).await?;
    Ok(Some(merged.report))
}

/// Whether a stage ran to its end, however well.
pub(super) fn is_whole(report: &StageReport) -> bool {
    !report
        .verdict
        .reasons
        .iter()
        .any(|reason| ["Cancelled", RUNNER_LOST, SHARD_LOST].contains(&reason.reason.as_str()))
}

/// The report of an attempt of which nothing is left.
fn lost(round: u32, repetition: u32, stage: &str, attempt: u32, begun: Begun) -> StageReport {
    StageReport {
        name: stage.into(),
        round,
        repetition,
        attempt,
        load: begun.load,
        restart: begun.restart,
        window: Window {
            start: begun.start,
            duration_seconds: 0.0,
        },
        verdict: Verdict::of(vec![VerdictReason {
            reason: RUNNER_LOST.into(),
            message: "the runner went away during this attempt; the stage was driven again".into(),
            status: VerdictStatus::Invalid,
        }]),
        ..StageReport::default()
    }
}
