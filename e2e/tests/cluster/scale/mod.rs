//! Many runs at once on many nodes: what they cost the operator, and the API server through it.
//!
//! API server, scheduler and controllers are real, and so is the operator: the program of the image
//! that is installed (or `BAKEOFF_E2E_OPERATOR`), with the arguments and rights of its Deployment, as
//! a process of this machine. Nodes and their pods are kwok's. All its requests go through a proxy
//! that counts them.
//!
//! A small number of runs each time; `BAKEOFF_E2E_SCALE=all` has 1,000, 100 at once, over 500 nodes in 50
//! namespaces, and a number that many, in the same proportions.

// Its figures are its purpose.
#![allow(clippy::print_stdout)]

mod fleet;
mod histogram;
mod kwok;
mod operator;
mod proxy;
mod runs;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};

use self::fleet::Fleet;
use self::kwok::Kwok;
use self::operator::Operator;
use self::proxy::{Calls, Proxy};
use self::runs::Runs;
use crate::install;

/// The operator's own time of a reconciliation, which 99 of 100 keep to, in seconds.
const RECONCILE_P99: f64 = 0.1;
/// How much longer the program of these tests' images takes, which is built without optimisation:
/// a p99 of up to 0.4 s was seen on a busy machine.
const UNOPTIMISED: f64 = 10.0;
/// The most memory that the operator ever holds, in bytes.
const MEMORY: u64 = 64 * 1024 * 1024;
/// Most requests per run, but watches and the Lease, over all runs.
const CALLS_PER_RUN: f64 = 200.0;
/// Longest wait until nothing is under way any more.
const SETTLED: Duration = Duration::from_secs(60);

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Size {
    runs: usize,
    nodes: usize,
    namespaces: usize,
    /// Runs that are unfinished at any moment, but at the end.
    at_once: usize,
    /// How long the operator is watched while nothing changes.
    idle: Duration,
    /// Longest time for all runs.
    limit: Duration,
}

const SMALL: Size = Size {
    runs: 40,
    nodes: 20,
    namespaces: 5,
    at_once: 20,
    idle: Duration::from_secs(25),
    limit: Duration::from_secs(420),
};

impl Size {
    /// What the environment asks for: `all`, or a number of runs, in the same proportions.
    fn from_environment() -> Result<Self> {
        let Ok(asked) = std::env::var("BAKEOFF_E2E_SCALE") else {
            return Ok(SMALL);
        };
        let runs = match &*asked {
            "all" => 1000,
            number => number.parse().unwrap_or_default(),
        };
        ensure!(
            (40..=1000).contains(&runs),
            "BAKEOFF_E2E_SCALE is {asked:?}; `all`, or a number of runs from 40 to 1000"
        );
        Ok(Self {
            runs,
            nodes: runs / 2,
            namespaces: runs / 20,
            at_once: runs / 10,
            idle: Duration::from_secs(60),
            limit: Duration::from_secs(3600),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_at_once_cost_little() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let size = Size::from_environment()?;
    with_namespace(async |namespace| {
        let _alone = crate::turns::alone().await?;
        install::operator(&namespace).await?;
        let program = operator::program(&namespace)?;
        install::scale(&namespace, 0)?;
        let result = played(&namespace, size, &program).await;
        install::scale(&namespace, install::REPLICAS)?;
        result
    })
    .await
}

/// With nodes that are played, which are gone afterwards whatever happens.
async fn played(namespace: &Namespace, size: Size, program: &std::path::Path) -> Result<()> {
    let kwok = Kwok::start(&namespace.layout).await?;
    let fleet = Fleet::of(namespace);
    // Of a test that was killed.
    fleet.remove()?;
    let result = match fleet.make(size).await {
        Ok(()) => measured(namespace, size, program).await,
        Err(error) => Err(error),
    };
    Operator::stop()?;
    // Pods go as kwok lets them go.
    let removed = fleet.remove();
    kwok.stop()?;
    result.and(removed)
}

async fn measured(namespace: &Namespace, size: Size, program: &std::path::Path) -> Result<()> {
    println!("{size:?}, {}", program.display());
    let proxy = Proxy::start(namespace).await?;
    let operator = Operator::start(namespace, program, &proxy)?;
    operator.until_ready().await?;
    let before = proxy.calls();
    let begun = Instant::now();
    let mut runs = Runs::begin(namespace, size).await?;
    let all = async {
        runs.until_all_are_under_load().await?;
        let waiting = idle(&proxy, size).await?;
        println!("while {} runs are under load: {waiting}", size.at_once);
        runs.let_go().await?;
        runs.until_all_have_ended().await?;
        anyhow::Ok(waiting)
    };
    let Ok(waiting) = tokio::time::timeout(size.limit, all).await else {
        bail!("not done after {:?}: {}", size.limit, runs.summary());
    };
    let waiting = waiting?;
    let took = begun.elapsed();
    let ended = idle(&proxy, size).await?;
    println!("once all have ended: {ended}");
    let figures = operator.figures().await?;
    let calls = proxy.calls().since(&before);
    let per_run = calls.of_the_runs() as f64 / size.runs as f64;
    println!("{} runs in {took:.1?}; {figures}", size.runs);
    println!(
        "{per_run:.1} requests per run, {} watches, {} of the Lease",
        calls.watches(),
        calls.lease()
    );
    print!("{}", calls.table(size.runs));
    let mut wrong = Vec::new();
    let mut expect = |is_so: bool, what: String| {
        if !is_so {
            wrong.push(what);
        }
    };
    expect(
        figures.errors == 0,
        format!("{} reconciliations failed", figures.errors),
    );
    let bound = match operator::is_as_shipped() {
        true => RECONCILE_P99,
        false => RECONCILE_P99 * UNOPTIMISED,
    };
    let [_, p99] = figures.own;
    expect(
        p99 < bound,
        format!("p99 of reconciliations is {p99:.3} s, over {bound:.1} s"),
    );
    expect(
        figures.peak_memory < MEMORY,
        format!("{} bytes of memory", figures.peak_memory),
    );
    expect(
        per_run <= CALLS_PER_RUN,
        format!("{per_run:.1} requests per run"),
    );
    expect(
        waiting.of_the_runs() == 0,
        format!("requests while nothing changes: {waiting}"),
    );
    expect(
        ended.of_the_runs() == 0,
        format!("requests when all have ended: {ended}"),
    );
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// What is asked while nothing changes, once nothing is under way.
async fn idle(proxy: &Proxy, size: Size) -> Result<Calls> {
    proxy.until_quiet(SETTLED).await;
    let before = proxy.calls();
    tokio::time::sleep(size.idle).await;
    Ok(proxy.calls().since(&before))
}
