//! One run brought a step further: observe, decide, make, write the status, publish events, delete.
//! And, between such looks, how far a run is: asked of its own pods, not of the API server.

use bakeoff_crds::{
    plan::PlanSettings,
    run::{BenchmarkRun, BenchmarkRunStatus, status::condition},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::runtime::{controller::Action, reflector::ObjectRef};

use crate::{
    admin::Health,
    apply::Writer,
    backoff::Backoff,
    clock::Clock,
    decide::{APPLY_FAILED, Attention, has_ended},
    error::Error,
    events,
    idle::{Due, IdleRuns, SOON},
    metrics::{Figures, Look, RunKey},
    observe::{Kept, Observer, Step},
    status::conditions,
    watched::Watched,
};

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
    pub backoff: Backoff<ObjectRef<Watched>>,
    /// Runs that need no look.
    pub idle: IdleRuns,
    /// The time that decisions go by.
    pub clock: Clock,
}

impl Context {
    /// A context in which nothing has happened yet.
    pub fn new(observer: Observer, writer: Writer, settings: PlanSettings) -> Self {
        Self {
            observer,
            writer,
            settings,
            health: Health::default(),
            backoff: Backoff::default(),
            idle: IdleRuns::default(),
            clock: Clock::default(),
        }
    }
}

/// Does what is due for a run that its watch shows like this: a look, a word on how far it is, or
/// nothing.
///
/// # Errors
/// Those of [`reconcile`].
pub async fn attend(context: &Context, run: &Watched) -> (Look, Result<Action, Error>) {
    let key = run.key();
    let now = context.clock.now();
    match context.idle.due(&key, &run.version()) {
        Due::Nothing(until) => return (Look::None, Ok(after(until))),
        Due::Tell(kept) => {
            if let Some(action) = tell(context, &key, kept, now).await {
                return (Look::None, Ok(action));
            }
        }
        Due::Look => {}
    }
    let result = reconcile(context, &key.0, &key.1, now).await;
    (Look::Full, result)
}

/// Brings a run one step further, from a fresh look at everything.
///
/// # Errors
/// Where the API server could not be read or written; the run's status says so where it can.
pub async fn reconcile(
    context: &Context,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Result<Action, Error> {
    let key = (namespace.to_owned(), name.to_owned());
    context.idle.begin(&key);
    let Some(fresh) = context.observer.observe(namespace, name, now).await? else {
        context.idle.forget(&key);
        return Ok(Action::await_change());
    };
    let mut step = fresh.decide(&context.settings, now);
    let made = context.writer.make(&step).await;
    let status = match &made {
        Err(error) => retrying(step.before(), step.run(), error, now),
        // Its next word comes by itself, and soon enough.
        Ok(()) if step.is_quiet() && step.tells() && !may_tell(context, &key, &step) => {
            step.before().clone()
        }
        Ok(()) => step.decision().status.clone(),
    };
    context.writer.write_status(&mut step, &status).await?;
    let notices = events::between(step.before(), &status);
    context.writer.publish(step.run(), &notices).await;
    let figures = Figures::new(step.observed(), &status);
    let metrics = &context.health.metrics;
    metrics.saw(key.clone(), step.before(), &status, figures);
    made?;
    // What is destroyed is in the status first: an operator that ends between the two must not take
    // its own deletion for somebody else's.
    if let Err(error) = context.writer.remove(&step).await {
        if !has_ended(&status) {
            let told = retrying(&status, step.run(), &error, now);
            context.writer.write_status(&mut step, &told).await?;
        }
        return Err(error);
    }
    Ok(after(next_look(context, &key, step)))
}

/// When to look again, if nothing is heard before.
fn next_look(context: &Context, key: &RunKey, step: Step) -> Option<std::time::Duration> {
    let decision = step.decision();
    let (attention, deadline) = (decision.attention, decision.requeue);
    if step.is_quiet() {
        return context.idle.rest(key, step.keep(), attention, deadline);
    }
    // What was made or removed is heard of. Should it not be, it is looked for.
    let soon = (attention != Attention::None).then_some(SOON);
    soon.into_iter().chain(deadline).min()
}

/// Whether the words on how far the run is, where they are others, may be written now.
fn may_tell(context: &Context, key: &RunKey, step: &Step) -> bool {
    step.decision().status == *step.before() || context.idle.may_tell(key)
}

/// Asks the pod at work of a run how far it is, and writes that; `None` where the run is to be looked
/// at instead.
async fn tell(
    context: &Context,
    key: &RunKey,
    mut kept: Box<Kept>,
    now: Timestamp,
) -> Option<Action> {
    let heard = context.observer.hear(&kept).await;
    let words = kept.hear(heard, &context.settings, now)?;
    if context.idle.may_tell(key)
        && let Err(error) = context.writer.tell(&mut kept, &words).await
    {
        tracing::debug!(run = key.1, namespace = key.0, %error, "looked at anew");
        return None;
    }
    let status = kept.run().status.clone().unwrap_or_default();
    let figures = Figures::new(kept.observed(), &status);
    let metrics = &context.health.metrics;
    metrics.saw(key.clone(), &status, &status, figures);
    Some(after(context.idle.told(key, kept)))
}

fn after(until: Option<std::time::Duration>) -> Action {
    until.map_or_else(Action::await_change, Action::requeue)
}

/// The status while objects cannot be made or deleted: as before, and why it does not go on. What the decision
/// took for granted has not happened.
fn retrying(
    before: &BenchmarkRunStatus,
    run: &BenchmarkRun,
    error: &Error,
    now: Timestamp,
) -> BenchmarkRunStatus {
    let mut status = before.clone();
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
