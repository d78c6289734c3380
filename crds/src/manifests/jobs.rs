//! Plan and outcome, and the Jobs that read them: preflight, runner, reporter.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, EnvVar},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};

use super::{
    OUTCOME_PATH, Turn,
    agent::Agent,
    container::{config_map_volume, hub_env, read_only, secret_env},
    labels, names, shards,
};
use crate::{
    outcome::Outcome,
    plan::{EngineSource, Plan},
};

/// The plan, as every pod of the run reads it. It cannot be changed.
pub fn plan_config_map(plan: &Plan, owner: &OwnerReference) -> ConfigMap {
    let json = serde_json::to_string(plan).unwrap_or_default();
    let name = names::plan(&plan.run);
    file_config_map(plan, owner, name, "plan.json", json)
}

/// What only the operator knows, for the reporter.
pub fn outcome_config_map(plan: &Plan, owner: &OwnerReference, outcome: &Outcome) -> ConfigMap {
    let json = serde_json::to_string(outcome).unwrap_or_default();
    let name = names::outcome(&plan.run);
    file_config_map(plan, owner, name, "outcome.json", json)
}

fn file_config_map(
    plan: &Plan,
    owner: &OwnerReference,
    name: String,
    key: &str,
    content: String,
) -> ConfigMap {
    ConfigMap {
        metadata: names::metadata(plan, owner, name, labels::COMPONENT_PLAN, None),
        data: Some(BTreeMap::from([(key.to_owned(), content)])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// Checks what can be checked before an accelerator is taken, and freezes the prompts.
pub fn preflight_job(plan: &Plan, owner: &OwnerReference) -> Job {
    let spec = &plan.spec;
    let mut agent = Agent::new(plan, &["preflight"]);
    agent.environment.extend(hub_env(&spec.model));
    let data_set = spec.workload.prompts.file().map(|(_, file)| file);
    agent.file("dataset", "BAKEOFF_DATASET_FILE", data_set);
    agent.file(
        "tokenizer",
        "BAKEOFF_TOKENIZER_FILE",
        spec.model.tokenizer.as_ref(),
    );
    // Keys of external engines and of engines' own variables: a missing one shows here, before any
    // accelerator is taken, and not at the last engine.
    agent.environment.extend(secrets_of_engines(plan));
    agent.job(
        owner,
        names::preflight(&plan.run),
        labels::COMPONENT_PREFLIGHT,
        None,
    )
}

/// What the load of an engine needs to know that no plan can say.
#[derive(Clone, Debug, Default)]
pub struct LoadFacts<'a> {
    /// SHA-256 of the frozen prompts.
    pub prompts_sha256: &'a str,
    /// Pods of an engine whose controller names them; empty where the turn does.
    pub engine_pods: Vec<&'a str>,
}

/// Loads one engine.
pub fn runner_job(plan: &Plan, owner: &OwnerReference, turn: Turn, facts: &LoadFacts<'_>) -> Job {
    let engine = plan.engines.get(turn.engine);
    let name = names::engine_name(plan, turn).to_owned();
    let url = match engine.map(|engine| (&engine.source, engine.endpoint.port)) {
        Some((EngineSource::External(external), _)) => external.url.clone(),
        Some((_, port)) => {
            format!(
                "http://{}.{}.svc:{port}",
                names::engine(plan, turn),
                plan.run.namespace
            )
        }
        None => String::new(),
    };
    let round = turn.round.to_string();
    let restart = turn.restart.to_string();
    let mut words = vec![
        "load",
        "--engine",
        &name,
        "--round",
        &round,
        "--url",
        &url,
        "--prompts-sha256",
        facts.prompts_sha256,
        "--restart",
        &restart,
    ];
    let (shards, leader) = (plan.spec.runner.parallelism, shards::leader(plan, turn));
    let number = shards.to_string();
    if shards > 1 {
        words.extend(["--shards", &number, "--shard-leader", &leader]);
    }
    for pod in &facts.engine_pods {
        words.extend(["--engine-pod", pod]);
    }
    let mut agent = Agent::new(plan, &words);
    if shards > 1 {
        agent.environment.push(shards::token());
    }
    if let Some(EngineSource::External(external)) = engine.map(|engine| &engine.source)
        && let Some(key) = &external.api_key_secret_ref
    {
        agent
            .environment
            .push(secret_env("BAKEOFF_API_KEY", key, false));
    }
    let mut job = agent.job(
        owner,
        names::runner(plan, turn),
        labels::COMPONENT_RUNNER,
        Some(turn),
    );
    if shards > 1 {
        shards::act_as_one(&mut job, shards);
    }
    job
}

/// Reads the stages and the outcome, and writes the report.
pub fn reporter_job(plan: &Plan, owner: &OwnerReference) -> Job {
    let mut agent = Agent::new(plan, &["report", "--outcome", OUTCOME_PATH]);
    agent
        .volumes
        .push(config_map_volume("outcome", &names::outcome(&plan.run)));
    agent
        .mounts
        .push(read_only("outcome", "/etc/bakeoff-outcome", None));
    agent.job(
        owner,
        names::reporter(&plan.run),
        labels::COMPONENT_REPORTER,
        None,
    )
}

fn secrets_of_engines(plan: &Plan) -> Vec<EnvVar> {
    let secrets = plan.engines.iter().flat_map(|engine| match &engine.source {
        EngineSource::External(external) => external
            .api_key_secret_ref
            .iter()
            .cloned()
            .collect::<Vec<_>>(),
        EngineSource::Deployed(deployment) => deployment
            .extra_env
            .iter()
            .filter_map(|variable| variable.secret_key_ref.clone())
            .collect(),
        EngineSource::Simulated(_) => Vec::new(),
    });
    secrets
        .enumerate()
        .map(|(index, secret)| {
            secret_env(&format!("BAKEOFF_CHECKED_SECRET_{index}"), &secret, false)
        })
        .collect()
}
