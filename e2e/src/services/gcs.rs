//! Google Cloud Storage, as far as fake-gcs-server speaks it.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::daemon::Daemon;
use crate::settings::{Layout, service_address};
use crate::{tools, wait};

/// The bucket that exists from the start.
pub const BUCKET: &str = "bakeoff";
/// The port that it listens on.
pub const PORT: u16 = 4443;

/// The server's root URL.
pub fn endpoint() -> Result<String> {
    Ok(format!("http://{}:{PORT}", service_address()?))
}

/// Where anyone gets an object of the bucket by plain HTTP.
pub fn url(key: &str) -> Result<String> {
    Ok(format!("{}/{BUCKET}/{key}", endpoint()?))
}

/// A service account key that sends clients here, and lets them in without a token.
pub fn service_account_key() -> Result<String> {
    Ok(json!({
        "type": "service_account",
        "gcs_base_url": endpoint()?,
        "disable_oauth": true,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    })
    .to_string())
}

pub(super) fn start(layout: &Layout) -> Result<()> {
    let address = service_address()?;
    let root = layout.state.join("gcs");
    fs::create_dir_all(&root).context("making the folder of buckets")?;
    Daemon::new("fake-gcs-server", tools::FAKE_GCS_SERVER.build(layout)?)
        .args([
            format!("-address={address}:{PORT}"),
            format!("-root={}", root.display()),
            format!("-bucket={BUCKET}"),
        ])
        .start(layout)?;
    wait::until("the GCS server listens", Duration::from_secs(120), || {
        Ok(TcpStream::connect((address, PORT))?)
    })?;
    Ok(())
}
