//! Reading inputs: data sets and tokenizers, from wherever `FileSource` says, with their hash.

use std::path::{Path, PathBuf};

use bakeoff_crds::{common::FileSource, run::Output};
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use super::{Environment, Store, StoreError, backend, sha256_hex};

/// Most bytes of a data set, trace or tokenizer, which are read whole.
const MOST_BYTES: u64 = 4 << 30;

/// What inputs are read with.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Folder that relative paths start from: that of the run's file.
    pub base: PathBuf,
    /// `spec.output`, whose rights, endpoint and region hold for buckets of inputs too.
    pub output: Output,
    /// The environment.
    pub environment: Environment,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Bytes,
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file cannot be had.
    #[error("{source_name} cannot be read: {cause}")]
    Unavailable {
        /// Its address or path.
        source_name: String,
        /// What kept it, and the remedy.
        cause: String,
        /// Whether a later process may fare better: a server that is away comes back, and what is
        /// not there stays so.
        may_pass: bool,
    },
    /// The ConfigMap or its key is missing.
    #[error("ConfigMap {name} with key {key} does not exist; make it in the run's namespace")]
    NoConfigMap {
        /// Name of the ConfigMap.
        name: String,
        /// Key in it.
        key: String,
    },
    /// The file is another one than the spec says.
    #[error(
        "{source_name} has SHA-256 {found}, but the spec says {expected}; \
         correct sha256 or restore the file"
    )]
    Hash {
        /// Its address or path.
        source_name: String,
        /// SHA-256 of the file.
        found: String,
        /// SHA-256 of the spec.
        expected: String,
    },
}

impl Inputs {
    /// Reads a file whole and checks its hash. `mounted_at` names the variable that holds the path
    /// of a ConfigMap's file in a pod, such as [`DATASET_FILE`](super::environment::DATASET_FILE).
    ///
    /// # Errors
    /// Where it cannot be had, or has another hash than the spec says.
    pub async fn fetch(
        &self,
        source: &FileSource,
        mounted_at: &str,
    ) -> Result<Fetched, FetchError> {
        let name = describe(source);
        let unavailable = |cause: String, may_pass: bool| FetchError::Unavailable {
            source_name: name.clone(),
            cause,
            may_pass,
        };
        let for_good = |cause: String| unavailable(cause, false);
        let bytes = match (&source.uri, &source.config_map_ref, &source.path) {
            (Some(uri), None, None) if uri.starts_with("http") => {
                let read = self.read_http(uri, None).await;
                read.map_err(|(cause, may_pass)| unavailable(cause, may_pass))?
            }
            (Some(uri), None, None) => self
                .read_bucket(uri)
                .await
                .map_err(|error| unavailable(error.to_string(), error.may_pass()))?,
            (None, Some(reference), None) => {
                let Some(path) = self.environment.get(mounted_at) else {
                    return Err(for_good(format!(
                        "a ConfigMap can be read only in a pod, which sets {mounted_at}; use path outside a cluster"
                    )));
                };
                let path = Path::new(path);
                if !tokio::fs::try_exists(path).await.unwrap_or(false) {
                    return Err(FetchError::NoConfigMap {
                        name: reference.name.clone(),
                        key: reference.key.clone(),
                    });
                }
                read(path).await.map_err(for_good)?
            }
            (None, None, Some(path)) => read(&self.base.join(path)).await.map_err(for_good)?,
            _ => {
                return Err(for_good(
                    "set exactly one of uri, configMapRef and path".into(),
                ));
            }
        };
        check(bytes, source.sha256.as_deref(), &name)
    }

    /// GETs an http(s) address, with a bearer token where one is given.
    ///
    /// # Errors
    /// What kept it, in words.
    pub async fn download(&self, url: &str, token: Option<&str>) -> Result<Bytes, String> {
        let read = self.read_http(url, token).await;
        read.map_err(|(cause, _)| cause)
    }

    /// As [`Self::download`]; a failure with whether it may pass.
    async fn read_http(&self, url: &str, token: Option<&str>) -> Result<Bytes, (String, bool)> {
        let answer = self.get(url, token).await.map_err(|cause| (cause, true))?;
        let status = answer.status();
        if !status.is_success() {
            let may_pass = status.is_server_error() || [408, 429].contains(&status.as_u16());
            return Err((format!("the server answered HTTP {status}"), may_pass));
        }
        let body = body_of(answer, MOST_BYTES).await;
        body.map(Bytes::from).map_err(|cause| (cause, true))
    }

    /// The answer to a GET, whatever its status.
    pub(crate) async fn get(
        &self,
        url: &str,
        token: Option<&str>,
    ) -> Result<reqwest::Response, String> {
        let mut request = self.http_client()?.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|error| causes(&error))
    }

    async fn read_bucket(&self, uri: &str) -> Result<Bytes, StoreError> {
        let (folder, file) = uri.rsplit_once('/').unwrap_or((uri, ""));
        let same_kind = self.output.uri.split("://").next() == uri.split("://").next();
        let output = if same_kind {
            Output {
                uri: folder.to_owned(),
                ..self.output.clone()
            }
        } else {
            backend::output_of(folder)
        };
        Store::open(&output, "", &self.environment)?.get(file).await
    }

    /// A client that trusts the private authority too, if there is one.
    ///
    /// # Errors
    /// What is wrong with its certificates, in words.
    pub(crate) fn http_client(&self) -> Result<reqwest::Client, String> {
        backend::install_crypto_provider();
        let mut builder = crate::outside::client()
            .connect_timeout(std::time::Duration::from_secs(10))
            .read_timeout(std::time::Duration::from_secs(60))
            .user_agent(concat!("bakeoff/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) =
            backend::ca_bundle(&self.environment).map_err(|error| error.to_string())?
        {
            let certificates =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| causes(&error))?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().map_err(|error| causes(&error))
    }
}

/// The body of an answer, up to a bound in bytes: a server may send without an end.
///
/// # Errors
/// Where it ends early or is longer, in words.
pub(crate) async fn body_of(mut answer: reqwest::Response, most: u64) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| causes(&error))? {
        body.extend_from_slice(&part);
        if body.len() as u64 > most {
            return Err(format!("the answer is longer than {most} bytes"));
        }
    }
    Ok(body)
}

/// Name of a source, for messages.
pub fn describe(source: &FileSource) -> String {
    if let Some(uri) = &source.uri {
        return uri.clone();
    }
    if let Some(reference) = &source.config_map_ref {
        return format!("key {} of ConfigMap {}", reference.key, reference.name);
    }
    source.path.clone().unwrap_or_else(|| "the file".into())
}

fn check(bytes: Bytes, expected: Option<&str>, name: &str) -> Result<Fetched, FetchError> {
    let sha256 = sha256_hex(&bytes);
    match expected {
        Some(expected) if expected != sha256 => Err(FetchError::Hash {
            source_name: name.to_owned(),
            found: sha256,
            expected: expected.to_owned(),
        }),
        _ => Ok(Fetched { bytes, sha256 }),
    }
}

async fn read(path: &Path) -> Result<Bytes, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| told(&error))?;
    let mut bytes = Vec::new();
    // One more than may be: a file without an end is not read to its end.
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| told(&error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(told(&format!("it is longer than {MOST_BYTES} bytes")));
    }
    Ok(bytes.into())
}

/// An error with its causes: reqwest's own message leaves them out.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut story = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        story.push_str(": ");
        story.push_str(&cause.to_string());
        next = cause.source();
    }
    story
}
