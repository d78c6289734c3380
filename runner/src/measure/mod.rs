//! One engine in one round: checked, warmed up, driven stage by stage, each stored as soon as it has
//! ended. What a pod of the cluster and `bakeoff run` both do.

mod check;
mod paths;
mod progress;
mod resume;
mod stage;
mod summary;
mod turns;

use std::{sync::Arc, time::Duration};

use bakeoff_crds::{
    plan::{Plan, PlannedEngine, Stage, StageEnd, search::NextStage},
    report::StageReport,
    run::{Calibration as Wanted, History},
    summary::{Failure, Summary, reason},
};
use rustls::ClientConfig;

pub use paths::{BEGUN, REQUESTS, STAGE, attempt_folder, round_folder};
pub use progress::{Progress, Snapshot};
pub use summary::{fit, summarize};

use turns::{Answers, Writer};

use crate::{
    answer::Expected,
    calibrate::{self, Calibration},
    clock::{self, Nanos},
    drive::{self, DriveError, Script, Share, StageInput, vitals},
    prompt::Prompt,
    protocol::{Codec, RequestOptions},
    scrape::{Prometheus, Scraper, Target as ScrapeTarget, metrics_url},
    store::{Store, StoreError},
    wire::{request::RequestHead, target::Target},
    workload::{names, tokens::TokenCounter},
};

/// Between two looks at whether to stop, while nothing is sent.
const LOOK_FOR_STOP: Duration = Duration::from_millis(100);

/// What one engine is loaded with.
pub struct Client<'a> {
    /// The run.
    pub plan: &'a Plan,
    /// The engine.
    pub engine: &'a PlannedEngine,
    /// Root of the engine's server.
    pub url: &'a str,
    /// The frozen prompts.
    pub prompts: &'a [Prompt],
    /// Counts the answers' tokens after each stage, where the model's tokenizer is at hand.
    pub tokenizer: Option<Arc<TokenCounter>>,
    /// Key of a paid endpoint.
    pub api_key: Option<String>,
    /// Further header fields of every request.
    pub headers: Vec<(String, String)>,
    /// TLS settings for https.
    pub tls: Arc<ClientConfig>,
    /// Event loops of the load path.
    pub threads: usize,
    /// Where others see how far it is, and from where it is told to stop.
    pub progress: Arc<Progress>,
}

/// One engine in one round of a run.
pub struct EngineRound<'a> {
    /// What it is loaded with.
    pub client: Client<'a>,
    /// Round, from 1.
    pub round: u32,
    /// How often the round has begun anew on another node. Stages of an earlier time are driven
    /// again, as further attempts.
    pub restart: u32,
    /// The run's folder.
    pub store: &'a Store,
    /// The engine's pod, for Prometheus.
    pub pod: ScrapeTarget,
    /// How long the engine may take to answer at all.
    pub patience: Duration,
}

/// Why a round ended early. What was measured until then is in the store.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MeasureError {
    /// One word of `bakeoff_crds::summary::reason`.
    pub reason: &'static str,
    /// What happened and what to do.
    pub message: String,
    /// Whether a further try may go through.
    pub may_pass: bool,
}

impl MeasureError {
    /// An error that would come again.
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            may_pass: false,
        }
    }

    /// The same, where a further try may go through.
    pub(crate) fn that_may_pass(self) -> Self {
        Self {
            may_pass: true,
            ..self
        }
    }

    /// As a termination message says it.
    pub fn failure(&self) -> Failure {
        Failure {
            reason: self.reason.into(),
            message: self.message.clone(),
            may_pass: self.may_pass,
        }
    }
}

impl From<StoreError> for MeasureError {
    fn from(error: StoreError) -> Self {
        Self {
            may_pass: error.may_pass(),
            ..Self::new(reason::UPLOAD_FAILED, error.to_string())
        }
    }
}

impl From<DriveError> for MeasureError {
    fn from(error: DriveError) -> Self {
        let may_pass = match &error {
            DriveError::System(_) | DriveError::Panicked | DriveError::NotBegun => true,
            DriveError::NoPrompts | DriveError::Load(_) | DriveError::TlsName(_) => false,
        };
        Self {
            may_pass,
            ..Self::new(reason::RUNNER_CRASHED, error.to_string())
        }
    }
}

/// What a round gave.
#[derive(Debug, Default)]
pub struct RoundResult {
    /// Every stage of the round that is done, also those of an earlier pod.
    pub stages: Vec<StageReport>,
    /// Version that the engine tells of itself.
    pub engine_version: Option<String>,
    /// Why it ended early.
    pub error: Option<MeasureError>,
}

