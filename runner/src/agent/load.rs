//! `bakeoff agent load`: loads one engine for one round, from a pod of the cluster.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use bakeoff_crds::{
    manifests::{RUNNER_PORT, Turn, names},
    plan::{EngineSource, Plan},
    summary::{Termination, reason},
};

use super::{
    last_words::{TERMINATION_LOG, check_ca_bundle, read_plan, say},
    vitals_page,
};
use crate::{
    cli::cancel_on_signal,
    drive::Share,
    measure::{
        Client, Crew, EngineRound, MeasureError, Progress, RoundResult, Snapshot, follow,
        measure_engine,
    },
    scrape::Target,
    shard::{Follower, Leader},
    store::{Environment, Store},
    wire::tls,
    workload::frozen::{self, FrozenError},
};

/// Environment variable with the key of a paid endpoint.
const API_KEY: &str = "BAKEOFF_API_KEY";
/// How long an engine that is said to be ready may take to answer: a Service's address needs a
/// moment to reach every node.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `bakeoff agent load`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The plan of the run
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Name of the engine
    #[arg(long)]
    engine: String,
    /// Round, from 1
    #[arg(long)]
    round: u32,
    /// How often the round has begun anew on another node; what was measured before is left alone
    #[arg(long, default_value_t = 0)]
    restart: u32,
    /// Root of the engine's server
    #[arg(long)]
    url: String,
    /// SHA-256 of the frozen prompts, uncompressed
    #[arg(long)]
    prompts_sha256: String,
    /// Pods of an engine whose controller names them, for the figures that a Prometheus has of them
    #[arg(long = "engine-pod", value_name = "NAME")]
    engine_pods: Vec<String>,
    /// Event loops of the load path, each on a thread of its own
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Where /progress, /metrics and /healthz are served
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from(([0, 0, 0, 0], RUNNER_PORT as u16)))]
    listen: SocketAddr,
    /// Pods that act as one client
    #[arg(long, value_name = "N", default_value_t = 1)]
    shards: u32,
    /// Which of them this is, from 0; Kubernetes tells it to the pods of an indexed Job
    #[arg(
        long,
        value_name = "I",
        default_value_t = 0,
        env = "JOB_COMPLETION_INDEX"
    )]
    shard_index: u32,
    /// Where shard 0 is, for the others
    #[arg(long, value_name = "URL")]
    shard_leader: Option<String>,
    /// Seconds that a shard may give no sign of life until the others give it up; as long as a pod may
    /// wait for a node, by policy.timeouts.scheduling, where nothing is given
    #[arg(long, value_name = "SECONDS")]
    shard_patience: Option<u64>,
    /// What the shards of one Job know each other by
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "",
        hide_env_values = true,
        env = "BAKEOFF_SHARD_TOKEN"
    )]
    shard_token: String,
    /// File for the last words
    #[arg(long, value_name = "FILE", default_value = TERMINATION_LOG, env = "BAKEOFF_TERMINATION_LOG")]
    termination_log: PathBuf,
}

/// Runs the command. A verdict of Invalid is a result, not a failure.
///
/// # Errors
/// Where not even the last words can be written.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let progress = Arc::new(Progress::default());
    cancel_on_signal(Arc::clone(&progress));
    let result = match load(&arguments, &progress).await {
        Ok((result, plan)) => Ok(Termination {
            failure: result.error.as_ref().map(MeasureError::failure),
            // Shard 0 speaks for all; one that could not even read what is there is silent.
            runner: (arguments.shard_index == 0 && !knows_nothing(&result))
                .then(|| result.summary(&plan)),
            ..Termination::default()
        }),
        Err(error) => Err(error.failure()),
    };
    say(result, &arguments.termination_log)
}

/// Whether the bucket was away before it said what an earlier runner left there.
fn knows_nothing(result: &RoundResult) -> bool {
    let is_away = |error: &MeasureError| error.reason == reason::UPLOAD_FAILED;
    result.stages.is_empty() && result.error.as_ref().is_some_and(is_away)
}

