//! `shard.json`: what one of several runner pods measured in one attempt at a stage, whole and
//! mergeable. The log of its requests lies beside it.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::Stage,
    report::{AcceleratorDevice, CacheReport, EngineMetric},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    calibrate::Calibration,
    clock::{Nanos, SECOND},
    drive::{Cut, Driven, Dropped, Share, vitals::StageVitals},
    record::{
        Record,
        log::{self, LogError, Start},
    },
    stats::Gaps,
};

/// Version of the file.
pub const SCHEMA_VERSION: &str = "bakeoff.dev/shard/v1alpha1";
/// The moment that stands for the common start when results of several clocks are laid together.
const COMMON_START: Nanos = 3600 * SECOND;

/// Which attempt at a stage it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// From 1.
    pub round: u32,
    /// From 1.
    pub repetition: u32,
    /// From 1.
    pub attempt: u32,
    /// How often the round had begun anew before.
    #[serde(default)]
    pub restart: u32,
}

/// What one shard measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: String,
    /// Which one, from 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
    /// The stage.
    pub stage: Stage,
    /// Which attempt at it.
    pub place: Place,
    /// The common start, by its own wall clock; shard 0's counts. Times of the log count from there,
    /// by its own monotonic clock.
    pub start: Timestamp,
    /// How far its clock and shard 0's may lie apart after they were compared, in seconds.
    pub clock_offset_bound_seconds: f64,
    /// Arrivals that came to it.
    pub intended: u64,
    /// Arrivals of all, where the schedule says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intended_of_all: Option<u64>,
    /// Those of its own that were never sent.
    pub dropped: Dropped,
    /// Lines of its log, the first one not counted.
    pub requests: u64,
    /// Gaps between frames.
    pub gaps: Gaps,
    /// What it saw of itself.
    pub vitals: StageVitals,
    /// What it adds itself, where it was calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Why its part was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// The engine's own metrics; shard 0 alone reads them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engine_metrics: BTreeMap<String, EngineMetric>,
    /// What was done to the engine's prefix cache before; shard 0 alone does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheReport>,
    /// What Prometheus knows of the engine's hardware; shard 0 alone asks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, EngineMetric>,
    /// The engine's GPUs; shard 0 alone asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<AcceleratorDevice>,
}

impl ShardResult {
    /// What a shard drove; the bound on its clock, its calibration and the engine's metrics are left
    /// to the caller.
    pub fn of(driven: &Driven, stage: &Stage, place: Place, share: Share) -> Self {
        Self {
            schema_version: SCHEMA_VERSION.into(),
            index: share.index,
            of: share.of,
            stage: stage.clone(),
            place,
            start: driven.start.wall,
            clock_offset_bound_seconds: 0.0,
            intended: driven.intended,
            intended_of_all: driven.intended_of_all,
            dropped: driven.dropped,
            requests: driven.records.len() as u64,
            gaps: driven.gaps.clone(),
            vitals: driven.vitals.clone(),
            calibration: None,
            cut: driven.cut,
            engine_metrics: BTreeMap::new(),
            cache: None,
            resources: BTreeMap::new(),
            accelerators: Vec::new(),
        }
    }
}

/// Why a shard's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// shard.json is none of ours.
    #[error("it is no result of a shard: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Another version.
    #[error("its version is {0:?}, not {SCHEMA_VERSION:?}")]
    Version(String),
    /// The log cannot be read.
    #[error("its log of requests cannot be read: {0}")]
    Log(#[from] LogError),
    /// The log is of something else.
    #[error("its log holds {found} requests, not {expected}")]
    Count {
        /// Lines of the log.
        found: u64,
        /// By shard.json.
        expected: u64,
    },
}

/// One shard's part of a stage, read back.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its result.
    pub result: ShardResult,
    /// Its requests, timed from the common start.
    pub records: Vec<Record>,
}

impl Part {
    /// Reads a shard's two files.
    ///
    /// # Errors
    /// See [`ResultError`].
    pub fn read(result: &[u8], requests: &[u8]) -> Result<Self, ResultError> {
        let result: ShardResult = serde_json::from_slice(result)?;
        if result.schema_version != SCHEMA_VERSION {
            return Err(ResultError::Version(result.schema_version));
        }
        let records = log::read(requests, COMMON_START)?;
        let found = records.len() as u64;
        if found != result.requests {
            return Err(ResultError::Count {
                found,
                expected: result.requests,
            });
        }
        Ok(Self { result, records })
    }

    /// As the process drove it, on the common clock.
    pub fn driven(&self) -> Driven {
        let result = &self.result;
        Driven {
            start: start(result),
            intended: result.intended,
            intended_of_all: result.intended_of_all,
            lost: 0,
            dropped: result.dropped,
            records: self.records.clone(),
            gaps: result.gaps.clone(),
            vitals: result.vitals.clone(),
            cut: result.cut,
            texts: Vec::new(),
        }
    }
}

fn start(result: &ShardResult) -> Start {
    Start {
        at: COMMON_START,
        wall: result.start,
    }
}

fn dropped(parts: &[Part]) -> Dropped {
    let mut all = Dropped::default();
    for part in parts {
        let Dropped {
            not_sent,
            conversation_ended,
        } = part.result.dropped;
        all.not_sent = all.not_sent.saturating_add(not_sent);
        all.conversation_ended = all.conversation_ended.saturating_add(conversation_ended);
    }
    all
}

/// All parts of a stage as if one process had driven it. `of` is the number of shards that were to
/// drive it; arrivals of those that left nothing count as lost. `None` where there is no part.
pub fn join(parts: &[Part], of: u32) -> Option<Driven> {
    let first = &parts.first()?.result;
    let mut records: Vec<Record> = parts
        .iter()
        .flat_map(|part| part.records.iter().cloned())
        .collect();
    records.sort_by_key(|record| record.index);
    let mut gaps = Gaps::new();
    for part in parts {
        gaps.add(&part.result.gaps);
    }
    let intended = parts.iter().map(|part| part.result.intended);
    // A file of the bucket may say anything.
    let intended = intended.fold(0, u64::saturating_add);
    let is_whole = parts.len() >= of as usize;
    let lost = match first.intended_of_all {
        Some(all) if !is_whole => all.saturating_sub(intended),
        _ => 0,
    };
    Some(Driven {
        start: start(first),
        intended,
        intended_of_all: first.intended_of_all,
        lost,
        dropped: dropped(parts),
        records,
        gaps,
        // Each client is judged by its own.
        vitals: StageVitals::default(),
        cut: parts.iter().filter_map(|part| part.result.cut).max(),
        texts: Vec::new(),
    })
}
