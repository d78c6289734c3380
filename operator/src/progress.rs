//! Asks the runner at work how far it is.

use std::time::Duration;

use bakeoff_crds::manifests::RUNNER_PORT;

use crate::observed::Progress;

/// A runner answers at once or is busy measuring, which matters more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks runners for their progress.
#[derive(Clone, Debug)]
pub struct ProgressReader {
    http: reqwest::Client,
    port: u16,
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
            // Pod addresses are not for a proxy.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, port })
    }

    /// The progress of the runner at this address; `None` where it cannot be reached, as from
    /// outside the cluster's network.
    pub async fn read(&self, ip: &str) -> Option<Progress> {
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
