//! Google Managed Prometheus: where its API is, and a token to ask it with.
//!
//! The token is that of the service account that the pod runs as, by Workload Identity, or of the
//! machine. It comes from the metadata server
//! (<https://cloud.google.com/compute/docs/access/authenticate-workloads#applications>), is kept until
//! shortly before it ends, and is never logged. The API is Prometheus' own
//! (<https://cloud.google.com/stackdriver/docs/managed-prometheus/query-api-ui>).

use std::time::Duration;

use reqwest::{Client, header::HeaderValue, redirect::Policy};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    clock::{self, Nanos},
    store::{
        backend::install_crypto_provider,
        environment::Environment,
        fetch::{body_of, causes},
    },
};

/// Where Google's client libraries, too, take the metadata server's address from.
pub const METADATA_HOST: &str = "GCE_METADATA_HOST";
const DEFAULT_HOST: &str = "metadata.google.internal";
const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: u64 = 64 << 10;
/// A token is renewed so long before it ends. The metadata server has a new one five minutes before.
const SPARE: Duration = Duration::from_secs(240);

/// Root of the Prometheus API of a project.
pub fn api(project: &str) -> String {
    format!("https://monitoring.googleapis.com/v1/projects/{project}/location/global/prometheus")
}

/// The metadata server, and the last token that it gave.
pub struct Metadata {
    client: Client,
    host: String,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    bearer: HeaderValue,
    /// By the monotonic clock.
    renew_at: Nanos,
}

/// What the metadata server answers.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// In seconds.
    expires_in: u64,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Metadata {
    /// The metadata server of this machine, or of `GCE_METADATA_HOST`.
    ///
    /// # Errors
    /// Where no HTTP client can be made, in words.
    pub fn new(environment: &Environment) -> Result<Self, String> {
        install_crypto_provider();
        let host = environment.get(METADATA_HOST).unwrap_or(DEFAULT_HOST);
        let client = Client::builder()
            .timeout(TIMEOUT)
            // It is next door, and what it gives is for us alone.
            .no_proxy()
            .redirect(Policy::none())
            .build()
            .map_err(|error| causes(&error))?;
        Ok(Self {
            client,
            host: host.to_owned(),
            token: Mutex::new(None),
        })
    }

    /// The project that this machine belongs to.
    ///
    /// # Errors
    /// Where the metadata server does not answer, in words.
    pub async fn project(&self) -> Result<String, String> {
        let body = self.get("project/project-id").await?;
        let project = String::from_utf8_lossy(&body).trim().to_owned();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c);
        if project.is_empty() || !project.chars().all(is_plain) {
            return Err(format!(
                "{} gave no project; set spec.metrics.url",
                self.host
            ));
        }
        Ok(project)
    }

    /// A value for the header `Authorization`: the last token, or a new one where that ends soon.
    ///
    /// # Errors
    /// Where the metadata server gives none, in words.
    pub async fn bearer(&self) -> Result<HeaderValue, String> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| clock::now() < token.renew_at) {
            return Ok(token.bearer.clone());
        }
        let token = self.fetch().await?;
        let bearer = token.bearer.clone();
        *kept = Some(token);
        Ok(bearer)
    }

    /// Forgets the token: it was refused.
    pub async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn fetch(&self) -> Result<Token, String> {
        let asked = clock::now();
        let body = self.get("instance/service-accounts/default/token").await?;
        // The answer's words stay out of the reason: they may be the token's.
        let none = || format!("{} gave no token", self.host);
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| none())?;
        let bearer = format!("Bearer {}", answer.access_token);
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_| none())?;
        bearer.set_sensitive(true);
        let lifetime = Duration::from_secs(answer.expires_in).saturating_sub(SPARE);
        Ok(Token {
            bearer,
            renew_at: asked.saturating_add(clock::span(lifetime)),
        })
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let url = format!("http://{}/computeMetadata/v1/{path}", self.host);
        let away = |cause: String| {
            format!(
                "the metadata server does not answer at {url}: {cause}; run on Google Cloud with \
                 Workload Identity, or use backend Prometheus"
            )
        };
        let request = self.client.get(&url).header("Metadata-Flavor", "Google");
        let answer = request.send().await.map_err(|error| away(causes(&error)))?;
        if !answer.status().is_success() {
            return Err(away(format!("HTTP {}", answer.status())));
        }
        body_of(answer, LONGEST_ANSWER).await.map_err(away)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use axum::{Json, Router, extract::State, http::HeaderMap, routing::get};
    use serde_json::json;

    use super::*;

    /// A metadata server whose tokens live so long; how many it gave.
    async fn stand_in(seconds: u64) -> (Metadata, Arc<AtomicU64>) {
        let given = Arc::new(AtomicU64::new(0));
        let token = move |State(given): State<Arc<AtomicU64>>, headers: HeaderMap| async move {
            assert_eq!(headers["metadata-flavor"], "Google");
            let number = given.fetch_add(1, Ordering::SeqCst);
            Json(
                json!({"access_token": format!("secret-{number}"), "expires_in": seconds, "token_type": "Bearer"}),
            )
        };
        let app = Router::new()
            .route(
                "/computeMetadata/v1/instance/service-accounts/default/token",
                get(token),
            )
            .route(
                "/computeMetadata/v1/project/project-id",
                get(|| async { "my-project" }),
            )
            .with_state(Arc::clone(&given));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let environment = Environment::from([(METADATA_HOST, host.as_str())]);
        (Metadata::new(&environment).unwrap(), given)
    }

    #[tokio::test]
    async fn a_token_is_kept_until_shortly_before_it_ends() {
        let (metadata, given) = stand_in(3600).await;
        for _ in 0..3 {
            assert_eq!(metadata.bearer().await.unwrap(), "Bearer secret-0");
        }
        metadata.forget().await;
        assert_eq!(metadata.bearer().await.unwrap(), "Bearer secret-1");
        assert_eq!(given.load(Ordering::SeqCst), 2);
        // One that ends within the spare time is never kept.
        let (metadata, _) = stand_in(SPARE.as_secs()).await;
        assert_eq!(metadata.bearer().await.unwrap(), "Bearer secret-0");
        assert_eq!(metadata.bearer().await.unwrap(), "Bearer secret-1");
    }

    #[tokio::test]
    async fn a_token_shows_in_no_words() {
        let (metadata, _) = stand_in(3600).await;
        let bearer = metadata.bearer().await.unwrap();
        assert!(!format!("{bearer:?} {metadata:?}").contains("secret"));
    }

    #[tokio::test]
    async fn the_project_is_the_machines() {
        let (metadata, _) = stand_in(3600).await;
        assert_eq!(metadata.project().await.unwrap(), "my-project");
        assert_eq!(
            api("my-project"),
            "https://monitoring.googleapis.com/v1/projects/my-project/location/global/prometheus"
        );
    }

    #[tokio::test]
    async fn no_metadata_server_is_said_with_a_remedy() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        drop(listener);
        let environment = Environment::from([(METADATA_HOST, host.as_str())]);
        let metadata = Metadata::new(&environment).unwrap();
        let error = metadata.bearer().await.unwrap_err();
        assert!(
            error.contains(&host) && error.contains("Workload Identity"),
            "{error}"
        );
    }
}
