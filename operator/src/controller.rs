//! The story: watch runs, their pods and their Jobs; at each change observe, decide, make, write the
//! status, publish events, delete.

use std::{sync::Arc, time::Instant};

use bakeoff_crds::{
    manifests::labels,
    plan::PlanSettings,
    run::{BenchmarkRun, BenchmarkRunStatus, status::condition},
};
use futures::{Stream, StreamExt};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{Config, Controller, controller::Action, reflector::ObjectRef, watcher},
};

use crate::{
    admin::Health,
    apply::Writer,
    backoff::Backoff,
    clock,
    decide::{APPLY_FAILED, decide, has_ended},
    error::Error,
    events,
    metrics::Figures,
    observe::Observer,
    status::conditions,
};

/// Runs reconciled at once.
const CONCURRENCY: u16 = 16;

/// A run as it comes from a watch: one that cannot be read must not stop the others.
type Guarded = DeserializeGuard<BenchmarkRun>;

/// What every reconciliation needs.
pub struct Context {
    /// Reads the cluster.
    pub observer: Observer,
    /// Writes to the cluster.
    pub writer: Writer,
    /// What planning needs beside the run.
    pub settings: PlanSettings,
    /// Health and metrics.
    pub health: Health,
    /// Failures in a row.
    pub backoff: Backoff<ObjectRef<Guarded>>,
}

/// Brings a run one step further.
///
/// # Errors
/// Where the API server could not be read or written; the run's status says so where it can.
pub async fn reconcile(
    context: &Context,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Result<Action, Error> {
    let Some((run, observed)) = context.observer.observe(namespace, name, now).await? else {
        return Ok(Action::await_change());
    };
    let decision = decide(&run, &observed, &context.settings, now);
    let made = context.writer.make(&run, &decision).await;
    let status = match &made {
        Ok(()) => decision.status.clone(),
        Err(error) => retrying(&run, error, now),
    };
    let before = run.status.clone().unwrap_or_default();
    let run = context.writer.write_status(&run, &status).await?;
    context
        .writer
        .publish(&run, &events::between(&before, &status))
        .await;
    let key = (namespace.to_owned(), name.to_owned());
    let figures = Figures::new(&observed, &status);
    context.health.metrics.saw(key, &before, &status, figures);
    made?;
    // What is destroyed is in the status first: an operator that ends between the two must not take
    // its own deletion for somebody else's.
    if let Err(error) = context.writer.remove(&run, &decision).await {
        if !has_ended(&status) {
            let told = retrying(&run, &error, now);
            context.writer.write_status(&run, &told).await?;
        }
        return Err(error);
    }
    Ok(decision
        .requeue
        .map_or_else(Action::await_change, Action::requeue))
}

/// The status while objects cannot be made or deleted: as before, and why it does not go on. What the decision
/// took for granted has not happened.
fn retrying(run: &BenchmarkRun, error: &Error, now: Timestamp) -> BenchmarkRunStatus {
    let mut status = run.status.clone().unwrap_or_default();
    status.start_time.get_or_insert(Time(now));
    let message = format!("{error}; trying again");
    let set = &mut status.conditions;
    conditions::set(
        set,
        condition::PROGRESSING,
        true,
        APPLY_FAILED,
        &message,
        now,
    );
    conditions::observe_generation(set, run.metadata.generation);
    status
}

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
        api::<Guarded>(&client, namespace),
        watcher::Config::default(),
    );
    context.health.count_runs_of(controller.store());
    controller
        .with_config(Config::default().concurrency(CONCURRENCY))
        .watches(api::<Pod>(&client, namespace), ours.clone(), |pod| {
            run_of(&pod)
        })
        .watches(api::<Job>(&client, namespace), ours, |job| run_of(&job))
        .graceful_shutdown_on(stop)
        .run(reconcile_guarded, error_policy, context)
        .map(|result| {
            if let Err(error) = result {
                log_queue_error(&error);
            }
        })
}

async fn reconcile_guarded(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let run = match &guarded.0 {
        Ok(run) => run,
        Err(invalid) => {
            tracing::error!(
                run = invalid.metadata.name,
                namespace = invalid.metadata.namespace,
                error = invalid.error,
                "this run cannot be read, and waits until it is changed; the CRD may be older or newer than the operator"
            );
            return Ok(Action::await_change());
        }
    };
    let (namespace, name) = (run.namespace().unwrap_or_default(), run.name_any());
    let begun = Instant::now();
    let result = reconcile(&context, &namespace, &name, clock::now()).await;
    let error = result.as_ref().err().map(Error::category);
    context.health.metrics.reconciled(begun.elapsed(), error);
    if result.is_ok() {
        context.backoff.succeeded(&ObjectRef::from_obj(&*guarded));
    }
    result
}

fn error_policy(guarded: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let run = ObjectRef::from_obj(&*guarded);
    let pause = context.backoff.failed(run.clone());
    tracing::warn!(%run, %error, ?pause, "reconciliation failed; trying again");
    Action::requeue(pause)
}

/// The run that a pod or Job belongs to, by its labels.
fn run_of<K: Resource>(child: &K) -> Option<ObjectRef<Guarded>> {
    let name = child.labels().get(labels::RUN)?;
    let namespace = child.namespace()?;
    Some(ObjectRef::new(name).within(&namespace))
}

fn log_queue_error(error: &kube::runtime::controller::Error<Error, watcher::Error>) {
    use kube::runtime::controller::Error as Queue;
    match error {
        // Logged with its pause, or about a child whose run has just gone.
        Queue::ReconcilerFailed(..) | Queue::ObjectNotFound(_) => {}
        Queue::QueueError(error) => tracing::warn!(%error, "a watch failed; it is begun anew"),
        Queue::RunnerError(error) => tracing::error!(%error, "the controller's queue failed"),
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
