//! Reads an engine's page of metrics at an interval, on a thread of its own beside the load.

use std::{collections::BTreeMap, time::Duration};

use bakeoff_crds::{plan::PlannedMetrics, report::EngineMetric};
use reqwest::Url;
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

use super::aggregate::{Aggregate, Moment};
use crate::store::{
    backend::install_crypto_provider,
    fetch::{body_of, causes},
};

/// Between two reads of the page after the load, until its counters stand still: some engines count an
/// answer only after its end is sent.
const SETTLING: Duration = Duration::from_millis(50);
/// Most such reads.
const MOST_SETTLING: u32 = 5;
/// Longest wait for one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of one page: engines' have some hundred kilobytes at most.
const LONGEST_PAGE: u64 = 16 << 20;
/// Below it, reading is all that the engine does. Acceptance asks for more; plans of tests do not.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// A scraper of one engine. It stops when it is dropped.
///
/// Pages are read and thrown away at once; what is kept does not grow with the window.
#[derive(Debug)]
pub struct Scraper {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Begin(oneshot::Sender<()>),
    End(oneshot::Sender<BTreeMap<String, EngineMetric>>),
}

/// Address of an engine's page of metrics.
///
/// `base_url` is where the engine is reached, `server_port` the port that the plan gives its server
/// (0 for an external engine). An engine whose metrics come from its server's port has them at
/// `base_url`, wherever that is; one with a port of its own for metrics has them on that port of the
/// same host.
pub fn metrics_url(base_url: &str, server_port: u16, metrics: &PlannedMetrics) -> String {
    let Ok(mut url) = Url::parse(base_url) else {
        return format!("{base_url}{}", metrics.path);
    };
    if metrics.port != 0 && metrics.port != server_port {
        // Fails only for addresses without a host, which Url::parse gives none of for http.
        let _ = url.set_port(Some(metrics.port));
    }
    url.set_path(&metrics.path);
    url.set_query(None);
    url.into()
}

