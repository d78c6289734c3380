//! The simulator's HTTP server: connections, faults, answers.

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bakeoff_crds::run::Fault;
use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Duration, Instant},
};

use super::{
    body::{Part, StreamBody, Trace},
    call,
    config::{Engine, SimulatorConfig},
    frames::{Answer, Interface},
    log::{self, Outcome, Record, TruthLog},
    metrics::Metrics,
    prefix_cache::PrefixCache,
    refusal::Refusal,
    request::Generation,
    routes::{Route, route},
    scheduler::Scheduler,
    text,
};

/// How long the engine of [`Fault::SlowStart`] loads its model.
const SLOW_START: Duration = Duration::from_secs(120);

/// Largest request body.
const MAX_BODY_BYTES: usize = 64 << 20;

pub(super) type AnswerBody = Either<Full<Bytes>, StreamBody>;

/// The connection is dropped without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulated fault refuses connections")]
struct Refused;

/// One simulated engine, shared by its connections.
#[derive(Debug)]
pub struct Simulator {
    config: SimulatorConfig,
    scheduler: Scheduler,
    metrics: Metrics,
    prefixes: PrefixCache,
    log: TruthLog,
    places: Option<Arc<Semaphore>>,
    answers: AtomicU64,
    started: Instant,
    refuse: Notify,
}

impl Simulator {
    /// An idle engine. Needs a tokio runtime.
    ///
    /// # Errors
    /// Where the log's file cannot be made.
    pub fn new(config: SimulatorConfig) -> io::Result<Self> {
        let metrics = Metrics::new(&config);
        Ok(Self {
            scheduler: Scheduler::start(&config, metrics.clone()),
            metrics,
            prefixes: PrefixCache::default(),
            log: TruthLog::create(config.log.as_deref())?,
            places: config
                .max_concurrent_requests
                .map(|most| Arc::new(Semaphore::new(most as usize))),
            answers: AtomicU64::new(0),
            started: Instant::now(),
            refuse: Notify::new(),
            config,
        })
    }

    /// What is simulated.
    pub fn config(&self) -> &SimulatorConfig {
        &self.config
    }

    /// The truth about what was sent.
    pub fn log(&self) -> TruthLog {
        self.log.clone()
    }

