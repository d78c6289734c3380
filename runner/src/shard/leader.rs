//! Shard 0: gives the others their orders.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use bakeoff_crds::summary::{Failure, reason};
use tokio::sync::watch;

use super::{
    board::{Board, Standing},
    message::{Answer, Ask, PATH, Question, Reply, Step},
};
use crate::{
    clock::{self, Nanos},
    drive::Gate,
    measure::{MeasureError, Progress, stopped},
};

/// How long a question may be kept until there is something to answer.
const KEEP: Duration = Duration::from_secs(2);
/// Between two looks at what only time changes.
const LOOK: Duration = Duration::from_millis(200);
/// How long the others are waited for where this shard was told to stop.
const STOPPING: Nanos = 5 * clock::SECOND;
/// How long it may take until all know that nothing comes any more.
const DISMISS_WITHIN: Nanos = 10 * clock::SECOND;

/// Shard 0 towards the others.
pub struct Leader {
    board: Mutex<Board>,
    changed: watch::Sender<()>,
    token: String,
    of: u32,
    process: u64,
    /// How long a shard may give no sign of life until it is given up.
    patience: Nanos,
    progress: Arc<Progress>,
}

impl Leader {
    /// The leader of `of` shards that were all given this token.
    pub fn new(token: String, of: u32, patience: Duration, progress: Arc<Progress>) -> Self {
        Self {
            board: Mutex::new(Board::new(of, clock::now())),
            changed: watch::Sender::new(()),
            token,
            of,
            process: rand::random(),
            patience: clock::span(patience),
            progress,
        }
    }

    /// How many shards there are, this one included.
    pub fn of(&self) -> u32 {
        self.of
    }

    /// Where the others ask.
    pub fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route(PATH, post(answer))
            .with_state(Arc::clone(self))
    }

    /// Waits until all shards are there and wait for the next step.
    ///
    /// # Errors
    /// `ShardLost` where one gives no sign of life for too long; `Aborted` where this one was told
    /// to stop.
    pub async fn gather(&self) -> Result<(), MeasureError> {
        loop {
            let mut changed = self.changed.subscribe();
            let now = clock::now();
            match self.board().gathered(self.patience, now) {
                Standing::All => return Ok(()),
                Standing::Without(missing) => return Err(self.given_up(&missing)),
                Standing::Waiting => {}
            }
            if self.progress.control().is_cancelled() {
                return Err(stopped());
            }
            self.look_again(&mut changed).await;
        }
    }

    /// Tells all of the next step, whose number comes back.
    pub fn announce(&self, step: Step) -> u64 {
        let number = self.board().announce(step, clock::now());
        self.note_change();
        number
    }

    /// Holds this shard's own part of the step back until all are ready. To be made within the
    /// runtime, and asked from a thread outside of it.
    pub fn gate(self: &Arc<Self>) -> Gate {
        let (leader, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        Arc::new(move || runtime.block_on(leader.begin()))
    }

    async fn begin(&self) -> Option<Nanos> {
        loop {
            let mut changed = self.changed.subscribe();
            if self.progress.control().is_cancelled() {
                self.board().call_off();
                self.note_change();
                return None;
            }
            let begun = self.board().begin(clock::now());
            match begun {
                Some(Ok(at)) => {
                    self.note_change();
                    return Some(at);
                }
                Some(Err(missing)) => {
                    tracing::warn!(shards = ?missing, "not ready; the stage does not begin");
                    self.note_change();
                    return None;
                }
                None => self.look_again(&mut changed).await,
            }
        }
    }

    /// Waits until all have driven their parts, or cannot any more.
    pub async fn wait_ended(&self) {
        self.wait_for("driven", |board, now| board.ended(now)).await;
    }

    /// Waits until all have stored their parts, or cannot any more. Whether all have.
    pub async fn wait_stored(&self) -> bool {
        self.wait_for("stored", |board, now| board.stored(now))
            .await
    }

    async fn wait_for(&self, what: &str, standing: impl Fn(&Board, Nanos) -> Standing) -> bool {
        let mut stopping = None;
        loop {
            let mut changed = self.changed.subscribe();
            let now = clock::now();
            match standing(&self.board(), now) {
                Standing::All => return true,
                Standing::Without(missing) => {
                    tracing::warn!(shards = ?missing, "lost; their parts of the stage are not {what}");
                    return false;
                }
                Standing::Waiting => {}
            }
            if self.progress.control().is_cancelled()
                && now >= *stopping.get_or_insert(now + STOPPING)
            {
                return false;
            }
            self.look_again(&mut changed).await;
        }
    }

    /// A shard has ended, whatever it said.
    pub fn is_gone(&self, index: u32) {
        self.board().is_gone(index);
        self.note_change();
    }

    /// Sends the others home, with the failure that ended the round, if any.
    pub async fn dismiss(&self, failure: Option<Failure>) {
        self.board().end(failure);
        self.note_change();
        let until = clock::now() + DISMISS_WITHIN;
        loop {
            let mut changed = self.changed.subscribe();
            let now = clock::now();
            if self.board().is_dismissed(now) || now > until {
                return;
            }
            self.look_again(&mut changed).await;
        }
    }

    fn given_up(&self, missing: &[u32]) -> MeasureError {
        let shards: Vec<String> = missing.iter().map(u32::to_string).collect();
        MeasureError::new(
            reason::SHARD_LOST,
            format!(
                "shard {} of {} gave no sign of life for {:.0} s; what the others measured is stored. \
                 Look at the runner pods' events and resources",
                shards.join(", "),
                self.of,
                clock::seconds(self.patience)
            ),
        )
    }

    async fn look_again(&self, changed: &mut watch::Receiver<()>) {
        // Either way there may be news.
        let _ = tokio::time::timeout(LOOK, changed.changed()).await;
    }

    fn note_change(&self) {
        self.changed.send_replace(());
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // A panic elsewhere leaves a board of plain values.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a question, and keeps it for a moment where there is nothing to say yet.
    async fn answer(&self, question: &Question) -> Answer {
        let until = clock::now() + clock::span(KEEP);
        let mut is_news = !matches!(question.ask, Ask::Clock | Ask::Beat { .. });
        loop {
            let mut changed = self.changed.subscribe();
            let now = clock::now();
            let (answer, others, missing) = {
                let mut board = self.board();
                let answer = board.answer(question.index, question.process, &question.ask, now);
                (answer, board.requests(), board.missing(now))
            };
            self.progress.others(others, missing);
            let is_kept = matches!(question.ask, Ask::Next { .. } | Ask::Ready { .. })
                && answer == Answer::Wait
                && now < until;
            if std::mem::take(&mut is_news) {
                self.note_change();
                changed.mark_unchanged();
            }
            if !is_kept {
                return answer;
            }
            self.look_again(&mut changed).await;
        }
    }
}

async fn answer(State(leader): State<Arc<Leader>>, Json(question): Json<Question>) -> Response {
    if question.token != leader.token {
        let message = "a pod of another Job; the token is another";
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    if question.of != leader.of || !(1..leader.of).contains(&question.index) {
        let message = format!(
            "no shard {} of {} here, but 1 to {} of {}",
            question.index,
            question.of,
            leader.of.saturating_sub(1),
            leader.of
        );
        return (StatusCode::CONFLICT, message).into_response();
    }
    let received = clock::now();
    let mut answer = leader.answer(&question).await;
    if let Answer::Clock { .. } = answer {
        answer = Answer::Clock {
            received,
            returned: clock::now(),
        };
    }
    Json(Reply {
        leader: leader.process,
        answer,
    })
    .into_response()
}
