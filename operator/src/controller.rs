//! The story: watch runs, their pods and their Jobs; at each change, and when it is time, do what is due
//! ([`crate::reconcile`]).

use std::{sync::Arc, time::Instant};

use bakeoff_crds::manifests::labels;
use futures::{Stream, StreamExt};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{batch::v1::Job, core::v1::Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{Config, Controller, controller::Action, reflector::ObjectRef, watcher},
};

pub use crate::reconcile::Context;
use crate::{clock, error::Error, idle::Version, reconcile::attend, watched::Watched};

/// Runs reconciled at once.
const CONCURRENCY: u16 = 16;

/// Runs in one answer of a list: their whole specs are read at once, and let go.
const PAGE: u32 = 100;

/// Runs the controller over all namespaces, or over one, until `stop`. It ends when what was under
/// way is done.
pub fn run(
    client: Client,
    namespace: Option<&str>,
    context: Arc<Context>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) -> impl Stream<Item = ()> {
    let ours = watcher::Config::default().labels(&format!(
        "{}={}",
        labels::MANAGED_BY_KEY,
        labels::MANAGED_BY
    ));
    let controller = Controller::new(
        api::<Watched>(&client, namespace),
        watcher::Config::default().page_size(PAGE),
    );
    context.health.count_runs_of(controller.store());
    // What they say is read when their run is looked at; that there is something new is all that is
    // asked for here.
    let pods = api::<PartialObjectMeta<Pod>>(&client, namespace);
    let jobs = api::<PartialObjectMeta<Job>>(&client, namespace);
    let (of_pods, of_jobs, of_end) = (context.clone(), context.clone(), context.clone());
    controller
        .with_config(Config::default().concurrency(CONCURRENCY))
        .watches(pods, ours.clone(), move |pod| heard(&of_pods, &pod))
        .watches(jobs, ours, move |job| heard(&of_jobs, &job))
        .graceful_shutdown_on(stop)
        .run(reconcile_guarded, error_policy, context)
        .map(move |result| {
            if let Err(error) = result {
                take_note(&of_end, &error);
            }
        })
}

async fn reconcile_guarded(run: Arc<Watched>, context: Arc<Context>) -> Result<Action, Error> {
    if let Err(error) = &run.phase {
        let (namespace, name) = run.key();
        tracing::error!(
            run = name,
            namespace,
            error,
            "this run cannot be read, and waits until it is changed; the CRD may be older or newer than the operator"
        );
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    let ((look, result), worked) = clock::at_work(attend(&context, &run)).await;
    let error = result.as_ref().err().map(Error::category);
    let metrics = &context.health.metrics;
    metrics.reconciled(begun.elapsed(), worked, look, error);
    if result.is_ok() {
        context.backoff.succeeded(&ObjectRef::from_obj(&*run));
    }
    result
}

fn error_policy(run: Arc<Watched>, error: &Error, context: Arc<Context>) -> Action {
    let run = ObjectRef::from_obj(&*run);
    let pause = context.backoff.failed(run.clone());
    tracing::warn!(%run, %error, ?pause, "reconciliation failed; trying again");
    Action::requeue(pause)
}

/// The run that a pod or Job belongs to, by its labels; noted as one of which something was heard.
fn heard<K: Resource>(context: &Context, child: &K) -> Option<ObjectRef<Watched>> {
    let name = child.labels().get(labels::RUN)?;
    let namespace = child.namespace()?;
    let run = ObjectRef::new(name).within(&namespace);
    let key = (namespace, name.clone());
    context.idle.heard(&key, Version::of(child.meta()));
    Some(run)
}

fn take_note(context: &Context, error: &kube::runtime::controller::Error<Error, watcher::Error>) {
    use kube::runtime::controller::Error as Queue;
    match error {
        // Logged with its pause.
        Queue::ReconcilerFailed(..) => {}
        // The run has gone, or this is of a child of one that has.
        Queue::ObjectNotFound(run) => {
            let key = (run.namespace.clone().unwrap_or_default(), run.name.clone());
            context.idle.forget(&key);
            let run = ObjectRef::new(&key.1).within(&key.0);
            context.backoff.succeeded(&run);
        }
        Queue::QueueError(error) => tracing::warn!(%error, "a watch failed; it is begun anew"),
        Queue::RunnerError(error) => tracing::error!(%error, "the controller's queue failed"),
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