    /// Serves connections until the fault refuses them. Dropping the future closes all.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.refuse.notified() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(Arc::clone(&self).connection(stream));
                    }
                    Err(error) => {
                        // Such as no file descriptor left: the next ones may do better.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        drop(connections);
        std::future::pending::<Infallible>().await;
    }

    /// Serves the metrics alone on a port of their own; without one, waits for ever.
    pub async fn serve_metrics(self: Arc<Self>, listener: Option<TcpListener>) {
        let Some(listener) = listener else {
            return std::future::pending().await;
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let simulator = Arc::clone(&self);
                    connections.spawn(async move {
                        let service = service_fn(|request| simulator.answer_metrics(&request));
                        let io = TokioIo::new(stream);
                        if let Err(error) = http1::Builder::new().serve_connection(io, service).await {
                            tracing::debug!(%error, "a connection ended");
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn answer_metrics(
        &self,
        request: &Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<> {
        std::future::ready(Ok(if request.uri().path() == "/metrics" {
            self.metrics_page()
        } else {
            refused(Refusal::not_found(self.config.engine))
        }))
    }

    fn metrics_page(&self) -> Response<AnswerBody> {
        plain(
            "text/plain; version=0.0.4",
            self.metrics.render(&self.config),
        )
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // A frame must leave at once, not when the next one fills a packet.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        if begins_with_http2(&stream).await {
            let service = service_fn(move |request| {
                let simulator = Arc::clone(&self);
                async move { simulator.answer(request).await }
            });
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            return;
        }
        let service = service_fn(|request| self.answer(request));
        let connection = http1::Builder::new()
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<AnswerBody>, Refused> {
        let received_at = log::now();
        let post = request.method() == Method::POST;
        let engine = self.config.engine;
        let refused = refusal_of(call::is_call(&request));
        if self.config.fault == Fault::SlowStart && self.started.elapsed() < SLOW_START {
            return Ok(refused(Refusal::loading(engine)));
        }
        let path = request.uri().path();
        let route = if call::is_call(&request) {
            call::route(engine, path)
        } else {
            route(&self.config, post, path)
        };
        Ok(match route {
            Route::Generate { interface, streams } => {
                if self.config.fault == Fault::Refuse {
                    self.refuse.notify_one();
                    return Err(Refused);
                }
                return self
                    .generate(request, received_at, interface, streams)
                    .await;
            }
            Route::Document(document) => json(StatusCode::OK, document.to_string()),
            Route::Empty => plain("text/plain", String::new()),
            Route::UnknownModel(model) => refused(Refusal::unknown_model(engine, &model)),
            Route::ResetPrefixCache => {
                self.prefixes.clear();
                plain("text/plain", String::new())
            }
            Route::Metrics => self.metrics_page(),
            Route::Log => plain("application/x-ndjson", self.log.lines()),
            Route::NotFound => refused(Refusal::not_found(engine)),
        })
    }

    async fn generate(
        &self,
        request: Request<Incoming>,
        received_at: u64,
        interface: Interface,
        streams: Option<bool>,
    ) -> Result<Response<AnswerBody>, Refused> {
        let engine = self.config.engine;
        let mut trace = self.trace(request.uri().path(), received_at);
        let is_call = interface == Interface::Grpc;
        let refused = refusal_of(is_call);
        let mut refuse = |refusal| {
            trace.end(Outcome::Rejected);
            self.metrics.failure();
            Ok(refused(refusal))
        };
        if self.config.fault == Fault::RateLimit && self.limited() {
            let mut response = refuse(Refusal::overloaded(engine))?;
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("7"));
            return Ok(response);
        }
        let place = match self
            .places
            .as_ref()
            .map(|it| Arc::clone(it).try_acquire_owned())
        {
            Some(Err(_)) => return refuse(Refusal::overloaded(engine)),
            Some(Ok(place)) => Some(place),
            None => None,
        };
        let body = match Limited::new(request.into_body(), MAX_BODY_BYTES)
            .collect()
            .await
        {
            Ok(body) => body.to_bytes(),
            Err(error) => return refuse(Refusal::invalid(engine, &error.to_string())),
        };
        if self.config.fault == Fault::ServerError {
            return refuse(Refusal::server_error(engine));
        }
        let generation = match Generation::read(&self.config, interface, streams, &body) {
            Ok(generation) => generation,
            Err(refusal) => return refuse(refusal),
        };
        let answers = self.plan(interface, &generation, &trace.id());
        trace.model(generation.model.clone());
        trace.input_tokens(answers.iter().map(|answer| answer.input_tokens).sum());
        let mut parts: Vec<Part> = answers
            .into_iter()
            .map(|answer| Part {
                tokens: self.scheduler.submit(
                    answer.input_tokens,
                    answer.output_tokens,
                    answer.at_limit,
                ),
                answer,
            })
            .collect();
        if generation.stream {
            let body = StreamBody::new(parts, trace, self.config.fault, place);
            return Ok(if is_call {
                call::accepted(Either::Right(body))
            } else {
                streamed(engine, body)
            });
        }
        match self.config.fault {
            Fault::ErrorEvent => {
                trace.end(Outcome::ErrorEvent);
                return Ok(refused(Refusal::server_error(engine)));
            }
            Fault::CutStream => {
                trace.end(Outcome::Cut);
                return Err(Refused);
            }
            Fault::Stall => return std::future::pending().await,
            _ => {}
        }
        for part in &mut parts {
            while let Some(index) = part.tokens.recv().await {
                if index + 1 == part.answer.output_tokens {
                    break;
                }
            }
        }
        let answers: Vec<Answer> = parts.into_iter().map(|part| part.answer).collect();
        trace.frame(answers.iter().map(|answer| answer.output_tokens).sum());
        if let Some(answer) = answers.first().filter(|_| is_call) {
            let body = StreamBody::whole_call(answer.whole_call(), trace);
            return Ok(call::accepted(Either::Right(body)));
        }
        trace.end(Outcome::Completed);
        let whole = match answers.as_slice() {
            [answer] => answer.whole(),
            several => Answer::whole_of_several(several),
        };
        Ok(json(StatusCode::OK, whole))
    }

    /// Whether the request that was just counted is one that [`Fault::RateLimit`] refuses.
    fn limited(&self) -> bool {
        self.answers.load(Ordering::Relaxed).is_multiple_of(2)
    }

    fn trace(&self, path: &str, received_at: u64) -> Trace {
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let record = Record {
            id: format!(
                "{:016x}",
                text::hash(&number.to_le_bytes(), self.config.seed)
            ),
            path: path.to_owned(),
            model: None,
            received_at,
            input_tokens: 0,
            output_tokens: 0,
            first_token_at: None,
            last_token_at: None,
            frames: Vec::new(),
            outcome: Outcome::Cancelled,
        };
        Trace::new(self.log.clone(), record)
    }

    /// The answers to a request, one for each prompt.
    fn plan(&self, interface: Interface, generation: &Generation, id: &str) -> Vec<Answer> {
        let prompts = std::iter::once(&generation.prompt).chain(&generation.further_prompts);
        let mut answers: Vec<Answer> = prompts
            .zip(0..)
            .map(|(prompt, choice)| Answer {
                choice,
                ..self.answer_to(prompt, interface, generation, id)
            })
            .collect();
        if self.config.prefix_caching {
            let prompts = std::iter::once(&generation.prompt).chain(&generation.further_prompts);
            let model = generation.model.as_deref().unwrap_or_default();
            for (prompt, answer) in prompts.zip(&answers) {
                let tokens = answer.input_tokens;
                let hits = self.prefixes.look_up(model, prompt, tokens);
                self.metrics.look_up(tokens, hits);
            }
        }
        let input = answers.iter().map(|answer| answer.input_tokens).sum();
        let output = answers.iter().map(|answer| answer.output_tokens).sum();
        for answer in &mut answers {
            answer.of_request = (input, output);
        }
        answers
    }

    fn answer_to(
        &self,
        prompt: &str,
        interface: Interface,
        generation: &Generation,
        id: &str,
    ) -> Answer {
        let engine = self.config.engine;
        let hash = text::hash(prompt.as_bytes(), self.config.seed);
        let ignore_eos = generation.ignore_eos && engine.ignores_eos();
        let output_tokens = text::output_tokens(hash, generation.max_tokens, ignore_eos)
            .max(generation.min_tokens)
            .min(generation.max_tokens);
        let adapter = generation
            .model
            .as_ref()
            .filter(|asked| engine.serves_adapters() && self.config.adapters.contains(asked));
        let model = engine
            .triton_model()
            .or(adapter.map(String::as_str))
            .unwrap_or_else(|| self.config.shown_model());
        Answer {
            engine,
            interface,
            id: id.to_owned(),
            created: log::now() / 1_000_000_000,
            model: serde_json::Value::from(model).to_string(),
            prompt: prompt.to_owned(),
            hash,
            input_tokens: text::input_tokens(prompt).saturating_add(generation.template_tokens),
            output_tokens,
            at_limit: output_tokens == generation.max_tokens,
            include_usage: generation.include_usage,
            continuous_usage: generation.continuous_usage,
            outputs: generation.outputs,
            choice: 0,
            of_request: (0, 0),
        }
    }
}

fn streamed(engine: Engine, body: StreamBody) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    let media_type = match engine {
        Engine::Wrapper => Some("application/x-ndjson"),
        Engine::JetStream => Some("application/json"),
        Engine::TorchServe => None,
        _ => Some("text/event-stream; charset=utf-8"),
    };
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn json(status: StatusCode, body: String) -> Response<AnswerBody> {
    let mut response = plain("application/json", body);
    *response.status_mut() = status;
    response
}

fn refused(refusal: Refusal) -> Response<AnswerBody> {
    json(refusal.status, refusal.body)
}

/// How a refusal is told.
fn refusal_of(is_call: bool) -> fn(Refusal) -> Response<AnswerBody> {
    if is_call {
        |refusal| call::refused(&refusal)
    } else {
        refused
    }
}

/// Whether a client begins with HTTP/2's preface. Nothing is taken off the socket.
async fn begins_with_http2(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI";
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            Ok(read @ 1..3) if PREFACE.starts_with(first.get(..read).unwrap_or_default()) => {
                tokio::task::yield_now().await;
            }
            Ok(_) => return first == PREFACE,
            Err(_) => return false,
        }
    }
}

fn plain(content_type: &'static str, body: String) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Left(Full::from(body)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
