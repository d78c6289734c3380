//! One run from its application to its end, with one thing that goes wrong on the way.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::run::BenchmarkRun;
use bakeoff_crds::run::status::condition;
use bakeoff_e2e::harness::{Namespace, await_condition};

use super::end::{End, difference, look};
use super::fate::Fate;
use super::machine::Ledger;
use super::operator;
use super::wire::{Disturbance, Wire};

const RUN: &str = include_str!("run.yaml");
/// Longest wait for the end of a run: several times what it takes undisturbed.
const RUN_LIMIT: Duration = Duration::from_secs(150);
/// Longest wait until nothing is left but what an undisturbed run leaves.
const REST_LIMIT: Duration = Duration::from_secs(30);
/// Time between two looks at what several kinds of objects have come to.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// Which run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Story {
    /// Three engines, all well.
    Success,
    /// The second engine meets this.
    Fails(&'static Fate),
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Fails(fate) => write!(f, "failure by {}", fate.engine),
        }
    }
}

/// What came of a case.
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) wire: Wire,
}

/// Runs a story to its end. `expected` is what an undisturbed one leaves; what is left here is
/// waited for to become the same.
pub(super) async fn run(
    namespace: &Namespace,
    ledger: &Ledger,
    story: Story,
    disturbance: Disturbance,
    expected: Option<&End>,
) -> Result<Outcome> {
    let wire = Wire::new(namespace.client.clone(), disturbance);
    let middle = match story {
        Story::Success => "beta",
        Story::Fails(fate) => fate.engine,
    };
    namespace.apply(&RUN.replace("MIDDLE", middle))?;
    let end = async {
        await_end(namespace).await?;
        wire.let_go();
        rest(namespace, ledger, expected).await
    };
    let end = tokio::select! {
        end = end => end,
        error = operate(namespace, &wire, disturbance) => Err(error),
    };
    let end = end.with_context(|| format!("{story} with {disturbance:?}"))?;
    Ok(Outcome { end, wire })
}

/// Operators, one life after another; two at once where one is to stand still. Returns only when
/// one ends that should not have.
async fn operate(namespace: &Namespace, wire: &Wire, disturbance: Disturbance) -> anyhow::Error {
    let name = &namespace.name;
    let over_wire = wire.client(name);
    let mut lives = match disturbance {
        Disturbance::Paused(_) => {
            let first = operator::one_of_several(over_wire.clone(), name.clone(), "first");
            wire.strike().await;
            let second = operator::one_of_several(namespace.client.clone(), name.clone(), "second");
            // The first may end once it sees that it does not lead any more.
            let _first = AbortOnDrop(first);
            let mut second = AbortOnDrop(second);
            return unexpected((&mut second.0).await);
        }
        _ => AbortOnDrop(operator::alone(over_wire.clone(), name.clone())),
    };
    loop {
        tokio::select! {
            ended = &mut lives.0 => return unexpected(ended),
            () = wire.strike() => {}
        }
        if matches!(
            disturbance,
            Disturbance::KilledBefore(_) | Disturbance::KilledAfter(_)
        ) {
            lives = AbortOnDrop(operator::alone(over_wire.clone(), name.clone()));
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn unexpected(
    ended: Result<Result<std::convert::Infallible>, tokio::task::JoinError>,
) -> anyhow::Error {
    match ended {
        Ok(Ok(never)) => match never {},
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}

async fn await_end(namespace: &Namespace) -> Result<()> {
    let is_over = |run: Option<&BenchmarkRun>| {
        let conditions = run
            .and_then(|run| run.status.as_ref())
            .map(|status| &status.conditions);
        conditions.is_some_and(|conditions| {
            conditions.iter().any(|found| {
                found.status == "True"
                    && [condition::COMPLETE, condition::FAILED].contains(&&*found.type_)
            })
        })
    };
    await_condition(
        namespace.api::<BenchmarkRun>(),
        "played",
        "it ends",
        RUN_LIMIT,
        is_over,
    )
    .await
    .with_context(|| {
        let run = namespace.kubectl(&["get", "benchmarkrun", "played", "-o", "yaml"]);
        run.unwrap_or_else(|error| format!("{error:#}"))
    })?;
    Ok(())
}

/// Waits until what is left is what is expected; for a run that nothing is known of yet, until it
/// holds nothing.
async fn rest(namespace: &Namespace, ledger: &Ledger, expected: Option<&End>) -> Result<End> {
    let deadline = tokio::time::Instant::now() + REST_LIMIT;
    loop {
        let end = look(namespace, ledger.of(&namespace.name)).await?;
        let wrong = match expected {
            Some(expected) => difference(expected, &end),
            None => end.held().join(", "),
        };
        if wrong.is_empty() {
            return Ok(end);
        }
        ensure!(tokio::time::Instant::now() < deadline, "{wrong}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