impl RoundResult {
    /// As a runner sums it up.
    pub fn summary(&self, plan: &Plan) -> Summary {
        let planned = plan.stages_in_round(&self.stages);
        summarize(&self.stages, planned, self.engine_version.clone())
    }
}

/// Measures one engine for one round. Stages that are stored already are not driven again.
pub async fn measure_engine(round: &EngineRound<'_>) -> RoundResult {
    let mut result = RoundResult::default();
    if let Err(error) = measure(round, &mut result).await {
        result.error = Some(error);
    }
    result
}

async fn measure(round: &EngineRound<'_>, result: &mut RoundResult) -> Result<(), MeasureError> {
    let client = &round.client;
    let (plan, progress) = (client.plan, &client.progress);
    let mut earlier = resume::earlier(round).await?;
    result.stages.extend(earlier.take_done());
    progress.begin(
        result.stages.len() as u32,
        plan.stages_in_round(&result.stages),
    );
    let repetitions = 1..=plan.spec.workload.repetitions;
    let is_over = |repetition| next_stage(plan, &result.stages, repetition).is_none();
    if repetitions.clone().all(is_over) {
        return Ok(());
    }
    let mut load = Load::prepare(client)?;
    let api_key = client.api_key.as_deref();
    let engine = check::Engine::new(client.url, api_key, round.patience, progress)?;
    engine.check_model(client.engine).await?;
    result.engine_version = engine.version(client.engine).await;
    load.try_once(client).await?;
    load.calibrate(client).await;
    load.warm_up(client).await?;
    let scraping = Scraping::start(client);
    let mut requests_before = 0;
    for repetition in repetitions {
        while let Some(next) = next_stage(plan, &result.stages, repetition) {
            if !result.stages.is_empty() {
                rest(plan, progress).await;
            }
            if progress.control().is_cancelled() {
                return Err(stopped());
            }
            // One that ran to its end is among the stages, so it is not the next one.
            let attempt = earlier.next_attempt(repetition, &next.stage.name);
            progress.stage(repetition, &next.stage.name);
            let place = stage::Place {
                stage: &next.stage,
                number: next.number,
                requests_before: requests_before + next.requests_before,
                round: round.round,
                repetition,
                attempt: attempt.unwrap_or(1),
            };
            let report = stage::measure(round, &load, &scraping, &place).await?;
            result.stages.push(report);
            progress.stage_done(plan.stages_in_round(&result.stages));
        }
        requests_before += plan.requests_of(&of_repetition(&result.stages, repetition));
    }
    if progress.control().is_cancelled() {
        return Err(stopped());
    }
    Ok(())
}

fn of_repetition(stages: &[StageReport], repetition: u32) -> Vec<&StageReport> {
    let of_it = |stage: &&StageReport| stage.repetition == repetition;
    stages.iter().filter(of_it).collect()
}

/// What is to be driven next in a repetition, after the stages of the round so far.
fn next_stage(plan: &Plan, stages: &[StageReport], repetition: u32) -> Option<NextStage> {
    plan.next_stage(&of_repetition(stages, repetition))
}

/// Rests before the next stage, where the sweep says so, unless the runner is told to stop.
async fn rest(plan: &Plan, progress: &Progress) {
    let pause = plan.spec.workload.sweep.pause.unwrap_or_default().get();
    let over = clock::now().saturating_add(clock::span(pause));
    while clock::now() < over && !progress.control().is_cancelled() {
        let left = Duration::from_nanos(over.saturating_sub(clock::now()));
        tokio::time::sleep(left.min(LOOK_FOR_STOP)).await;
    }
}

fn stopped() -> MeasureError {
    MeasureError::new(
        reason::ABORTED,
        "the runner was told to stop; what was measured until then is stored",
    )
    .that_may_pass()
}

/// One stage alone, stored nowhere: `bakeoff bench`.
///
/// # Errors
/// Where the engine cannot be loaded at all.
pub async fn measure_stage(
    client: &Client<'_>,
    stage: &Stage,
) -> Result<(StageReport, drive::Driven), MeasureError> {
    let mut load = Load::prepare(client)?;
    load.calibrate(client).await;
    load.warm_up(client).await?;
    client.progress.stage(1, &stage.name);
    let place = stage::Place {
        stage,
        number: 0,
        requests_before: 0,
        round: 1,
        repetition: 1,
        attempt: 1,
    };
    let driven = stage::drive_stage(client, &load, &place).await?;
    stage::counted(client, &load, &place, driven).await
}