async fn load(
    arguments: &Arguments,
    progress: &Arc<Progress>,
) -> Result<(RoundResult, Plan), MeasureError> {
    let invalid = |message: String| MeasureError::new(reason::INVALID_SPEC, message);
    let plan = read_plan(&arguments.plan).map_err(|failure| invalid(failure.message))?;
    let patience = match arguments.shard_patience {
        Some(seconds) => Duration::from_secs(seconds),
        None => plan.spec.policy.timeouts.scheduling.get(),
    };
    let crew = match (arguments.shards, arguments.shard_index) {
        (0 | 1, _) => Crew::Alone,
        (of, 0) => {
            let token = arguments.shard_token.clone();
            Crew::Leader(Arc::new(Leader::new(
                token,
                of,
                patience,
                Arc::clone(progress),
            )))
        }
        _ => Crew::Alone,
    };
    serve(arguments.listen, Arc::clone(progress), &crew).await?;
    let position = plan
        .engines
        .iter()
        .position(|engine| engine.name == arguments.engine)
        .ok_or_else(|| invalid(format!("the plan has no engine {:?}", arguments.engine)))?;
    let Some(engine) = plan.engines.get(position) else {
        return Err(invalid("the plan has no such engine".into()));
    };
    let environment = Environment::of_process();
    check_ca_bundle(&plan, &environment)
        .map_err(|failure| MeasureError::new(reason::CONFIG_MAP_NOT_FOUND, failure.message))?;
    let store = Store::open(&plan.spec.output, &plan.run.folder(), &environment)?
        .with_upload_timeout(plan.spec.policy.timeouts.upload.get());
    let (prompts, tokenizer) = frozen::load(&store, Some(&arguments.prompts_sha256))
        .await
        .map_err(|error| prompts_error(&error))?;
    let tls = tls::client_config(tls::bundle_from_environment().as_deref())
        .map_err(|error| invalid(error.to_string()))?;
    let turn = Turn {
        engine: position,
        round: arguments.round,
        restart: arguments.restart,
    };
    let round = EngineRound {
        client: Client {
            plan: &plan,
            engine,
            url: &arguments.url,
            prompts: &prompts,
            tokenizer: tokenizer.map(Arc::new),
            api_key: environment.get(API_KEY).map(str::to_owned),
            headers: Vec::new(),
            tls,
            threads: arguments.threads,
            progress: Arc::clone(progress),
        },
        round: arguments.round,
        restart: arguments.restart,
        store: &store,
        pods: pods(&plan, turn, &arguments.engine_pods),
        patience: PATIENCE,
        crew,
    };
    let result = match follower(arguments, patience, progress)? {
        Some(follower) => RoundResult {
            error: follow(&round, &follower).await.err(),
            ..RoundResult::default()
        },
        None => measure_engine(&round).await,
    };
    Ok((result, plan))
}

/// This pod as one that follows shard 0; `None` where it is shard 0 or alone.
fn follower(
    arguments: &Arguments,
    patience: Duration,
    progress: &Arc<Progress>,
) -> Result<Option<Follower>, MeasureError> {
    let share = Share {
        index: arguments.shard_index,
        of: arguments.shards,
    };
    if share.of <= 1 || share.index == 0 {
        return Ok(None);
    }
    let invalid = |message: String| MeasureError::new(reason::INVALID_SPEC, message);
    let leader = arguments.shard_leader.as_deref().ok_or_else(|| {
        invalid(format!(
            "shard {} needs --shard-leader, where shard 0 is",
            share.index
        ))
    })?;
    let token = arguments.shard_token.clone();
    Follower::new(leader, token, share, patience, Arc::clone(progress))
        .map(Some)
        .map_err(|error| invalid(error.to_string()))
}

fn prompts_error(error: &FrozenError) -> MeasureError {
    let reason = match error {
        // The prompts were stored by the preflight: it is the bucket that is away.
        FrozenError::Store(error) if error.may_pass() => reason::UPLOAD_FAILED,
        FrozenError::Hash { .. } => reason::HASH_MISMATCH,
        FrozenError::Malformed(_) | FrozenError::Store(_) => reason::DATASET_UNAVAILABLE,
        FrozenError::Tokenizer(_) => reason::TOKENIZER_UNAVAILABLE,
    };
    MeasureError {
        may_pass: matches!(error, FrozenError::Store(error) if error.may_pass()),
        ..MeasureError::new(reason, error.to_string())
    }
}

/// The engine's pods, for Prometheus: those that were told of, or the one that the turn names; none of
/// ours where the engine is external.
fn pods(plan: &Plan, turn: Turn, told: &[String]) -> Target {
    match plan.engines.get(turn.engine).map(|engine| &engine.source) {
        Some(EngineSource::Deployed(_) | EngineSource::Simulated(_)) => Target {
            namespace: Some(plan.run.namespace.clone()),
            pods: match told {
                [] => vec![names::engine(plan, turn)],
                told => told.to_vec(),
            },
        },
        Some(EngineSource::External(_)) | None => Target::default(),
    }
}

/// Serves progress to the operator, and the other shards where there are some. A lone runner goes on
/// without it, and the operator shows the engine alone.
async fn serve(
    address: SocketAddr,
    progress: Arc<Progress>,
    crew: &Crew,
) -> Result<(), MeasureError> {
    let mut routes = routes(progress);
    if let Crew::Leader(leader) = crew {
        routes = routes.merge(leader.routes());
    }
    match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => {
            tokio::spawn(async move { axum::serve(listener, routes).await });
        }
        Err(error) if matches!(crew, Crew::Leader(_)) => {
            let message = format!("the other shards cannot be served at {address}: {error}");
            return Err(MeasureError::new(reason::RUNNER_CRASHED, message));
        }
        Err(error) => tracing::warn!(%address, %error, "progress is not served"),
    }
    Ok(())
}

fn routes(progress: Arc<Progress>) -> Router {
    Router::new()
        .route("/progress", get(snapshot))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(progress)
}

async fn snapshot(State(progress): State<Arc<Progress>>) -> Json<Snapshot> {
    Json(progress.snapshot())
}

/// In Prometheus' text format.
async fn metrics(State(progress): State<Arc<Progress>>) -> String {
    vitals_page::page(&progress)
}

#[cfg(test)]
mod tests;
