//! Runs the batch in time: one task that sleeps until the next step is due.

use std::time::Duration;

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until},
};

use super::{
    batch::{Batch, BatchSettings},
    config::SimulatorConfig,
    metrics::{Load, Metrics},
};
use crate::clock::{self, Nanos};

/// Way into the batch; clones lead to the same one. The batch ends with the last of them.
#[derive(Clone, Debug)]
pub struct Scheduler(UnboundedSender<Request>);

/// What the batch must know of a request.
#[derive(Debug)]
struct Request {
    owner: Owner,
    input_tokens: u32,
    output_tokens: u32,
}

#[derive(Debug)]
struct Owner {
    tokens: UnboundedSender<u32>,
    at_limit: bool,
}

impl Scheduler {
    /// Starts an idle engine. Needs a tokio runtime.
    pub fn start(config: &SimulatorConfig, metrics: Metrics) -> Self {
        let (requests, arrivals) = unbounded_channel();
        let settings = BatchSettings {
            time_to_first_token: clock::span(config.time_to_first_token),
            inter_token_latency: clock::span(config.inter_token_latency),
            max_batch_size: usize::try_from(config.max_batch_size).unwrap_or(usize::MAX),
            batch_slowdown: config.batch_slowdown,
        };
        tokio::spawn(run(settings, metrics, arrivals));
        Self(requests)
    }

    /// Queues a request; its tokens come by their index. To drop the receiver is to cancel it.
    pub fn submit(
        &self,
        input_tokens: u32,
        output_tokens: u32,
        at_limit: bool,
    ) -> UnboundedReceiver<u32> {
        let (tokens, receiver) = unbounded_channel();
        // Without a batch the receiver sees the end at once.
        _ = self.0.send(Request {
            owner: Owner { tokens, at_limit },
            input_tokens,
            output_tokens,
        });
        receiver
    }
}

async fn run(settings: BatchSettings, metrics: Metrics, mut arrivals: UnboundedReceiver<Request>) {
    let started = Instant::now();
    let now = || -> Nanos { clock::span(started.elapsed()) };
    let mut batch = Batch::new(settings);
    loop {
        let due = batch.next();
        let wake = started + Duration::from_nanos(due.unwrap_or_default());
        tokio::select! {
            biased;
            arrival = arrivals.recv() => match arrival {
                Some(request) => batch.arrive(
                    now(),
                    request.owner,
                    request.input_tokens,
                    request.output_tokens,
                ),
                None => return,
            },
            () = sleep_until(wake), if due.is_some() => {
                batch.forget(now(), |owner| owner.tokens.is_closed());
                while batch.next().is_some_and(|due| due <= now()) {
                    step(&mut batch, &metrics);
                    // The connections write this step before the next one is made.
                    tokio::task::yield_now().await;
                }
            }
        }
        metrics.load(Load {
            running: batch.running(),
            waiting: batch.waiting(),
            kept_tokens: batch.kept_tokens(),
        });
    }
}

fn step(batch: &mut Batch<Owner>, metrics: &Metrics) {
    let step = batch.step(|sequence, at| {
        metrics.token(sequence, at, sequence.owner.at_limit);
        sequence.owner.tokens.send(sequence.made - 1).is_ok()
    });
    if let Some(step) = step {
        metrics.step(step);
    }
}