/// The engine's own metrics, as far as the spec wants them.
struct Scraping {
    direct: Option<Scraper>,
    prometheus: Option<Prometheus>,
}

impl Scraping {
    fn start(client: &Client<'_>) -> Self {
        use bakeoff_crds::run::MetricsBackend::{Auto, Direct, None as Off, Prometheus as Server};
        let settings = &client.plan.spec.metrics;
        let interval = settings.interval.get();
        let direct = client
            .engine
            .metrics
            .as_ref()
            .filter(|_| settings.backend != Off)
            .and_then(|metrics| {
                let url = metrics_url(client.url, client.engine.endpoint.port, metrics);
                Scraper::start(metrics, &url, interval)
                    .inspect_err(
                        |error| tracing::warn!(%error, "the engine's metrics are not read"),
                    )
                    .ok()
            });
        let asks = match settings.backend {
            Auto | Server => settings.url.as_deref(),
            Direct | Off => None,
        };
        let prometheus = asks.and_then(|url| {
            Prometheus::new(url, interval, &settings.extra_queries)
                .inspect_err(|error| tracing::warn!(%error, "Prometheus is not asked"))
                .ok()
        });
        Self { direct, prometheus }
    }
}

/// Everything that is the same for all stages of a round, made before the first.
struct Load {
    writer: Writer,
    script: Arc<Script>,
    /// The first turns alone, without time to think.
    first_turns: Arc<Script>,
    prompt_tokens: Vec<Option<u32>>,
    /// Longest answer asked for, by prompt.
    asked_tokens: Vec<u32>,
    /// Right answers, by prompt; empty where none is known.
    expected: Arc<[Option<Expected>]>,
    /// When each prompt came, where they are of a trace.
    trace: Arc<[Nanos]>,
    /// What the client adds itself, where the run wants to know.
    calibration: Option<Calibration>,
}

impl Load {
    fn prepare(client: &Client<'_>) -> Result<Self, MeasureError> {
        vitals::raise_open_files_limit();
        let unreachable = |error: String| MeasureError::new(reason::ENGINE_UNREACHABLE, error);
        let target = Target::resolve(client.url)
            .map_err(|error| unreachable(error.to_string()).that_may_pass())?;
        let workload = &client.plan.spec.workload;
        let codec = Codec::new(
            &client.engine.endpoint,
            RequestOptions {
                sampling: workload.sampling.clone(),
                streaming: workload.streaming,
                prompts_per_request: workload.prompts_per_request,
                names: client
                    .engine
                    .models
                    .iter()
                    .map(|model| model.adapter.clone())
                    .collect(),
            },
        );
        let head = RequestHead {
            path: client.engine.endpoint.path.clone(),
            accept: codec.accept().into(),
            bearer: client.api_key.clone(),
            headers: client.headers.clone(),
        };
        head.check()
            .map_err(|error| unreachable(error.to_string()))?;
        let conversations = workload.prompts.conversations.as_ref();
        let history = conversations.map(|conversations| conversations.history);
        let writer = Writer {
            codec: Arc::new(codec),
            head,
            target,
        };
        let turns = turns::of(client.prompts, &writer, history);
        let models = client.engine.models.iter();
        let weights: Vec<u32> = models.map(|model| model.weight).collect();
        let names = names::sequence(&weights, workload.seed);
        let first_turns = turns.iter().filter_map(|turns| turns.first().cloned());
        let first_turns = first_turns.map(|turn| vec![turn]);
        let first_turns = Arc::new(Script::new(first_turns, names.clone()));
        let mut script = Script::new(turns, names);
        if history == Some(History::Answers) {
            script = script.composed_by(Arc::new(Answers {
                writer: writer.clone(),
                prompts: client.prompts.to_vec(),
            }));
        }
        let together = writer.codec.prompts_per_request();
        Ok(Self {
            script: Arc::new(script),
            first_turns,
            prompt_tokens: turns::prompt_tokens(client.prompts, together),
            asked_tokens: turns::asked_tokens(client.prompts, together),
            expected: turns::expected(client.prompts, together),
            trace: client
                .prompts
                .iter()
                .map_while(|prompt| prompt.arrival_nanos)
                .collect(),
            writer,
            calibration: None,
        })
    }

