//! One engine's turn: brought up where it is ours, loaded, taken down.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bakeoff_crds::{
    manifests::Turn,
    plan::{EngineSource, Plan, PlannedEngine},
    run::{SimulatedEngine, status::TurnStatus},
    summary::reason,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rustls::ClientConfig;

use crate::{
    cli::shards::{About, Shards},
    clock,
    measure::{Client, EngineRound, MeasureError, Progress, RoundResult, measure_engine},
    prompt::Prompt,
    scrape::Target,
    simulate::{self, SimulatorConfig},
    store::{Environment, Store},
    workload::tokens::TokenCounter,
};

/// Environment variable with the key of paid endpoints.
const API_KEY: &str = "BAKEOFF_API_KEY";

/// Where an engine is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// At a URL.
    At(String),
    /// In this process, once its turn comes.
    Simulated(SimulatedEngine),
}

/// Where each engine of the plan is, in the order of the plan.
///
/// # Errors
/// Where `--at` names no engine of the run, or an engine is nowhere.
pub(super) fn places(plan: &Plan, at: &[String]) -> Result<Vec<Place>, String> {
    let mut urls = BTreeMap::new();
    for place in at {
        let (engine, url) = place
            .split_once('=')
            .ok_or_else(|| format!("--at {place:?} has no =; write ENGINE=URL"))?;
        if !plan.engines.iter().any(|planned| planned.name == engine) {
            let names: Vec<&str> = plan
                .engines
                .iter()
                .map(|planned| planned.name.as_str())
                .collect();
            return Err(format!(
                "--at {engine}: the run has no such engine; it has {}",
                names.join(", ")
            ));
        }
        urls.insert(engine, url);
    }
    plan.engines
        .iter()
        .map(|engine| match (urls.get(engine.name.as_str()), &engine.source) {
            (Some(url), _) => Ok(Place::At((*url).to_owned())),
            (None, EngineSource::External(external)) => Ok(Place::At(external.url.clone())),
            (None, EngineSource::Simulated(simulated)) => Ok(Place::Simulated(simulated.clone())),
            (None, EngineSource::Deployed(_)) => Err(format!(
                "engine {0} has to be deployed, which takes a cluster; say where it is already up with --at {0}=URL",
                engine.name
            )),
        })
        .collect()
}

/// What all turns have in common.
pub(super) struct Turns<'a> {
    pub(super) plan: &'a Plan,
    pub(super) places: &'a [Place],
    pub(super) prompts: &'a [Prompt],
    pub(super) prompts_sha256: &'a str,
    pub(super) tokenizer: Option<Arc<TokenCounter>>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) store: &'a Store,
    pub(super) environment: &'a Environment,
    pub(super) threads: usize,
    pub(super) progress: Arc<Progress>,
}

impl Turns<'_> {
    /// Measures one engine for one round.
    pub(super) async fn one(&self, turn: Turn, status: &mut TurnStatus) -> RoundResult {
        status.start_time = Some(Time(clock::wall_now()));
        let (Some(engine), Some(place)) = (
            self.plan.engines.get(turn.engine),
            self.places.get(turn.engine),
        ) else {
            return RoundResult::default();
        };
        match place {
            Place::At(url) => self.measure(turn, engine, url).await,
            Place::Simulated(simulated) => {
                // It ends with this turn.
                let mut config = SimulatorConfig::new(simulated, &engine.endpoint.model);
                let adapters = self.plan.spec.model.adapters.iter();
                config.adapters = adapters.map(|adapter| adapter.name.clone()).collect();
                match simulate::start_with(config) {
                    Ok(running) => self.measure(turn, engine, &running.url).await,
                    Err(error) => RoundResult {
                        error: Some(MeasureError::new(
                            reason::ENGINE_CRASHED,
                            format!("the simulated engine does not start: {error}"),
                        )),
                        ..RoundResult::default()
                    },
                }
            }
        }
    }

    async fn measure(&self, turn: Turn, engine: &PlannedEngine, url: &str) -> RoundResult {
        let api_key = api_key(engine, self.environment);
        let about = About {
            plan: self.plan,
            prompts_sha256: self.prompts_sha256,
            threads: self.threads,
            progress: &self.progress,
            engine: &engine.name,
            round: turn.round,
            url,
            api_key: api_key.as_deref(),
        };
        let shards = match Shards::start(&about).await {
            Ok(shards) => shards,
            Err(error) => {
                return RoundResult {
                    error: Some(MeasureError::new(
                        reason::RUNNER_CRASHED,
                        format!("the processes of runner.parallelism cannot be started: {error:#}"),
                    )),
                    ..RoundResult::default()
                };
            }
        };
        let round = EngineRound {
            client: Client {
                plan: self.plan,
                engine,
                url,
                prompts: self.prompts,
                tokenizer: self.tokenizer.clone(),
                api_key,
                headers: Vec::new(),
                tls: Arc::clone(&self.tls),
                threads: self.threads,
                progress: Arc::clone(&self.progress),
            },
            round: turn.round,
            restart: turn.restart,
            store: self.store,
            pods: Target::default(),
            patience: patience(engine, self.plan),
            crew: shards.crew.clone(),
        };
        let result = measure_engine(&round).await;
        shards.finish().await;
        result
    }
}

/// A simulated engine may take its time to be ready, as one in a cluster may; a server that is said
/// to be up may not.
fn patience(engine: &PlannedEngine, plan: &Plan) -> Duration {
    match engine.source {
        EngineSource::Simulated(_) => plan.spec.policy.timeouts.ready.get(),
        EngineSource::Deployed(_) | EngineSource::External(_) => Duration::from_secs(10),
    }
}

/// The key of an endpoint that asks for one: its own variable (`BAKEOFF_API_KEY_FRIENDLI` for
/// `friendli`), else the common one.
fn api_key(engine: &PlannedEngine, environment: &Environment) -> Option<String> {
    let EngineSource::External(external) = &engine.source else {
        return None;
    };
    external.api_key_secret_ref.as_ref()?;
    let own = format!("{API_KEY}_{}", engine.name.to_uppercase().replace('-', "_"));
    let key = environment.get(&own).or_else(|| environment.get(API_KEY));
    if key.is_none() {
        tracing::warn!(engine = %engine.name, variable = %own, "no API key in the environment");
    }
    key.map(str::to_owned)
}
