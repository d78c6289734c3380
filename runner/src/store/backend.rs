//! Clients of buckets and folders, from `spec.output` and the environment.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use bakeoff_crds::run::Output;
use object_store::{
    Certificate, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    gcp::{GcpCredential, GoogleCloudStorageBuilder},
    local::LocalFileSystem,
};

use super::{
    Environment, Location, StoreError,
    environment::{CA_BUNDLE, GCS_ENDPOINT, GOOGLE_KEY, S3_ENDPOINT},
};

/// Time for one request: long enough for a large per-request log over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// Time for a connection to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The client of a place.
pub(super) fn connect(
    location: &Location,
    output: &Output,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    install_crypto_provider();
    match location {
        Location::Bucket { scheme, bucket, .. } => {
            let mut output = output.clone();
            output.endpoint = output.endpoint.or_else(|| endpoint(scheme, environment));
            if *scheme == "gs" {
                google(bucket, &output, environment)
            } else {
                amazon(bucket, &output, environment)
            }
        }
        Location::Folder { path, .. } => folder(path),
    }
}

/// Root of a scheme's server where the spec names none, from the variables that other tools of the
/// field use.
fn endpoint(scheme: &str, environment: &Environment) -> Option<String> {
    let variable = if scheme == "gs" {
        GCS_ENDPOINT
    } else {
        S3_ENDPOINT
    };
    environment.get(variable).map(str::to_owned)
}

/// The output that an address alone stands for.
pub(super) fn output_of(uri: &str) -> Output {
    Output {
        uri: uri.to_owned(),
        endpoint: None,
        region: None,
        ca_bundle_ref: None,
        credentials_secret_ref: None,
        metadata: std::collections::BTreeMap::new(),
        formats: Vec::new(),
    }
}

/// Makes ring the process's TLS provider, where none is yet. One provider for the whole program:
/// HTTP clients here are built without one of their own.
pub fn install_crypto_provider() {
    // An error says that there is one already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Certificates of the private authority that `BAKEOFF_CA_BUNDLE` names, if any, as PEM.
///
/// # Errors
/// Where the file cannot be read.
pub(super) fn ca_bundle(environment: &Environment) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(path) = environment.get(CA_BUNDLE) else {
        return Ok(None);
    };
    std::fs::read(path)
        .map(Some)
        .map_err(|error| StoreError::Configuration {
            what: format!("the CA bundle {path} (spec.output.caBundleRef)"),
            problem: error.to_string(),
        })
}

fn google(
    bucket: &str,
    output: &Output,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let key = environment.get(GOOGLE_KEY);
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_client_options(client_options(output, environment)?)
        .with_retry(retry());
    if let Some(path) = environment.get("GOOGLE_APPLICATION_CREDENTIALS") {
        builder = builder.with_application_credentials(path);
    }
    if let Some(key) = key {
        builder = builder.with_service_account_key(key);
    }
    if let Some(endpoint) = &output.endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
        if key.is_none() {
            // A server of one's own knows no Google accounts, so requests go unsigned. The empty
            // credential is needed beside `skip_signature`: object_store 0.14 does not look at that
            // for puts, and would ask the machine's metadata server for a token.
            let bearer = String::new();
            builder = builder.with_skip_signature(true).with_credentials(Arc::new(
                StaticCredentialProvider::new(GcpCredential { bearer }),
            ));
        }
    }
    let built = builder.build();
    built.map(|store| Arc::new(store) as _).map_err(|error| {
        configuration(
            "the Google Cloud Storage client (GOOGLE_SERVICE_ACCOUNT_KEY)",
            &error,
        )
    })
}

fn amazon(
    bucket: &str,
    output: &Output,
    environment: &Environment,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    // The variables of the AWS tools: keys, web identity (IRSA), container credentials, region.
    let mut builder = environment
        .with_prefix("AWS_")
        .filter_map(|(name, value)| {
            let key = AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()).ok()?;
            Some((key, value))
        })
        .fold(AmazonS3Builder::new(), |builder, (key, value)| {
            builder.with_config(key, value)
        })
        .with_bucket_name(bucket)
        .with_client_options(client_options(output, environment)?)
        .with_retry(retry());
    if let Some(region) = &output.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &output.endpoint {
        // Other servers than Amazon's seldom have a DNS name per bucket.
        builder = builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_virtual_hosted_style_request(false);
    }
    let built = builder.build();
    built
        .map(|store| Arc::new(store) as _)
        .map_err(|error| configuration("the S3 client (AWS_* variables)", &error))
}

fn folder(path: &Path) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let wrap = |error: &dyn std::error::Error| {
        configuration(&format!("the folder {}", path.display()), error)
    };
    std::fs::create_dir_all(path).map_err(|error| wrap(&error))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| wrap(&error))?;
    Ok(Arc::new(store))
}

fn client_options(output: &Output, environment: &Environment) -> Result<ClientOptions, StoreError> {
    let plain = output
        .endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut options = ClientOptions::new()
        .with_allow_http(plain)
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT);
    if let Some(pem) = ca_bundle(environment)? {
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|error| configuration("the CA bundle (spec.output.caBundleRef)", &error))?;
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

/// Short tries inside the client: the long patience is [`super::write`]'s, which logs each failure.
fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 3,
        retry_timeout: Duration::from_secs(30),
        ..RetryConfig::default()
    }
}

fn configuration(what: &str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Configuration {
        what: what.to_owned(),
        problem: error.to_string(),
    }
}
