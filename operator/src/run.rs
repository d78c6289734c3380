//! From arguments to a running operator.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bakeoff_crds::{
    plan::{Place, PlanSettings},
    run::BenchmarkRun,
};
use futures::{FutureExt, StreamExt, future::Shared, stream::select_all};
use kube::{Api, Client, api::ListParams};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    admin::{self, Health},
    apply::Writer,
    args::Args,
    controller::{self, Context},
    lease::{Elector, Leadership},
    observe::{
        Observer,
        nodes::{NodeReader, NodeRights},
    },
    progress::ProgressReader,
    requests,
};

/// How long to wait before asking for the CRD again.
const CRD_PAUSE: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Where no cluster is configured or the address cannot be listened on.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let scopes = args.scopes();
    let lease = args.lease();
    let Args {
        runner_image,
        listen,
        namespaces: _,
        read_nodes,
        list_neighbours,
        log_format: _,
        lease_namespace: _,
        lease_name: _,
        pod_name,
    } = args;
    let client = Client::try_default()
        .await
        .context("no cluster: neither a service account nor a kubeconfig was found")?;
    let health = Health::default();
    let client = requests::counted(client, &health.metrics);
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let stop = stop_signal()?;
    let server =
        axum::serve(listener, admin::router(health.clone())).with_graceful_shutdown(stop.clone());
    let (elector, leadership) = match lease {
        Some(lease) => {
            let (elector, leadership) = Elector::new(client.clone(), lease);
            (Some(elector), leadership)
        }
        None => (None, Leadership::always()),
    };
    let nodes = NodeReader::new(
        client.clone(),
        NodeRights {
            nodes: read_nodes,
            neighbours: list_neighbours,
        },
    );
    let observer = Observer::new(client.clone(), ProgressReader::new()?, nodes);
    let writer = Writer::new(client.clone(), pod_name, leadership);
    let settings = PlanSettings {
        runner_image,
        place: Place::Cluster,
    };
    let context = Arc::new(Context {
        health,
        ..Context::new(observer, writer, settings)
    });
    let server = async {
        server
            .await
            .context("the server of /livez, /readyz and /metrics failed")
    };
    let controller = lead(elector, client, scopes, context, stop);
    tokio::try_join!(server, controller)?;
    Ok(())
}

/// Runs the controller: at once where nothing is to be agreed on, else while this is the leader.
///
/// # Errors
/// When the Lease is lost. What was under way then is left to the next leader; the process ends, and
/// comes back as one that waits.
async fn lead(
    elector: Option<Elector>,
    client: Client,
    scopes: Vec<Option<String>>,
    context: Arc<Context>,
    stop: Shared<impl Future<Output = ()> + Send + Sync + 'static>,
) -> anyhow::Result<()> {
    for scope in &scopes {
        tokio::select! {
            () = wait_for_crd(&client, scope.as_deref()) => {}
            () = stop.clone() => return Ok(()),
        }
    }
    // One that waits for its turn is ready too: an update of the Deployment waits for it.
    context.health.set_ready(true);
    let metrics = context.health.metrics.clone();
    let Some(mut elector) = elector else {
        metrics.set_leader(true);
        control(client, scopes, context, stop).await;
        return Ok(());
    };
    tokio::select! {
        () = elector.win() => {}
        () = stop.clone() => return Ok(()),
    }
    tracing::info!("this operator acts");
    metrics.set_leader(true);
    let kept = tokio::select! {
        () = control(client, scopes, context, stop) => Ok(()),
        lost = elector.keep() => lost.map(|never| match never {}),
    };
    metrics.set_leader(false);
    // After the controller is done: the next leader begins at once.
    elector.release().await;
    kept.context("stopping")
}

async fn control(
    client: Client,
    scopes: Vec<Option<String>>,
    context: Arc<Context>,
    stop: Shared<impl Future<Output = ()> + Send + Sync + 'static>,
) {
    tracing::info!(
        ?scopes,
        version = env!("CARGO_PKG_VERSION"),
        "watching benchmark runs"
    );
    let streams = scopes.iter().map(|scope| {
        controller::run(
            client.clone(),
            scope.as_deref(),
            context.clone(),
            stop.clone(),
        )
        .boxed()
    });
    select_all(streams).for_each(|()| async {}).await;
    tracing::info!("stopped");
}

/// Waits until runs can be listed, and says aloud what is missing: a restart would not mend it.
async fn wait_for_crd(client: &Client, namespace: Option<&str>) {
    let runs = match namespace {
        Some(namespace) => Api::<BenchmarkRun>::namespaced(client.clone(), namespace),
        None => Api::<BenchmarkRun>::all(client.clone()),
    };
    // Only whether it may be listed counts here; a malformed run is dealt with later.
    while let Err(error) = runs.list_metadata(&ListParams::default().limit(1)).await {
        match &error {
            kube::Error::Api(status) if status.code == 404 => tracing::error!(
                "the CustomResourceDefinition benchmarkruns.bakeoff.dev is missing; install the chart's CRDs. Waiting"
            ),
            kube::Error::Api(status) if status.code == 403 => tracing::error!(
                %status,
                "no right to list BenchmarkRuns; check the operator's ClusterRole. Waiting"
            ),
            _ => tracing::error!(%error, "the API server cannot be read. Waiting"),
        }
        tokio::time::sleep(CRD_PAUSE).await;
    }
}

fn stop_signal() -> anyhow::Result<Shared<impl Future<Output = ()> + Send + Sync + 'static>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    // A task of its own, so that what waits for it can be shared between threads.
    let waiting = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop; finishing what is under way");
    });
    Ok(waiting.map(|_| ()).shared())
}
