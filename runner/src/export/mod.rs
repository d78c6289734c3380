//! A run in the formats of other tools, from its report and the logs of its requests.
//!
//! [`requests`] reads a log back, [`sample`] has the statistics; then one module per format, each a
//! pure function of a [`Pass`]; [`write()`] reads the logs of a run's folder and stores the files. What
//! each figure means there, and where it differs from ours, is in `docs/formats.md`; the layouts as
//! their projects publish them are in `published/`, and tests hold every file against them.

pub mod aiperf;
#[cfg(test)]
pub(crate) mod fixture;
pub mod google;
pub mod inference_perf;
pub mod llm_d;
pub mod requests;
pub mod sample;
#[cfg(test)]
mod tests;
pub mod vllm;
pub mod write;

use std::fmt::Write as _;

use bakeoff_crds::{
    report::{EngineReport, Report, StageReport},
    run::{Format, status::VerdictStatus},
};
use jiff::Timestamp;

use requests::{Log, Request};
pub use write::{ExportError, Exported, write};

/// Formats of other tools, in the order of [`Format`].
pub const FORMATS: [Format; 5] = [
    Format::Google,
    Format::Vllm,
    Format::LlmD,
    Format::InferencePerf,
    Format::Aiperf,
];

/// Name of a format on the command line and as a folder; none for our own files.
pub fn name(format: Format) -> Option<&'static str> {
    match format {
        Format::Google => Some("google"),
        Format::Vllm => Some("vllm"),
        Format::LlmD => Some("llm-d"),
        Format::InferencePerf => Some("inference-perf"),
        Format::Aiperf => Some("aiperf"),
        Format::Html | Format::Chart | Format::Csv | Format::Requests => None,
    }
}

/// One engine's pass over the stages: one repetition of one round. To other tools, one run.
#[derive(Clone, Debug)]
pub struct Pass<'a> {
    /// The report that it is part of.
    pub report: &'a Report,
    /// The engine.
    pub engine: &'a EngineReport,
    /// Round, from 1.
    pub round: u32,
    /// Repetition within the round, from 1.
    pub repetition: u32,
    /// Place among the engine's passes, from 0.
    pub number: usize,
    /// Its stages, in the order in which they were driven.
    pub stages: Vec<Stage<'a>>,
}

/// One stage of a pass.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// Its report.
    pub report: &'a StageReport,
    /// Its requests.
    pub log: Log,
}

/// One file of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path, beginning with the format's name.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Why a pass cannot be written in a format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It cannot be JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It cannot be YAML.
    #[error("{0}")]
    Yaml(String),
}

/// The files of a pass in a format; none for our own formats.
///
/// # Errors
/// Where a value cannot be written, which finite figures rule out.
pub fn files(format: Format, pass: &Pass<'_>) -> Result<Vec<File>, FormatError> {
    let Some(name) = name(format) else {
        return Ok(Vec::new());
    };
    let files = match format {
        Format::Google => each(pass, |stage| {
            let bytes = serde_json::to_vec_pretty(&google::result(pass, stage))?;
            Ok(vec![(format!("{}.json", stage.report.name), bytes)])
        })?,
        Format::Vllm => each(pass, |stage| {
            let bytes = serde_json::to_vec_pretty(&vllm::result(pass, stage))?;
            Ok(vec![(format!("{}.json", stage.report.name), bytes)])
        })?,
        Format::LlmD => llm_d::files(pass)?,
        Format::InferencePerf => inference_perf::files(pass)?,
        Format::Aiperf => each(pass, |stage| aiperf::files(pass, stage))?,
        Format::Html | Format::Chart | Format::Csv | Format::Requests => Vec::new(),
    };
    let mut folder = format!("{name}/{}", pass.engine.name);
    let _ = write!(folder, "/round-{}/rep-{}", pass.round, pass.repetition);
    Ok(files
        .into_iter()
        .map(|(path, bytes)| File {
            path: format!("{folder}/{path}"),
            bytes,
        })
        .collect())
}

/// Name and content of files.
type Named = Vec<(String, Vec<u8>)>;

