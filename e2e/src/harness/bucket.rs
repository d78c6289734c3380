//! The two buckets, as the reports' readers see them.

use std::fs;

use anyhow::{Context, Result};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, ObjectStore, ObjectStoreExt as _};
use serde::de::DeserializeOwned;

use crate::services::{gcs, s3};
use crate::settings::Layout;

/// The S3 bucket, trusted by its private authority alone.
pub fn s3_bucket(layout: &Layout) -> Result<AmazonS3> {
    install_crypto_provider();
    let authority = fs::read(s3::ca_certificate(layout)).context("reading the S3 authority")?;
    AmazonS3Builder::new()
        .with_endpoint(s3::endpoint()?)
        .with_bucket_name(s3::BUCKET)
        .with_region(s3::REGION)
        .with_access_key_id(s3::ACCESS_KEY)
        .with_secret_access_key(s3::SECRET_KEY)
        .with_client_options(
            ClientOptions::new().with_root_certificate(Certificate::from_pem(&authority)?),
        )
        .build()
        .context("connecting to S3")
}

/// The GCS bucket.
pub fn gcs_bucket() -> Result<GoogleCloudStorage> {
    install_crypto_provider();
    GoogleCloudStorageBuilder::new()
        .with_service_account_key(gcs::service_account_key()?)
        .with_bucket_name(gcs::BUCKET)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .build()
        .context("connecting to GCS")
}

/// Reads an object as JSON.
pub async fn read_json<T: DeserializeOwned>(bucket: &dyn ObjectStore, key: &str) -> Result<T> {
    let object = bucket
        .get(&Path::from(key))
        .await
        .with_context(|| format!("getting {key}"))?;
    let bytes = object.bytes().await?;
    serde_json::from_slice(&bytes).with_context(|| format!("{key} is not what we expect"))
}

/// Puts a file of this machine into a bucket.
pub async fn put_file(bucket: &dyn ObjectStore, key: &str, file: &std::path::Path) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    bucket
        .put(&Path::from(key), bytes.into())
        .await
        .with_context(|| format!("putting {key}"))?;
    Ok(())
}

/// Several dependencies could bring one; ours is `ring` alone, and must be named once.
fn install_crypto_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