    /// A stage over these requests; the caller says which comes first and when it ends.
    fn stage(&self, client: &Client<'_>, stage: &Stage) -> StageInput {
        let spec = &client.plan.spec;
        StageInput {
            target: self.writer.target.clone(),
            tls: self
                .writer
                .target
                .tls_name
                .is_some()
                .then(|| Arc::clone(&client.tls)),
            codec: Arc::clone(&self.writer.codec),
            script: Arc::clone(&self.script),
            first_request: 0,
            load: stage.load.clone(),
            end: stage.end,
            seed: spec.workload.seed,
            trace: Arc::clone(&self.trace),
            request_timeout: clock::span(spec.workload.request_timeout.get()),
            deadline: Some(clock::span(spec.policy.timeouts.stage.get())),
            threads: client.threads,
            share: Share::WHOLE,
            gate: None,
            keep_text: false,
        }
    }

    /// Measures what the client itself adds, while the engine has nothing to do. Where that fails,
    /// the run goes on without.
    async fn calibrate(&mut self, client: &Client<'_>) {
        if client.plan.spec.runner.calibration == Wanted::Never {
            return;
        }
        client.progress.stage(0, "calibration");
        let protocol = client.engine.endpoint.protocol;
        let streams = calibrate::streams(&client.plan.stages);
        let threads = client.threads;
        let found =
            tokio::task::spawn_blocking(move || calibrate::calibrate(protocol, streams, threads));
        match found.await {
            Ok(Ok(found)) => {
                tracing::info!(
                    streams = found.streams,
                    overhead_micros = (found.overhead_mean * 1e6).round(),
                    chunks_per_second = found.sustainable_chunks_per_second.round(),
                    seconds = found.seconds,
                    cpu_seconds = found.cpu_seconds,
                    "the client is calibrated"
                );
                self.calibration = Some(found);
            }
            Ok(Err(error)) => tracing::warn!(%error, "the client is not calibrated"),
            Err(error) => tracing::warn!(%error, "the client is not calibrated"),
        }
    }

    /// One tiny answer for each name that requests ask for, so that an engine that cannot answer costs
    /// no stage.
    async fn try_once(&self, client: &Client<'_>) -> Result<(), MeasureError> {
        let Some(prompt) = client.prompts.first() else {
            return Err(DriveError::NoPrompts.into());
        };
        let mut tiny = prompt.clone();
        tiny.max_tokens = 1;
        let tiny = vec![&tiny; self.writer.codec.prompts_per_request()];
        let names = u16::try_from(client.engine.models.len().max(1)).unwrap_or(u16::MAX);
        let requests = (0..names).map(|name| self.writer.request(&tiny, name));
        let stage = Stage {
            name: "try".into(),
            load: closed_loop_of_one(),
            end: StageEnd::Requests(u64::from(names)),
        };
        let mut input = self.stage(client, &stage);
        input.script = Arc::new(Script::of_requests(requests));
        input.request_timeout = input.request_timeout.min(check::TRY_TIMEOUT);
        let driven = run(input, &client.progress).await?;
        check::first_answers(&driven.records, &client.engine.models)
    }

    /// Requests that are thrown away, at the first stage's load.
    async fn warm_up(&self, client: &Client<'_>) -> Result<(), MeasureError> {
        let requests = u64::from(client.plan.spec.workload.warmup.requests);
        let Some(stage) = client.plan.stages.first().filter(|_| requests > 0) else {
            return Ok(());
        };
        client.progress.stage(0, "warm-up");
        let mut input = self.stage(client, stage);
        // A ramp warms up at its mean rate: it may begin with none.
        input.load.rate = input.load.mean_rate();
        input.load.to_rate = None;
        if stage.load.replay_speed.is_some() {
            input.load = closed_loop_of_one();
        }
        input.end = StageEnd::Requests(requests);
        // From the last ones, so that no prompt is in the engine's cache because of the warm-up
        // before it is first measured, where there are enough.
        input.script = Arc::clone(&self.first_turns);
        let prompts = self.script.len();
        input.first_request = prompts - requests % prompts;
        run(input, &client.progress).await?;
        Ok(())
    }
}

fn closed_loop_of_one() -> bakeoff_crds::plan::Load {
    bakeoff_crds::plan::Load {
        concurrency: Some(1),
        ..bakeoff_crds::plan::Load::default()
    }
}

/// Drives a stage on threads of its own.
async fn run(input: StageInput, progress: &Arc<Progress>) -> Result<drive::Driven, MeasureError> {
    let progress = Arc::clone(progress);
    progress.control().reset_counts();
    tokio::task::spawn_blocking(move || drive::drive(&input, progress.control()))
        .await
        .map_err(|_| DriveError::Panicked)?
        .map_err(MeasureError::from)
}

#[cfg(test)]
mod tests;
