//! Shards 1 and on: do what shard 0 says.

use std::{sync::Arc, time::Duration};

use bakeoff_crds::summary::{Failure, reason};
use tokio::task::JoinHandle;

use super::{
    board::BEAT_EVERY,
    message::{Answer, Ask, PATH, Question, Reply, Step},
    offset::{Offset, RoundTrip},
};
use crate::{
    clock::{self, Nanos},
    drive::{Gate, Share},
    measure::{MeasureError, Progress, stopped},
    store::{backend::install_crypto_provider, fetch::causes},
};

/// Longest wait for one answer; questions are kept for less.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after shard 0 could not be reached.
const PAUSE: Duration = Duration::from_millis(500);
/// Round trips of one comparison of clocks: the quickest counts.
const ROUND_TRIPS: usize = 12;
/// Without an answer for so long, shard 0 counts as gone.
const GONE_AFTER: Nanos = 15 * clock::SECOND;

/// One of the shards that follow shard 0. Cheap to clone.
#[derive(Clone)]
pub struct Follower {
    http: reqwest::Client,
    address: String,
    token: String,
    share: Share,
    process: u64,
    patience: Duration,
    progress: Arc<Progress>,
}

/// What comes next for a follower.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// A stage.
    Step(Step),
    /// Nothing; a failure where shard 0 has one.
    End(Option<Failure>),
    /// Shard 0 is gone, or another process than the one that was joined.
    LeaderGone,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("shard 0 refuses this one: {0}")]
    Refused(String),
    #[error("shard 0 cannot be reached: {0}")]
    Unreachable(String),
}

impl Follower {
    /// The shard that takes this part and follows the one at `url`. It waits for `patience` where that one
    /// is not there.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(
        url: &str,
        token: String,
        share: Share,
        patience: Duration,
        progress: Arc<Progress>,
    ) -> Result<Self, reqwest::Error> {
        install_crypto_provider();
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            // Pod addresses are not for a proxy.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            address: format!("{}{PATH}", url.trim_end_matches('/')),
            token,
            share,
            process: rand::random(),
            patience,
            progress,
        })
    }

    /// Which part of the load it takes.
    pub fn share(&self) -> Share {
        self.share
    }

    async fn ask(&self, ask: Ask) -> Result<Reply, NoAnswer> {
        let question = Question {
            token: self.token.clone(),
            index: self.share.index,
            of: self.share.of,
            process: self.process,
            ask,
        };
        let unreachable = |error: reqwest::Error| NoAnswer::Unreachable(causes(&error));
        let answer = self
            .http
            .post(&self.address)
            .json(&question)
            .send()
            .await
            .map_err(unreachable)?;
        let status = answer.status();
        if status.is_client_error() {
            let text = answer.text().await.unwrap_or_default();
            return Err(NoAnswer::Refused(text));
        }
        let answer = answer.error_for_status().map_err(unreachable)?;
        answer.json().await.map_err(unreachable)
    }

    /// Joins shard 0, as soon as it is there. Returns its process.
    ///
    /// # Errors
    /// `ShardLost` where it is not there for too long or refuses; `Aborted` where this one was told
    /// to stop.
    pub async fn join(&self) -> Result<u64, MeasureError> {
        let give_up = clock::now() + clock::span(self.patience);
        loop {
            let lost = match self.ask(Ask::Join).await {
                Ok(reply) => return Ok(reply.leader),
                Err(error @ NoAnswer::Refused(_)) => return Err(lost(error.to_string())),
                Err(error @ NoAnswer::Unreachable(_)) => error,
            };
            if clock::now() > give_up {
                return Err(lost_for(&lost, self.patience));
            }
            self.pause().await?;
        }
    }

    async fn pause(&self) -> Result<(), MeasureError> {
        if self.progress.control().is_cancelled() {
            return Err(stopped());
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// What comes next after the step of this number.
    ///
    /// # Errors
    /// `Aborted` where this one was told to stop.
    pub async fn next(&self, leader: u64, after: u64) -> Result<Next, MeasureError> {
        let mut heard = clock::now();
        loop {
            if self.progress.control().is_cancelled() {
                return Err(stopped());
            }
            match self.ask(Ask::Next { after }).await {
                Ok(reply) if reply.leader != leader => return Ok(Next::LeaderGone),
                Ok(reply) => match reply.answer {
                    Answer::Step(step) => return Ok(Next::Step(step)),
                    Answer::End(failure) => return Ok(Next::End(failure)),
                    _ => heard = clock::now(),
                },
                Err(NoAnswer::Refused(_)) => return Ok(Next::LeaderGone),
                Err(NoAnswer::Unreachable(_)) if clock::now() > heard + GONE_AFTER => {
                    return Ok(Next::LeaderGone);
                }
                Err(NoAnswer::Unreachable(_)) => self.pause().await?,
            }
        }
    }

    /// How far shard 0's clock lies from this one's; `None` where it does not answer.
    pub async fn compare_clocks(&self) -> Option<Offset> {
        let mut trips = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let asked = clock::now();
            let Ok(reply) = self.ask(Ask::Clock).await else {
                break;
            };
            let answered = clock::now();
            if let Answer::Clock { received, returned } = reply.answer {
                trips.push(RoundTrip {
                    asked,
                    received,
                    returned,
                    answered,
                });
            }
        }
        Offset::of(&trips)
    }

    /// Holds this shard's part of a step back until shard 0 names the start. To be made within the
    /// runtime, and asked from a thread outside of it.
    pub fn gate(&self, step: u64, leader: u64, offset: Offset) -> Gate {
        let (follower, runtime) = (self.clone(), tokio::runtime::Handle::current());
        Arc::new(move || {
            let start = runtime.block_on(follower.start(step, leader))?;
            Some(offset.ours(start))
        })
    }

    async fn start(&self, step: u64, leader: u64) -> Option<Nanos> {
        let mut heard = clock::now();
        while !self.progress.control().is_cancelled() {
            match self.ask(Ask::Ready { step }).await {
                Ok(reply) if reply.leader != leader => return None,
                Ok(reply) => match reply.answer {
                    Answer::Start(at) => return Some(at),
                    Answer::NotBegun => return None,
                    _ => heard = clock::now(),
                },
                Err(_) if clock::now() > heard + GONE_AFTER => return None,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        None
    }

    /// Tells shard 0 something. Where it is gone, it will learn of it from the store.
    pub async fn tell(&self, told: Ask) {
        if let Err(error) = self.ask(told).await {
            tracing::warn!(%error, "not told");
        }
    }

    /// Gives signs of life until the handle is dropped or aborted.
    pub fn beat(&self, step: Arc<std::sync::atomic::AtomicU64>) -> Beat {
        let follower = self.clone();
        Beat(tokio::spawn(async move {
            loop {
                let beat = Ask::Beat {
                    step: step.load(std::sync::atomic::Ordering::Relaxed),
                    requests: follower.progress.control().requests_done(),
                };
                // The next one comes soon.
                let _ = follower.ask(beat).await;
                tokio::time::sleep(Duration::from_nanos(BEAT_EVERY)).await;
            }
        }))
    }
}

/// A task that gives signs of life.
pub struct Beat(JoinHandle<()>);

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lost(message: String) -> MeasureError {
    MeasureError::new(reason::SHARD_LOST, message)
}

fn lost_for(error: &NoAnswer, patience: Duration) -> MeasureError {
    lost(format!(
        "{error}; waited for {} s. Look at the events of the runner pod of index 0, and let runner \
         pods reach each other",
        patience.as_secs()
    ))
}
