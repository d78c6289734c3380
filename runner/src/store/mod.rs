//! Buckets, claims and folders: nothing is ever overwritten.
//!
//! [`Store`] is the folder of one run. Behind it is S3, Google Cloud Storage, or a folder of the
//! machine: [`location`] reads the address, [`backend`] makes the client. [`probe`] checks rights
//! before accelerator time is spent, [`fetch`] reads inputs, [`patience`] waits for a store that is
//! away, [`held`] keeps what it does not take, [`manifest`] says that a run is whole.

pub mod backend;
pub mod environment;
pub mod error;
pub mod fetch;
#[cfg(test)]
mod fuzz;
pub mod hash;
pub mod held;
pub mod location;
pub mod manifest;
mod patience;
mod probe;
mod write;

use std::{sync::Arc, time::Duration};

use bakeoff_crds::run::Output;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path};

pub use environment::Environment;
pub use error::StoreError;
pub use fetch::{FetchError, Fetched, Inputs};
pub use hash::sha256_hex;
pub use location::Location;

/// Time for one write with all its tries, where nothing else is set.
const DEFAULT_UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// The folder of one run, in a bucket or on a disk. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    client: Arc<dyn ObjectStore>,
    location: Location,
    /// The run's folder, as it was opened.
    folder: String,
    /// Key of the run's folder within the bucket.
    root: Path,
    upload_timeout: Duration,
    /// Time for a read with all its tries; none where one try has to do.
    read_timeout: Duration,
}

/// One file of a [`Store`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path within the store, with `/` between its parts.
    pub path: String,
    /// Size, in bytes.
    pub size: u64,
}

impl Store {
    /// Opens `folder` under the address of `output`. Makes no request yet; a local folder is made.
    ///
    /// `folder` is [`bakeoff_crds::plan::RunIdentity::folder`], or empty for the address itself.
    ///
    /// # Errors
    /// For an address, endpoint, key or certificate that cannot be used; the message names it.
    pub fn open(
        output: &Output,
        folder: &str,
        environment: &Environment,
    ) -> Result<Self, StoreError> {
        let location = Location::parse(&output.uri, environment)?;
        let client = backend::connect(&location, output, environment)?;
        Ok(Self::over(client, location, folder))
    }

    /// Opens the folder at `uri` with nothing but the environment: for commands that are given an
    /// address of a run rather than a spec.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn at(uri: &str, environment: &Environment) -> Result<Self, StoreError> {
        Self::open(&backend::output_of(uri), "", environment)
    }

    /// A store over a client that is already there.
    pub fn over(client: Arc<dyn ObjectStore>, location: Location, folder: &str) -> Self {
        let root = Path::from(format!("{}/{folder}", location.prefix()));
        Self {
            client,
            location,
            folder: folder.to_owned(),
            root,
            upload_timeout: DEFAULT_UPLOAD_TIMEOUT,
            read_timeout: Duration::ZERO,
        }
    }

    /// A store in memory: for tests, and for files that were given one by one.
    pub fn in_memory() -> Self {
        Self::over(
            Arc::new(object_store::memory::InMemory::new()),
            Location::Bucket {
                scheme: "s3",
                bucket: "memory".into(),
                prefix: String::new(),
            },
            "",
        )
    }

    /// The same store with `policy.timeouts.upload`: the time for one write with all its tries, and
    /// for one read, which is tried once otherwise.
    #[must_use]
    pub fn with_upload_timeout(mut self, timeout: Duration) -> Self {
        self.upload_timeout = timeout;
        self.read_timeout = timeout;
        self
    }

    /// A file's path with the run's folder before it.
    pub fn folder_path(&self, path: &str) -> String {
        format!("{}/{path}", self.folder)
    }

    /// Address of `path` for people: `gs://bucket/prefix/namespace/run-1a2b3c4d/report.json`.
    pub fn uri(&self, path: &str) -> String {
        self.location.uri(self.key(path).as_ref())
    }

    /// Writes `bytes` at `path`, and never over something else: a key that already holds the same
    /// bytes counts as written. Tries again, with growing pauses, until the upload timeout.
    ///
    /// # Errors
    /// [`StoreError::Differs`] where the key holds other bytes; else what kept the write from
    /// happening, with the remedy.
    pub async fn put_new(&self, path: &str, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        write::put_new(self, path, bytes.into()).await
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is nothing; else what kept it from being read.
    pub async fn get(&self, path: &str) -> Result<Bytes, StoreError> {
        self.patiently(path, || self.get_once(path)).await
    }

    async fn get_once(&self, path: &str) -> Result<Bytes, StoreError> {
        let key = self.key(path);
        let wrap = |cause| StoreError::read(self, path, cause);
        self.client
            .get(&key)
            .await
            .map_err(wrap)?
            .bytes()
            .await
            .map_err(wrap)
    }

    /// Opens `path` from a byte on; none is left where that is its size.
    ///
    /// # Errors
    /// As [`Store::get`]; each part of the stream too.
    pub async fn read_from(
        &self,
        path: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let key = self.key(path);
        let wrap = |cause| StoreError::read(self, path, cause);
        let options = GetOptions {
            range: (from > 0).then_some(GetRange::Offset(from)),
            ..GetOptions::default()
        };
        let opened = self.client.get_opts(&key, options).await.map_err(wrap)?;
        let (store, path) = (self.clone(), path.to_owned());
        let parts = opened.into_stream();
        Ok(parts
            .map_err(move |cause| StoreError::read(&store, &path, cause))
            .boxed())
    }

    /// Whether there is something at `path`.
    ///
    /// # Errors
    /// What kept the store from answering.
    pub async fn exists(&self, path: &str) -> Result<bool, StoreError> {
        self.patiently(path, || self.exists_once(path)).await
    }

    async fn exists_once(&self, path: &str) -> Result<bool, StoreError> {
        match self.client.head(&self.key(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(StoreError::read(self, path, cause)),
        }
    }

    /// Every file under `prefix`, which names a folder (or is empty for all), sorted by path.
    ///
    /// # Errors
    /// What kept the store from answering.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.patiently(prefix, || self.list_once(prefix)).await
    }

    /// Reads again and again while the store is away, for as long as it may.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        path: &str,
        read: impl Fn() -> F,
    ) -> Result<T, StoreError> {
        patience::until(self, path, "read", self.read_timeout, read).await
    }

    async fn list_once(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let folder = self.key(prefix);
        let found: Vec<_> = self
            .client
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|cause| StoreError::read(self, prefix, cause))?;
        let mut entries: Vec<Entry> = found
            .into_iter()
            .filter_map(|meta| {
                let parts: Vec<_> = meta.location.prefix_match(&self.root)?.collect();
                let path = parts
                    .iter()
                    .map(AsRef::as_ref)
                    .collect::<Vec<&str>>()
                    .join("/");
                Some(Entry {
                    path,
                    size: meta.size,
                })
            })
            .collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Writes a small object, reads it back and removes it, so that missing rights show before
    /// accelerator time is spent. The right to delete is not needed: where it is missing, the
    /// object stays under a name that only this attempt uses.
    ///
    /// # Errors
    /// [`StoreError`] naming bucket, key, cause and remedy.
    pub async fn check_writable(&self, attempt: &str) -> Result<(), StoreError> {
        probe::check_writable(self, attempt).await
    }

    /// Full key of `path` in the bucket.
    fn key(&self, path: &str) -> Path {
        // Path::from drops empty parts, and encodes what no store takes in a key.
        Path::from(format!("{}/{path}", self.root))
    }
}

#[cfg(test)]
mod tests;
