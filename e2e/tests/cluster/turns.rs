//! Which tests run beside others: one that measures, or that holds something to a time, runs alone, on
//! a machine of two cores. Every test that uses the cluster holds one of the two.

use std::time::Duration;

use anyhow::{Result, ensure};
use bakeoff_e2e::settings::Layout;
use bakeoff_e2e::{kubectl::Kubectl, wait};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Held by a test that may run beside others.
pub(crate) async fn beside() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Held by a test that must run alone. Waits for what earlier tests left to be taken away, too.
pub(crate) async fn alone() -> Result<RwLockWriteGuard<'static, ()>> {
    let guard = MACHINE.write().await;
    let kubectl = Kubectl::new(&Layout::from_env()?);
    wait::until(
        "the namespaces of earlier tests are gone",
        Duration::from_secs(180),
        || {
            let terminating = [
                "get",
                "namespaces",
                "--field-selector=status.phase=Terminating",
            ];
            let left = kubectl.output(&[&terminating[..], &["--output=name"]].concat())?;
            ensure!(left.trim().is_empty(), "{left}");
            Ok(())
        },
    )?;
    Ok(guard)
}
