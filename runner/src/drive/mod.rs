//! Sends requests by a schedule and keeps what became of each.
//!
//! One event loop per thread ([`reactor`]) owns its connections. What has come is read and stamped
//! first, for every socket that has something; only then are frames parsed and the next requests
//! sent. Bodies are serialised and connections opened before the schedule begins.

mod control;
mod exchange;
mod file_table;
mod intake;
mod pool;
mod reactor;
pub mod script;
mod share;
mod spool;
mod thinking;
mod timer;
pub mod vitals;

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Barrier},
};

use bakeoff_crds::plan::{Load, StageEnd};
use rustls::ClientConfig;

pub use control::{Control, Cut};
pub use script::{Compose, Script, Turn};
pub use share::Share;
pub use spool::SpooledText;

use crate::{
    clock::{self, Nanos},
    protocol::Codec,
    record::{Record, log::Start},
    stats::Gaps,
    wire::target::Target,
};

/// Says when a stage begins that other processes drive too, by this process's clock; `None` where
/// it will not begin. It is asked once, on a thread of the load path, when this process is ready, and
/// may take its time.
pub type Gate = Arc<dyn Fn() -> Option<Nanos> + Send + Sync>;

/// One stage, ready to be driven.
pub struct StageInput {
    /// Where requests go.
    pub target: Target,
    /// TLS settings; used where the target speaks TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Reads the answers.
    pub codec: Arc<Codec>,
    /// What the arrivals send.
    pub script: Arc<Script>,
    /// Place in the script of the first arrival; the rest follow in turn.
    pub first_request: u64,
    /// The load.
    pub load: Load,
    /// When it ends.
    pub end: StageEnd,
    /// Seed of the arrival times.
    pub seed: u64,
    /// Times of a trace to replay, from its beginning at its own speed; empty without one.
    pub trace: Arc<[Nanos]>,
    /// Longest wait for one answer.
    pub request_timeout: Nanos,
    /// Longest time for the whole stage; what is not done by then is cut.
    pub deadline: Option<Nanos>,
    /// Event loops.
    pub threads: usize,
    /// The part of the load that this process takes.
    pub share: Share,
    /// Where others drive the stage too: when it begins.
    pub gate: Option<Gate>,
    /// Whether the answers' text is kept on disk, for the tokenizer.
    pub keep_text: bool,
}

impl StageInput {
    /// Answers of each request.
    fn answers(&self) -> u32 {
        u32::try_from(self.codec.prompts_per_request()).unwrap_or(u32::MAX)
    }
}

/// What a stage gave.
pub struct Driven {
    /// When the schedule began.
    pub start: Start,
    /// Requests that the schedule held for this process.
    pub intended: u64,
    /// Requests that the schedule held for all processes that drive it together, where it says.
    pub intended_of_all: Option<u64>,
    /// Requests of processes of which nothing is known any more.
    pub lost: u64,
    /// Those that were never sent.
    pub dropped: Dropped,
    /// Every request that was taken up, by its place in the sequence.
    pub records: Vec<Record>,
    /// Gaps between frames, of every answer, also of those that failed later.
    pub gaps: Gaps,
    /// What the client saw of itself.
    pub vitals: vitals::StageVitals,
    /// Why the stage was cut, where it was.
    pub cut: Option<Cut>,
    /// Text of the answers, where it was kept; one file per event loop.
    pub texts: Vec<SpooledText>,
}

/// Requests that were never sent, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// The stage was cut before.
    pub not_sent: u64,
    /// A turn before it in its conversation failed.
    pub conversation_ended: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(self) -> u64 {
        self.not_sent + self.conversation_ended
    }
}

/// Why a stage could not be driven at all.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// There is nothing to send.
    #[error("no prompt to send")]
    NoPrompts,
    /// The load says too little.
    #[error("the load is incomplete: {0}")]
    Load(String),
    /// A name that no certificate can hold.
    #[error("{0:?} is not a name that a certificate can be checked for")]
    TlsName(String),
    /// The system gave no poll, timer or temporary file.
    #[error("cannot set up the event loop: {0}")]
    System(#[from] std::io::Error),
    /// The processes that drive the stage together never began.
    #[error("the stage did not begin: the others were not ready")]
    NotBegun,
    /// An event loop panicked.
    #[error("an event loop of the load path panicked; please report this")]
    Panicked,
}

