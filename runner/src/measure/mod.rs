//! One engine in one round: checked, warmed up, driven stage by stage, each stored as soon as it has
//! ended. What a pod of the cluster and `bakeoff run` both do.

pub(crate) mod cache;
mod check;
mod context;
mod error;
mod follow;
mod lead;
mod load;
mod paths;
mod probe;
mod progress;
mod resume;
mod round;
mod scraping;
mod stage;
mod summary;
mod turns;
mod warm;

use std::{sync::Arc, time::Duration};

use bakeoff_crds::plan::{Plan, PlannedEngine};
use rustls::ClientConfig;

pub(crate) use context::stage_context;
pub use context::{Lengths, lengths};
pub use error::MeasureError;
pub(crate) use error::stopped;
pub use follow::follow;
pub use lead::lead_stage;
pub use paths::{BEGUN, REQUESTS, STAGE, attempt_folder, round_folder};
pub use probe::PROBE;
pub use progress::{Progress, Snapshot};
pub use round::{RoundResult, measure_engine};
pub(crate) use scraping::{Figures, attach};
pub use stage::measure_stage;
pub use summary::{fit, summarize};

use crate::{
    prompt::Prompt, scrape::Target as ScrapeTarget, shard::Leader, store::Store,
    workload::tokens::TokenCounter,
};

/// What one engine is loaded with.
pub struct Client<'a> {
    /// The run.
    pub plan: &'a Plan,
    /// The engine.
    pub engine: &'a PlannedEngine,
    /// Root of the engine's server.
    pub url: &'a str,
    /// The frozen prompts.
    pub prompts: &'a [Prompt],
    /// Counts the answers' tokens after each stage, where the model's tokenizer is at hand.
    pub tokenizer: Option<Arc<TokenCounter>>,
    /// Key of a paid endpoint.
    pub api_key: Option<String>,
    /// Further header fields of every request.
    pub headers: Vec<(String, String)>,
    /// TLS settings for https.
    pub tls: Arc<ClientConfig>,
    /// Event loops of the load path.
    pub threads: usize,
    /// Where others see how far it is, and from where it is told to stop.
    pub progress: Arc<Progress>,
}

/// One engine in one round of a run.
pub struct EngineRound<'a> {
    /// What it is loaded with.
    pub client: Client<'a>,
    /// Round, from 1.
    pub round: u32,
    /// How often the round has begun anew on another node. Stages of an earlier time are driven
    /// again, as further attempts.
    pub restart: u32,
    /// The run's folder.
    pub store: &'a Store,
    /// The engine's pods, for Prometheus.
    pub pods: ScrapeTarget,
    /// How long the engine may take to answer at all.
    pub patience: Duration,
    /// With whom it is measured.
    pub crew: Crew,
}

/// With whom an engine is measured.
#[derive(Clone, Default)]
pub enum Crew {
    /// Alone.
    #[default]
    Alone,
    /// As the first of several shards. The others [`follow`].
    Leader(Arc<Leader>),
}

#[cfg(test)]
mod tests;
