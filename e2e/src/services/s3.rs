//! S3 over TLS with a certificate that only a private authority vouches for.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::certificates::{Authority, Subject};
use crate::daemon::Daemon;
use crate::settings::{Layout, service_address};
use crate::{tools, wait};

/// The bucket that exists from the start.
pub const BUCKET: &str = "bakeoff";
/// A user's name, as in `AWS_ACCESS_KEY_ID`.
pub const ACCESS_KEY: &str = "bakeoff-e2e";
/// That user's secret, as in `AWS_SECRET_ACCESS_KEY`.
pub const SECRET_KEY: &str = "bakeoff-e2e-secret";
/// The region that requests are signed for.
pub const REGION: &str = "us-east-1";
/// The port that it listens on.
pub const PORT: u16 = 9000;

/// The server's root URL.
pub fn endpoint() -> Result<String> {
    Ok(format!("https://{}:{PORT}", service_address()?))
}

/// The authority's certificate: what a client must trust.
#[must_use]
pub fn ca_certificate(layout: &Layout) -> PathBuf {
    layout.state.join("s3/certificates/ca.crt")
}

/// Where a bucket's objects lie. The server takes each folder beside for a bucket of its root user.
#[must_use]
pub fn folder(layout: &Layout, bucket: &str) -> PathBuf {
    layout.state.join("s3/data").join(bucket)
}

pub(super) fn start(layout: &Layout) -> Result<()> {
    let address = service_address()?;
    let gateway = tools::VERSITYGW.build(layout)?;
    let authority = Authority::open(&layout.state.join("s3/certificates"), "bakeoff-e2e-s3")?;
    let server = authority.issue(
        "server",
        &Subject {
            common_name: "s3",
            names: &["localhost"],
            addresses: &[IpAddr::V4(address)],
            ..Subject::default()
        },
    )?;
    fs::create_dir_all(folder(layout, BUCKET)).context("making the bucket")?;
    let metadata = layout.state.join("s3/metadata");
    fs::create_dir_all(&metadata)?;
    Daemon::new("versitygw", gateway)
        .args([
            format!("--port={address}:{PORT}"),
            format!("--access={ACCESS_KEY}"),
            format!("--secret={SECRET_KEY}"),
            format!("--region={REGION}"),
            format!("--cert={}", server.certificate.display()),
            format!("--key={}", server.key.display()),
            "posix".into(),
            // Not every file system has the extended attributes that it else keeps metadata in.
            format!("--sidecar={}", metadata.display()),
            layout.state.join("s3/data").display().to_string(),
        ])
        .start(layout)?;
    wait::until("the S3 server listens", Duration::from_secs(120), || {
        Ok(TcpStream::connect((address, PORT))?)
    })?;
    Ok(())
}
