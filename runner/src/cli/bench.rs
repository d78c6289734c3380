//! `bakeoff bench`: one engine, one stage, no file.

mod flags;
mod processes;
mod spec;
mod traffic;
mod words;

use std::{fs::File, io::BufWriter, path::Path, process::ExitCode, sync::Arc};

use anyhow::Context;
use bakeoff_crds::{
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
    report::{EngineReport, Provenance, Report, ReportRun, SCHEMA_VERSION, StageReport},
    run::status::VerdictStatus,
};

pub use flags::Arguments;

use super::{exit, live::Live};
use crate::{
    clock,
    drive::Driven,
    measure::{Client, Progress, measure_stage},
    record::log,
    report::table,
    store::{Environment, Inputs},
    wire::tls,
    workload::{self, Frozen, tokens::TokenCounter},
};

/// Name of the one engine.
const ENGINE: &str = "engine";

/// Runs the command.
///
/// # Errors
/// Where a file cannot be read or written, or the engine cannot be loaded at all.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (run, options) = match arguments.into_run() {
        Ok(parts) => parts,
        Err(message) => {
            eprintln!("error: {message}");
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let settings = PlanSettings {
        runner_image: String::new(),
        place: Place::Local,
    };
    let plan = match resolve(&run, &ProfileSet::builtin(), &settings) {
        Ok(plan) => plan,
        Err(problems) => {
            eprintln!("error: {problems}");
            return Ok(ExitCode::from(exit::USAGE));
        }
    };
    let runtime = super::runtime()?;
    runtime.block_on(bench(&plan, &options))
}

/// What no BenchmarkRun holds.
pub(super) struct Options {
    url: String,
    threads: usize,
    headers: Vec<(String, String)>,
    api_key: Option<String>,
    output: Option<std::path::PathBuf>,
    requests_log: Option<std::path::PathBuf>,
}

async fn bench(plan: &Plan, options: &Options) -> anyhow::Result<ExitCode> {
    let start = clock::wall_now();
    let inputs = Inputs {
        base: ".".into(),
        output: plan.spec.output.clone(),
        environment: Environment::of_process(),
    };
    let sources = workload::sources::fetch(plan, &inputs).await?;
    let frozen = workload::freeze(plan, &sources)?;
    let tokenizer = match &sources.tokenizer {
        Some(bytes) => Some(Arc::new(
            TokenCounter::new(Some(bytes)).map_err(anyhow::Error::msg)?,
        )),
        None => None,
    };
    let (engine, stage) = plan
        .engines
        .first()
        .zip(plan.stages.first())
        .context("the flags name no load")?;
    let progress = Arc::new(Progress::default());
    let client = Client {
        plan,
        engine,
        url: &options.url,
        prompts: &frozen.prompts,
        tokenizer,
        api_key: options.api_key.clone(),
        headers: options.headers.clone(),
        tls: tls::client_config(tls::bundle_from_environment().as_deref())?,
        threads: options.threads,
        progress: Arc::clone(&progress),
    };
    super::cancel_on_signal(Arc::clone(&progress));
    let live = Live::start(Arc::clone(&progress), plan);
    let measured = match plan.spec.runner.parallelism {
        0 | 1 => measure_stage(&client, stage).await.map_err(Into::into),
        _ => processes::measure(client, stage, (&frozen, &sources)).await,
    };
    live.finish();
    let (stage, driven) = measured?;
    super::print(&table::stage(&stage));
    if let Some(path) = &options.requests_log {
        write_log(path, &stage, &driven)?;
    }
    let status = stage.verdict.status;
    if let Some(path) = &options.output {
        let report = report(plan, &frozen, stage, start);
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if status == VerdictStatus::Invalid {
        ExitCode::from(exit::INVALID)
    } else {
        ExitCode::SUCCESS
    })
}

fn write_log(path: &Path, stage: &StageReport, driven: &Driven) -> anyhow::Result<()> {
    let told = || format!("writing {}", path.display());
    if path.extension().is_some_and(|extension| extension == "zst") {
        let bytes = log::compressed(&stage.name, driven.start, &driven.records)?;
        return std::fs::write(path, bytes).with_context(told);
    }
    let file = BufWriter::new(File::create(path).with_context(told)?);
    log::write(file, &stage.name, driven.start, &driven.records).with_context(told)
}

/// A report of one engine and one stage.
fn report(plan: &Plan, frozen: &Frozen, stage: StageReport, start: jiff::Timestamp) -> Report {
    let verdict = stage.verdict.clone();
    let engine = plan.engines.first();
    let protocol = engine.and_then(|engine| {
        let name = serde_json::to_value(engine.endpoint.protocol).ok()?;
        name.as_str().map(str::to_owned)
    });
    let url = plan
        .spec
        .engines
        .first()
        .and_then(|engine| engine.external.as_ref());
    Report {
        schema_version: SCHEMA_VERSION.into(),
        run: ReportRun {
            identity: plan.run.clone(),
            start_time: start.to_string(),
            end_time: clock::wall_now().to_string(),
            bakeoff_version: env!("CARGO_PKG_VERSION").into(),
            spec: serde_json::to_value(&plan.spec).unwrap_or_default(),
            prompts: frozen.prompts.len() as u64,
            prompts_sha256: workload::frozen::write(&frozen.prompts)
                .map(|file| file.sha256)
                .unwrap_or_default(),
            dataset_sha256: frozen.dataset_sha256.clone(),
            tokenizer_sha256: frozen.tokenizer_sha256.clone(),
            ..ReportRun::default()
        },
        fairness: bakeoff_crds::report::Fairness::default(),
        verdict: verdict.clone(),
        engines: vec![EngineReport {
            name: ENGINE.into(),
            profile: "external".into(),
            provenance: Provenance {
                model: Some(plan.spec.model.id.clone()),
                protocol,
                url: url.map(|external| external.url.clone()),
                ..Provenance::default()
            },
            capabilities: engine
                .map(|engine| engine.capabilities.clone())
                .unwrap_or_default(),
            verdict,
            stages: vec![stage],
            ..EngineReport::default()
        }],
        comparison: bakeoff_crds::report::Comparison::default(),
    }
}
