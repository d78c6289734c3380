//! Which of the operators acts, and the end of that one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakeoff_e2e::harness::{Namespace, await_condition, freeze_pod, kill_pod};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

use crate::install::{REPLICAS, SYSTEM};

/// The Lease's name: that of the release.
const LEASE: &str = "bakeoff";
/// How long another operator waits for a Lease that is not renewed, by the operator's own constants.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// What comes on top at most: the last renewal may be seen a look later (3 s), the end of the Lease
/// too, and a request may take its whole patience (4 s).
const LATEST: Duration = Duration::from_secs(15 + 3 + 3 + 4);

/// The Lease as it is.
async fn lease(client: &Client) -> Result<LeaseSpec> {
    let leases = Api::<Lease>::namespaced(client.clone(), SYSTEM);
    let lease = leases.get(LEASE).await.context("no Lease")?;
    lease.spec.context("an empty Lease")
}

/// Whether one operator of all says that it acts, and is the one that the Lease names.
pub(crate) async fn one_acts(namespace: &Namespace) -> Result<()> {
    let pods = Api::<Pod>::namespaced(namespace.client.clone(), SYSTEM);
    let mut pods = pods.list(&ListParams::default()).await?.items;
    // Those of the release before go in their own time.
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    ensure!(pods.len() == REPLICAS, "{} operators", pods.len());
    let mut acting = Vec::new();
    for pod in &pods {
        let name = pod.name_any();
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics");
        let metrics = namespace.kubectl.output(&["get", "--raw", &path])?;
        if metrics.lines().any(|line| line == "bakeoff_leader 1") {
            acting.push(name);
        }
    }
    let holder = lease(&namespace.client).await?.holder_identity;
    ensure!(
        acting.iter().eq(holder.iter()),
        "{acting:?} act, the Lease is held by {holder:?}"
    );
    Ok(())
}

/// Ends the operator that acts so that it cannot give its Lease back, and returns once another holds
/// it: not before the Lease has ended, and soon after.
pub(crate) async fn kill_the_one_that_acts(namespace: &Namespace) -> Result<()> {
    let holder = lease(&namespace.client).await?.holder_identity;
    let holder = holder.context("nobody holds the Lease")?;
    let pods = Api::<Pod>::namespaced(namespace.client.clone(), SYSTEM);
    let uid = pods.get(&holder).await?.uid().context("a pod has a UID")?;
    // Frozen first: it must not see the kubelet's SIGTERM, nor be started anew under its old name,
    // by which it would go on at once.
    freeze_pod(&uid)?;
    let last = lease(&namespace.client).await?;
    namespace.kubectl.run(&[
        "--namespace",
        SYSTEM,
        "delete",
        "pod",
        &holder,
        "--force",
        "--grace-period=0",
    ])?;
    kill_pod(&uid)?;
    let is_another = |lease: Option<&Lease>| {
        lease
            .and_then(|lease| lease.spec.as_ref()?.holder_identity.as_ref())
            .is_some_and(|now| !now.is_empty() && *now != holder)
    };
    let leases = Api::<Lease>::namespaced(namespace.client.clone(), SYSTEM);
    let what = "another operator holds the Lease";
    let limit = Duration::from_secs(60);
    let next = await_condition(leases, LEASE, what, limit, is_another)
        .await?
        .and_then(|lease| lease.spec)
        .context("the Lease is gone")?;
    ensure!(
        next.lease_transitions == last.lease_transitions.map(|count| count + 1),
        "from {last:?} to {next:?}"
    );
    let renewed = last.renew_time.context("never renewed")?.0;
    let taken = next.acquire_time.context("never taken")?.0;
    let free = Duration::try_from(taken.duration_since(renewed))?;
    tracing::info!("another operator took over {free:?} after the last renewal");
    ensure!(
        (LEASE_DURATION..=LATEST).contains(&free),
        "another operator took over {free:?} after the last renewal"
    );
    Ok(())
}
