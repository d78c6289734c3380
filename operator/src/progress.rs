//! Asks the runner at work how far it is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bakeoff_crds::manifests::RUNNER_PORT;

use tokio::time::Instant;

use crate::{idle::SOON, observed::Progress};

/// A runner answers at once or is busy measuring, which matters more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Within a cluster a connection takes milliseconds, or does not come about: a policy of the network may
/// keep the operator from its runners.
const PATIENCE_TO_CONNECT: Duration = Duration::from_millis(500);

/// Asks runners for their progress.
#[derive(Clone, Debug)]
pub struct ProgressReader {
    http: reqwest::Client,
    port: u16,
    /// Addresses that gave no answer, and when. They are left alone for [`SOON`]: whoever waits for
    /// them keeps other runs waiting.
    silent: Arc<Mutex<HashMap<String, Instant>>>,
}

impl ProgressReader {
    /// A reader that asks at the runners' port.
    ///
    /// # Errors
    /// Where no TLS provider is installed.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::at_port(u16::try_from(RUNNER_PORT).unwrap_or(9400))
    }

    /// A reader that asks at another port.
    ///
    /// # Errors
    /// Where no TLS provider is installed.
    pub fn at_port(port: u16) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE_TO_CONNECT)
            // Pod addresses are not for a proxy.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            port,
            silent: Arc::default(),
        })
    }

    /// The progress of the runner at this address; `None` where it cannot be reached, as from
    /// outside the cluster's network, or could not a moment ago.
    pub async fn read(&self, ip: &str) -> Option<Progress> {
        {
            let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
            silent.retain(|_, since| since.elapsed() < SOON);
            if silent.contains_key(ip) {
                return None;
            }
        }
        let progress = self.ask(ip).await;
        if progress.is_none() {
            let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
            silent.insert(ip.to_owned(), Instant::now());
        }
        progress
    }

    async fn ask(&self, ip: &str) -> Option<Progress> {
        let host = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.to_owned()
        };
        let url = format!("http://{host}:{}/progress", self.port);
        let answer = self.http.get(&url).send().await.ok()?;
        let progress = answer.error_for_status().ok()?.json().await;
        progress
            .inspect_err(|error| tracing::debug!(%url, %error, "no progress"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Json, Router,
        http::StatusCode,
        routing::{MethodRouter, get},
    };
    use serde_json::{Value, json};

    use super::*;

    async fn answering(status: StatusCode, answer: Value) -> ProgressReader {
        serving(get(move || async move { (status, Json(answer)) })).await
    }

    async fn serving(route: MethodRouter) -> ProgressReader {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = axum::serve(listener, Router::new().route("/progress", route));
        tokio::spawn(async move { server.await });
        ProgressReader::at_port(port).unwrap()
    }

    #[tokio::test]
    async fn a_runner_tells_how_far_it_is() {
        let answer = json!({ "repetition": 2, "stage": "rate-0.5", "stagesDone": 7, "stagesPlanned": 12,
                "shardsMissing": [3] });
        let reader = answering(StatusCode::OK, answer).await;
        let expected = Progress {
            repetition: 2,
            stage: "rate-0.5".into(),
            stages_done: 7,
            stages_planned: 12,
            shards_missing: vec![3],
            ..Progress::default()
        };
        assert_eq!(reader.read("127.0.0.1").await, Some(expected));
    }

    #[tokio::test]
    async fn who_gave_no_answer_is_left_alone_for_a_while() {
        let asked = Arc::new(Mutex::new(0));
        let counted = asked.clone();
        let route = get(move || async move {
            *counted.lock().unwrap() += 1;
            StatusCode::SERVICE_UNAVAILABLE
        });
        let reader = serving(route).await;
        for expected in [1, 1] {
            assert_eq!(reader.read("127.0.0.1").await, None);
            assert_eq!(*asked.lock().unwrap(), expected);
        }
        tokio::time::pause();
        tokio::time::advance(SOON).await;
        tokio::time::resume();
        assert_eq!(reader.read("127.0.0.1").await, None);
        assert_eq!(*asked.lock().unwrap(), 2);
    }

    #[tokio::test]
    async fn a_runner_that_says_nothing_useful_counts_as_silent() {
        for (status, answer) in [
            (StatusCode::SERVICE_UNAVAILABLE, json!({})),
            (StatusCode::OK, json!("not an object")),
        ] {
            let reader = answering(status, answer.clone()).await;
            assert_eq!(reader.read("127.0.0.1").await, None, "{status} {answer}");
        }
        // Nobody listens on the discard port of loopback.
        let reader = ProgressReader::at_port(9).unwrap();
        assert_eq!(reader.read("127.0.0.1").await, None);
    }
}
