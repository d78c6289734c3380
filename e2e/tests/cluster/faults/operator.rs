//! The operator, in this process, so that it can be ended between any two of its writes.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use bakeoff_crds::plan::{Place, PlanSettings};
use bakeoff_operator::apply::Writer;
use bakeoff_operator::controller::{self, Context};
use bakeoff_operator::lease::{Elector, Leadership, LeaseName};
use bakeoff_operator::observe::Observer;
use bakeoff_operator::observe::nodes::{NodeReader, NodeRights};
use bakeoff_operator::progress::ProgressReader;
use futures::StreamExt as _;
use kube::Client;
use tokio::task::JoinHandle;

/// Other cases run on the same node, and are no part of one's truth.
const NOT_NEIGHBOURS: NodeRights = NodeRights {
    nodes: true,
    neighbours: false,
};

/// A life of an operator that is alone, over one namespace. It ends by [`JoinHandle::abort`].
pub(super) fn alone(client: Client, namespace: String) -> JoinHandle<Result<Infallible>> {
    tokio::spawn(control(
        client,
        namespace,
        Leadership::always(),
        NOT_NEIGHBOURS,
    ))
}

/// A life of one of several operators, of which one acts.
pub(super) fn one_of_several(
    client: Client,
    namespace: String,
    identity: &str,
) -> JoinHandle<Result<Infallible>> {
    let lease = LeaseName {
        namespace: namespace.clone(),
        name: "bakeoff".into(),
        identity: identity.into(),
    };
    with_lease(client, lease, NOT_NEIGHBOURS)
}

/// A life of an operator that acts while it holds this Lease, in whose namespace the runs are.
pub(super) fn with_lease(
    client: Client,
    lease: LeaseName,
    rights: NodeRights,
) -> JoinHandle<Result<Infallible>> {
    let namespace = lease.namespace.clone();
    tokio::spawn(async move {
        let (mut elector, leadership) = Elector::new(client.clone(), lease);
        elector.win().await;
        tokio::select! {
            ended = control(client, namespace, leadership, rights) => ended,
            lost = elector.keep() => Ok(lost?),
        }
    })
}

async fn control(
    client: Client,
    namespace: String,
    leadership: Leadership,
    rights: NodeRights,
) -> Result<Infallible> {
    let context = Context::new(
        Observer::new(
            client.clone(),
            ProgressReader::new()?,
            NodeReader::new(client.clone(), rights),
        ),
        Writer::new(client.clone(), None, leadership),
        PlanSettings {
            runner_image: "registry.test/bakeoff:1".into(),
            place: Place::Cluster,
        },
    );
    controller::run(
        client,
        Some(&namespace),
        Arc::new(context),
        std::future::pending(),
    )
    .for_each(|()| async {})
    .await;
    anyhow::bail!("the controller ended by itself")
}
