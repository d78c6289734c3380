//! Converts runs for other tools.

use std::path::Path;

use anyhow::Context;
use bakeoff_crds::run::Format;

use super::Source;
use crate::{
    export,
    store::{Environment, Store},
};

/// A format of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Other {
    /// The JSON of Google's inference-benchmark
    Google,
    /// The JSON of vllm bench serve
    Vllm,
    /// Benchmark Report v0.2.1 of llm-d-benchmark
    LlmD,
    /// The lifecycle files of inference-perf
    InferencePerf,
    /// AIPerf's profile export
    Aiperf,
}

impl From<Other> for Format {
    fn from(other: Other) -> Self {
        match other {
            Other::Google => Self::Google,
            Other::Vllm => Self::Vllm,
            Other::LlmD => Self::LlmD,
            Other::InferencePerf => Self::InferencePerf,
            Other::Aiperf => Self::Aiperf,
        }
    }
}

/// Writes the files of each run, in a folder of its own where there are several, and says what was
/// written and what was not.
pub(super) async fn convert(
    sources: &[Source],
    formats: &[Other],
    folder: &Path,
    environment: &Environment,
) -> anyhow::Result<String> {
    let formats: Vec<Format> = formats.iter().copied().map(Format::from).collect();
    let to = Store::at(&format!("file://{}", folder.display()), environment)?;
    let mut text = String::new();
    for Source {
        name,
        report,
        folder,
    } in sources
    {
        let from = folder.as_ref().with_context(|| {
            format!(
                "{name} is a report alone; other tools' formats are made of the logs of the requests, \
                 so name the run's folder or its address, or give the one stage's log by --requests-log"
            )
        })?;
        let prefix = match sources.len() {
            1 => String::new(),
            _ => format!("{}/", report.run.identity.folder()),
        };
        let exported = export::write(report, from, &to, &prefix, &formats).await?;
        for left_out in &exported.left_out {
            text.push_str(&format!("Left out: {}: {}\n", left_out.stage, left_out.why));
        }
        anyhow::ensure!(
            !exported.files.is_empty(),
            "no stage of {name} can be converted:\n{text}"
        );
        for file in &exported.files {
            text.push_str(&format!("{file}\n"));
        }
    }
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    text.push_str(&format!("Written to {}\n", folder.display()));
    Ok(text)
}