/// Drives one stage to its end. Blocks; the event loops have threads of their own.
///
/// # Errors
/// See [`DriveError`]. Requests that fail are no error: each is in the records.
pub fn drive(stage: &StageInput, control: &Control) -> Result<Driven, DriveError> {
    if stage.script.is_empty() {
        return Err(DriveError::NoPrompts);
    }
    file_table::grow();
    let threads = stage.threads.max(1);
    let plan = intake::Arrivals::of(stage)?;
    let shared = reactor::Shared::new(Barrier::new(threads), stage.gate.clone());
    let watch = vitals::Watch::begin(Path::new("/"));
    let spools = (0..threads)
        .map(|_| stage.keep_text.then(tempfile::tempfile).transpose())
        .collect::<Result<Vec<Option<File>>, _>>()?;
    let loops = std::thread::scope(|scope| {
        let handles: Vec<_> = spools
            .into_iter()
            .enumerate()
            .map(|(thread, spool)| {
                let intake = plan.share(thread, threads);
                let shared = &shared;
                std::thread::Builder::new()
                    .name(format!("load-{thread}"))
                    .spawn_scoped(scope, move || {
                        reactor::run(stage, control, shared, intake, spool)
                    })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle?.join().map_err(|_| DriveError::Panicked)?)
            .collect::<Result<Vec<_>, DriveError>>()
    })?;
    let start = shared.start().ok_or(DriveError::NotBegun)?;
    let mut driven = Driven {
        start: Start {
            at: start,
            wall: clock::wall(start),
        },
        intended: 0,
        intended_of_all: requests_of_all(stage, &plan),
        lost: 0,
        dropped: Dropped::default(),
        records: Vec::new(),
        gaps: Gaps::new(),
        vitals: vitals::StageVitals {
            surroundings: watch.end(),
            peak_rss_bytes: vitals::peak_rss_bytes(),
            open_files_limit: vitals::open_files_limit(),
            local_ports: vitals::local_ports(),
            ..vitals::StageVitals::default()
        },
        cut: None,
        texts: Vec::new(),
    };
    for part in loops {
        driven.records.extend(part.records);
        driven.gaps.add(&part.gaps);
        driven.vitals.loops.add(&part.vitals);
        driven.texts.extend(part.text);
        driven.cut = driven.cut.max(part.cut);
        driven.dropped.not_sent += part.dropped.not_sent;
        driven.dropped.conversation_ended += part.dropped.conversation_ended;
    }
    driven.records.sort_unstable_by_key(|record| record.index);
    driven.dropped.not_sent += never_begun(stage, &plan, &driven.records);
    driven.intended = driven.records.len() as u64 + driven.dropped.total();
    let connections = &mut driven.vitals.loops.most_connections;
    *connections = (*connections).max(plan.most_connections());
    driven.vitals.open_files_needed = *connections + vitals::OPEN_FILES_SPARE;
    Ok(driven)
}

/// Requests of the arrivals that the schedule holds for all processes together.
fn requests_of_all(stage: &StageInput, plan: &intake::Arrivals) -> Option<u64> {
    let arrivals = plan.intended_of_all()?;
    if !stage.script.has_conversations() {
        return Some(arrivals);
    }
    let turns = |arrival: u64| stage.script.turns(stage.first_request + arrival).len() as u64;
    Some((0..arrivals).map(turns).sum())
}

/// Requests of the arrivals that the schedule held and that were not taken up.
fn never_begun(stage: &StageInput, plan: &intake::Arrivals, records: &[Record]) -> u64 {
    let Some(arrivals) = plan.intended() else {
        return 0;
    };
    let turns = |arrival: u64| stage.script.turns(stage.first_request + arrival).len() as u64;
    let begun = records
        .iter()
        .filter(|record| record.turn.unwrap_or(0) == 0);
    let (intended, begun): (u64, u64) = if stage.script.has_conversations() {
        let all = (0..arrivals).map(|number| turns(plan.arrival(number)));
        (all.sum(), begun.map(|record| turns(record.arrival)).sum())
    } else {
        (arrivals, begun.count() as u64)
    };
    intended.saturating_sub(begun)
}

#[cfg(test)]
mod tests;