fn each(
    pass: &Pass<'_>,
    of: impl Fn(&Stage<'_>) -> Result<Named, FormatError>,
) -> Result<Named, FormatError> {
    let mut files = Vec::new();
    for stage in &pass.stages {
        files.extend(of(stage)?);
    }
    Ok(files)
}

/// Whether a stage's figures may be given away without their verdict, which no other format has a
/// place for: those of an Invalid one may not.
pub fn may_be_exported(stage: &StageReport) -> bool {
    stage.verdict.status != VerdictStatus::Invalid
}

impl Pass<'_> {
    /// A text of the run's spec, such as `/model/id`.
    pub fn spec_text(&self, pointer: &str) -> Option<&str> {
        self.report.run.spec.pointer(pointer)?.as_str()
    }

    /// A number of the run's spec.
    pub fn spec_number(&self, pointer: &str) -> Option<f64> {
        self.report.run.spec.pointer(pointer)?.as_f64()
    }

    /// A yes or no of the run's spec.
    pub fn spec_flag(&self, pointer: &str) -> Option<bool> {
        self.report.run.spec.pointer(pointer)?.as_bool()
    }

    /// One stage of one pass of one engine, unlike any other.
    fn identifier(&self, stage: &Stage<'_>) -> String {
        let uid = &self.report.run.identity.uid;
        let (engine, name) = (&self.engine.name, &stage.report.name);
        let (round, repetition) = (self.round, self.repetition);
        format!("{uid}/{engine}/round-{round}/rep-{repetition}/{name}")
    }

    /// The model that the run is about.
    pub fn model(&self) -> &str {
        self.spec_text("/model/id").unwrap_or_default()
    }

    /// Whether answers streamed: only then is there a first token.
    pub fn streaming(&self) -> bool {
        self.spec_flag("/workload/streaming").unwrap_or(true)
    }

    /// Whether a time per token can be told: answers streamed, one to a request.
    fn per_token(&self) -> bool {
        let prompts = self.spec_number("/workload/promptsPerRequest");
        self.streaming() && prompts.is_none_or(|prompts| prompts <= 1.0)
    }
}

impl Stage<'_> {
    /// The requests that were answered whole.
    pub fn succeeded(&self) -> impl Iterator<Item = &Request> {
        let requests = self.log.requests.iter();
        requests.filter(|request| request.failure.is_none())
    }

    /// The requests that failed, each with kind and message.
    pub fn failed(&self) -> impl Iterator<Item = (&Request, &str, &str)> {
        self.log.requests.iter().filter_map(|request| {
            let (kind, message) = request.failure.as_ref()?;
            Some((request, kind.as_str(), message.as_str()))
        })
    }

    /// Times to first token of the answered requests, in nanoseconds; none without streaming.
    fn times_to_first_token(&self, pass: &Pass<'_>) -> Vec<f64> {
        let times = self.succeeded().filter_map(Request::time_to_first_token);
        times.filter(|_| pass.streaming()).collect()
    }

    /// Times per output token after the first of the answered requests, in nanoseconds.
    fn times_per_output_token(&self, pass: &Pass<'_>) -> Vec<f64> {
        let times = self.succeeded().filter_map(Request::time_per_output_token);
        times.filter(|_| pass.per_token()).collect()
    }

    /// Input tokens of the answered requests: by the report, which knows the tokenizer's count where
    /// an engine does not tell.
    fn input_total(&self) -> Option<u64> {
        self.report.input_tokens.as_ref().map(|tokens| tokens.sum)
    }

    /// Output tokens of the answered requests.
    fn output_total(&self) -> Option<u64> {
        self.report.output_tokens.as_ref().map(|tokens| tokens.sum)
    }

    /// Lengths of the prompts of the answered requests, where the engine tells.
    fn input_lengths(&self) -> Vec<f64> {
        let lengths = self.succeeded().filter_map(|request| request.input_tokens);
        lengths.map(f64::from).collect()
    }

    /// Lengths of the answers.
    fn output_lengths(&self) -> Vec<f64> {
        let lengths = self.succeeded().filter_map(Request::answer_tokens);
        lengths.map(f64::from).collect()
    }

    /// The window's length, in seconds.
    fn seconds(&self) -> f64 {
        self.report.window.duration_seconds
    }

    /// When the window began: at the first sending.
    fn begin(&self) -> Timestamp {
        let window = self.report.window.start.parse();
        window.unwrap_or(self.log.start)
    }

    /// Nanoseconds since the Unix epoch, of a time since the start of the stage's schedule.
    fn epoch(&self, at: i64) -> i128 {
        self.log.start.as_nanosecond() + i128::from(at)
    }
}

/// A moment as other tools write dates: `20260301-120000`, UTC.
fn compact_date(moment: Timestamp) -> String {
    moment.strftime("%Y%m%d-%H%M%S").to_string()
}