impl Scraper {
    /// Starts to read `url` at the plan's interval. See [`metrics_url`].
    ///
    /// # Errors
    /// Where the thread or its HTTP client cannot be made.
    pub fn start(metrics: &PlannedMetrics, url: &str) -> Result<Self, std::io::Error> {
        install_crypto_provider();
        let client = crate::outside::client()
            .timeout(PAGE_TIMEOUT)
            .build()
            .map_err(std::io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (commands, inbox) = mpsc::channel(4);
        let task = Task {
            client,
            url: url.to_owned(),
            interval: metrics.interval.get().max(SHORTEST_INTERVAL),
            metrics: metrics.clone(),
        };
        std::thread::Builder::new()
            .name("scrape".into())
            .spawn(move || runtime.block_on(task.run(inbox)))?;
        Ok(Self { commands })
    }

    /// Begins a window: what was kept of an earlier one is thrown away, and the page is read once
    /// for where its counters stand. Returns when it was read, or could not be.
    pub async fn begin_window(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Begin(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Ends the window: reads the page until its counters stand still, and gives the window's values by common name.
    /// Empty where no window was begun.
    pub async fn end_window(&self) -> BTreeMap<String, EngineMetric> {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::End(done)).await.is_err() {
            return BTreeMap::new();
        }
        wait.await.unwrap_or_default()
    }
}

struct Task {
    client: reqwest::Client,
    url: String,
    interval: Duration,
    metrics: PlannedMetrics,
}

impl Task {
    async fn run(self, mut inbox: mpsc::Receiver<Command>) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut window: Option<Aggregate> = None;
        loop {
            tokio::select! {
                biased;
                command = inbox.recv() => match command {
                    None => return,
                    Some(Command::Begin(done)) => {
                        let mut begun = Aggregate::new(&self.metrics);
                        self.read(&mut begun, Moment::Begin).await;
                        window = Some(begun);
                        ticks.reset();
                        let _ = done.send(());
                    }
                    Some(Command::End(done)) => {
                        let values = match window.take() {
                            Some(mut ending) => {
                                self.settle(&mut ending).await;
                                ending.finish()
                            }
                            None => BTreeMap::new(),
                        };
                        let _ = done.send(values);
                    }
                },
                _ = ticks.tick(), if window.is_some() => {
                    if let Some(window) = &mut window {
                        self.read(window, Moment::During).await;
                    }
                }
            }
        }
    }

    async fn settle(&self, ending: &mut Aggregate) {
        for _ in 0..MOST_SETTLING {
            if !self.read(ending, Moment::End).await {
                return;
            }
            tokio::time::sleep(SETTLING).await;
        }
    }

    /// Whether a counter has grown since the page before.
    async fn read(&self, window: &mut Aggregate, moment: Moment) -> bool {
        match self.page().await {
            Ok(page) => window.page(moment, &page),
            Err(cause) => {
                window.failed(cause);
                false
            }
        }
    }

    async fn page(&self) -> Result<String, String> {
        let answer = self.client.get(&self.url).send().await;
        let answer = answer.map_err(|error| causes(&error))?;
        if !answer.status().is_success() {
            return Err(format!("{} answered HTTP {}", self.url, answer.status()));
        }
        let page = body_of(answer, LONGEST_PAGE).await?;
        // What is no UTF-8 spoils its own line alone.
        Ok(String::from_utf8_lossy(&page).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use axum::{Router, routing::get};
    use bakeoff_crds::plan::{CommonMetric, Series, SeriesKind};

    use super::*;

    fn metrics() -> PlannedMetrics {
        let series = |name: &str, kind| Series {
            names: vec![name.to_owned()],
            kind,
        };
        PlannedMetrics {
            path: "/metrics".into(),
            port: 8000,
            interval: bakeoff_crds::common::Duration::from_millis(10),
            series: BTreeMap::from([
                (
                    CommonMetric::Running,
                    series("vllm:running", SeriesKind::Gauge),
                ),
                (
                    CommonMetric::PromptTokens,
                    series("vllm:prompt_tokens_total", SeriesKind::Counter),
                ),
            ]),
        }
    }

    #[test]
    fn metrics_are_at_the_server_unless_they_have_a_port_of_their_own() {
        for (base, server_port, expected) in [
            ("http://10.0.0.1:8000", 8000, "http://10.0.0.1:8000/metrics"),
            // `--at` points elsewhere than the plan: the metrics are there too.
            (
                "http://127.0.0.1:9999",
                8000,
                "http://127.0.0.1:9999/metrics",
            ),
            ("http://10.0.0.1:8001", 8001, "http://10.0.0.1:8000/metrics"),
            ("https://host/v1/?x=y", 8000, "https://host/metrics"),
        ] {
            assert_eq!(
                metrics_url(base, server_port, &metrics()),
                expected,
                "{base}"
            );
        }
    }

    #[tokio::test]
    async fn gives_the_increase_and_the_mean_over_a_window() {
        let reads = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&reads);
        let app = Router::new().route(
            "/metrics",
            get(move || async move {
                let read = counter.fetch_add(1, Ordering::SeqCst);
                format!("vllm:running 4\nvllm:prompt_tokens_total {}\n", read * 10)
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });

        let url = format!("http://{address}/metrics");
        let scraper = Scraper::start(&metrics(), &url).unwrap();
        assert_eq!(scraper.end_window().await, BTreeMap::new());
        scraper.begin_window().await;
        while reads.load(Ordering::SeqCst) < 5 {
            tokio::task::yield_now().await;
        }
        let values = scraper.end_window().await;
        let read_in_all = reads.load(Ordering::SeqCst);
        let running = values["running"].direct.clone().unwrap();
        assert_eq!((running.mean, running.max), (Some(4.0), Some(4.0)));
        let tokens = values["promptTokens"]
            .direct
            .clone()
            .unwrap()
            .increase
            .unwrap();
        // From the first read to the last one, ten each.
        assert_eq!(tokens, (read_in_all - 1) as f64 * 10.0);
        server.abort();
    }

    #[tokio::test]
    async fn an_engine_that_does_not_answer_is_a_reason() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = format!("http://{address}/metrics");
        let scraper = Scraper::start(&metrics(), &url).unwrap();
        scraper.begin_window().await;
        let values = scraper.end_window().await;
        let reason = values["running"].absent.clone().unwrap();
        assert!(reason.starts_with("ScrapeFailed: "), "{reason}");
    }
}
