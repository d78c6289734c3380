//! The cluster's Prometheus, as tests ask it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::services::prometheus;

const PAUSE: Duration = Duration::from_millis(200);

/// The first value that a query gives, once it gives one.
pub async fn prometheus_value(query: &str, limit: Duration) -> Result<f64> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = reqwest::Url::parse_with_params(
        &format!("{}/api/v1/query", prometheus::endpoint()?),
        [("query", query)],
    )?;
    let client = reqwest::Client::new();
    let answered = async {
        loop {
            let answer: Value = client.get(url.clone()).send().await?.json().await?;
            let value = answer
                .pointer("/data/result/0/value/1")
                .and_then(Value::as_str);
            if let Some(value) = value {
                return value.parse().context("a sample is a number");
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(limit, answered)
        .await
        .with_context(|| format!("waited {limit:?} until Prometheus knows {query}"))?
}
