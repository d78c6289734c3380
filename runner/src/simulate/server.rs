//! The simulator's HTTP server: connections, and what is asked on them.

mod generate;
mod response;

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{Arc, atomic::AtomicU64},
};

use bakeoff_crds::run::Fault;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
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

pub(super) use self::response::AnswerBody;
use self::response::{json, plain, refusal_of, refused};
use super::{
    call,
    config::SimulatorConfig,
    log::{self, TruthLog},
    metrics::Metrics,
    prefix_cache::PrefixCache,
    refusal::Refusal,
    routes::{Route, route},
    scheduler::Scheduler,
};

/// How long the engine of [`Fault::SlowStart`] loads its model.
const SLOW_START: Duration = Duration::from_secs(120);

/// Time for the rest of a connection's first three bytes.
const BETWEEN_PEEKS: Duration = Duration::from_millis(1);

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
}

/// Whether a client begins with HTTP/2's preface. Nothing is taken off the socket.
async fn begins_with_http2(stream: &TcpStream) -> bool {
    const PREFACE: &[u8] = b"PRI";
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            Ok(read @ 1..3) if PREFACE.starts_with(first.get(..read).unwrap_or_default()) => {
                tokio::time::sleep(BETWEEN_PEEKS).await;
            }
            Ok(_) => return first == PREFACE,
            Err(_) => return false,
        }
    }
}
