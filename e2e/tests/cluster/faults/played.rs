//! The cluster while its pods are played. Tests that run at the same time share it, since they would
//! else wait for each other: no other test runs beside them.

use anyhow::{Context, Result};
use bakeoff_e2e::harness::{Namespace, with_namespace};
use tokio::sync::{Mutex, RwLockWriteGuard};

use super::machine::{Ledger, Machine};
use crate::{install, turns};

/// As long as a test needs it.
static PLAYED: Mutex<Option<Played>> = Mutex::const_new(None);

struct Played {
    users: usize,
    ledger: Ledger,
    machine: Machine,
    _alone: RwLockWriteGuard<'static, ()>,
}

/// Runs a test on a cluster whose pods are played, and where no operator acts but the test's own.
pub(super) async fn without_the_installed_operator(
    test: impl AsyncFnOnce(Ledger) -> Result<()>,
) -> Result<()> {
    with_namespace(async |namespace| {
        let ledger = enter(&namespace).await?;
        let result = test(ledger).await;
        result.and(leave(&namespace).await)
    })
    .await
}

async fn enter(namespace: &Namespace) -> Result<Ledger> {
    let mut played = PLAYED.lock().await;
    if let Some(played) = played.as_mut() {
        played.users += 1;
        return Ok(played.ledger.clone());
    }
    let alone = turns::alone().await?;
    // It brings the CustomResourceDefinitions; but it would take these runs up, too.
    install::operator(namespace).await?;
    install::scale(namespace, 0)?;
    let ledger = Ledger::default();
    *played = Some(Played {
        users: 1,
        ledger: ledger.clone(),
        machine: Machine::start(namespace.layout.clone(), ledger.clone())?,
        _alone: alone,
    });
    Ok(ledger)
}

async fn leave(namespace: &Namespace) -> Result<()> {
    let mut shared = PLAYED.lock().await;
    let mut played = shared.take().context("nobody entered")?;
    played.users -= 1;
    if played.users > 0 {
        *shared = Some(played);
        return Ok(());
    }
    played.machine.stop()?;
    install::scale(namespace, install::REPLICAS)
}
