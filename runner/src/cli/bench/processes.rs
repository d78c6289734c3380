//! `bench --processes`: several processes that act as one client. What they measured goes through a
//! temporary folder.

use std::time::Duration;

use anyhow::Context;
use bakeoff_crds::{
    plan::{Plan, Stage},
    report::StageReport,
};

use crate::{
    cli::shards::{About, Shards},
    drive::Driven,
    measure::{Client, Crew, EngineRound, lead_stage},
    scrape::Target,
    store::{Environment, Store},
    workload::{Frozen, Sources, frozen},
};

/// Drives a stage with as many processes as the plan says.
pub(super) async fn measure(
    client: Client<'_>,
    stage: &Stage,
    (prompts, sources): (&Frozen, &Sources),
) -> anyhow::Result<(StageReport, Driven)> {
    let folder = tempfile::tempdir().context("a folder for what the processes measure")?;
    let plan = plan_in(client.plan, folder.path());
    let environment = Environment::of_process();
    let store = Store::open(&plan.spec.output, &plan.run.folder(), &environment)?;
    frozen::store(&store, prompts, sources).await?;
    let file = frozen::write(&prompts.prompts)?;
    let progress = client.progress.clone();
    let api_key = client.api_key.clone();
    let shards = Shards::start(&About {
        plan: &plan,
        prompts_sha256: &file.sha256,
        threads: client.threads,
        progress: &progress,
        engine: &client.engine.name,
        round: 1,
        url: client.url,
        api_key: api_key.as_deref(),
    })
    .await?;
    let Crew::Leader(leader) = shards.crew.clone() else {
        anyhow::bail!("one process needs no others");
    };
    let round = EngineRound {
        client: Client {
            plan: &plan,
            ..client
        },
        round: 1,
        restart: 0,
        store: &store,
        pods: Target::default(),
        patience: Duration::ZERO,
        crew: shards.crew.clone(),
    };
    let measured = lead_stage(&round, &leader, stage).await;
    shards.finish().await;
    Ok(measured?)
}

/// The same plan, with its results in this folder.
fn plan_in(plan: &Plan, folder: &std::path::Path) -> Plan {
    let mut plan = plan.clone();
    plan.spec.output.uri = format!("file://{}", folder.display());
    plan
}
