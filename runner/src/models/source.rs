//! Where a model comes from: a hub, a bucket, or a folder.

use std::{path::Path, time::Duration};

use bakeoff_crds::{
    plan::{Plan, PlannedRepository},
    run::Output,
    summary::{Failure, reason},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};

use super::{choice::chosen, hub::HubSource, volume::CONTENT};
use crate::{
    agent::last_words::failure,
    store::{Inputs, Store, StoreError},
};

/// A source of files.
#[derive(Debug)]
pub enum Source {
    /// A hub that speaks Hugging Face's interface.
    Hub(HubSource),
    /// A folder of a bucket, or of the machine.
    Folder(Store),
}

/// What a source has of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The commit that the revision stands for; a folder has none.
    pub commit: Option<String>,
    /// The files that are to be fetched.
    pub files: Vec<RemoteFile>,
}

/// A file of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository, with `/` between its parts.
    pub path: String,
    /// Its size in bytes, where the source tells.
    pub size: Option<u64>,
    /// Its SHA-256, where the source tells: a hub does of files in large-file storage.
    pub sha256: Option<String>,
}

/// The rest of a file.
pub struct Opened {
    /// Where it begins: a source that knows no ranges begins at 0.
    pub from: u64,
    /// Its bytes; an error is what cut it, in words.
    pub bytes: BoxStream<'static, Result<Bytes, String>>,
}

/// Why a file was not opened.
#[derive(Debug)]
pub enum Trouble {
    /// A further try would end in the same way.
    Final(Failure),
    /// It may pass; not before so long, where the source says so.
    Passing(String, Option<Duration>),
}

impl Source {
    /// Where the plan's model comes from; `from` is the folder that it is copied from, if any.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn of_model(plan: &Plan, inputs: &Inputs, from: Option<&Path>) -> Result<Self, Failure> {
        let prefetch = plan.spec.model.prefetch.as_ref();
        if let Some(folder) = from {
            if !folder.is_dir() {
                return Err(failure(
                    reason::MODEL_NOT_FOUND,
                    format!(
                        "the claim of model.persistentVolumeClaim has no folder {:?}; correct its path, which names a folder where model.prefetch copies it",
                        claim_path(plan)
                    ),
                ));
            }
            let uri = format!("file://{}", folder.display());
            return Self::folder(&uri, inputs);
        }
        match prefetch.and_then(|it| it.uri.as_deref()) {
            Some(uri) => Self::folder(uri, inputs),
            None => Self::hub(plan, inputs),
        }
    }

    /// The plan's hub.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn hub(plan: &Plan, inputs: &Inputs) -> Result<Self, Failure> {
        HubSource::new(plan, inputs).map(Self::Hub)
    }

    fn folder(uri: &str, inputs: &Inputs) -> Result<Self, Failure> {
        let output = &inputs.output;
        let same_kind = output.uri.split("://").next() == uri.split("://").next();
        let output = if same_kind {
            Output {
                uri: uri.to_owned(),
                ..output.clone()
            }
        } else {
            Output {
                uri: uri.to_owned(),
                endpoint: None,
                region: None,
                ca_bundle_ref: None,
                credentials_secret_ref: None,
                ..output.clone()
            }
        };
        Store::open(&output, "", &inputs.environment)
            .map(Self::Folder)
            .map_err(|error| unavailable(&error))
    }

    /// The files of a repository.
    ///
    /// # Errors
    /// Where the source does not have it, does not give it, or is away.
    pub async fn list(&self, repository: &PlannedRepository) -> Result<Listing, Failure> {
        match self {
            Self::Hub(hub) => hub.list(repository).await,
            Self::Folder(store) => {
                let entries = store.list("").await.map_err(|error| unavailable(&error))?;
                let files: Vec<RemoteFile> = entries
                    .into_iter()
                    // A folder that was itself fetched.
                    .filter(|entry| entry.path != CONTENT)
                    .map(|entry| RemoteFile {
                        path: entry.path,
                        size: Some(entry.size),
                        sha256: None,
                    })
                    .collect();
                some(files, &store.uri("")).map(|files| Listing {
                    commit: None,
                    files,
                })
            }
        }
    }

    /// Opens a file from this byte on.
    ///
    /// # Errors
    /// Where it is not given.
    pub async fn open(
        &self,
        repository: &PlannedRepository,
        commit: Option<&str>,
        file: &RemoteFile,
        from: u64,
    ) -> Result<Opened, Trouble> {
        match self {
            Self::Hub(hub) => hub.open(repository, commit, file, from).await,
            Self::Folder(store) => {
                let opened = store.read_from(&file.path, from).await;
                let bytes = opened.map_err(|error| match error.may_pass() {
                    true => Trouble::Passing(error.to_string(), None),
                    false => Trouble::Final(unavailable(&error)),
                })?;
                let bytes = bytes.map(|part| part.map_err(|error| error.to_string()));
                Ok(Opened {
                    from,
                    bytes: bytes.boxed(),
                })
            }
        }
    }

    /// The source of a repository's file, for people.
    pub fn describe(&self, repository: &PlannedRepository, file: &str) -> String {
        match self {
            Self::Hub(hub) => format!("{file} of {} at {}", repository.id, hub.root()),
            Self::Folder(store) => store.uri(file),
        }
    }
}

/// The files that are chosen, where there are any and each is a path below the repository's folder.
pub(super) fn choose(
    files: Vec<RemoteFile>,
    patterns: &[String],
    place: &str,
) -> Result<Vec<RemoteFile>, Failure> {
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let chosen: std::collections::BTreeSet<String> = chosen(&paths, patterns)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let files = files.into_iter();
    let is_chosen = |file: &RemoteFile| chosen.contains(&file.path) && file.path != CONTENT;
    some(files.filter(is_chosen).collect(), place)
}

fn some(files: Vec<RemoteFile>, place: &str) -> Result<Vec<RemoteFile>, Failure> {
    if files.is_empty() {
        return Err(failure(
            reason::MODEL_NOT_FOUND,
            format!(
                "{place} has no file to be fetched; correct model.prefetch (uri, files) or model.id"
            ),
        ));
    }
    let is_bad = |file: &&RemoteFile| {
        let mut parts = file.path.split('/');
        parts.any(|part| matches!(part, "" | "." | "..")) || file.path.contains('\\')
    };
    match files.iter().find(is_bad) {
        Some(file) => Err(failure(
            reason::MODEL_UNAVAILABLE,
            format!(
                "{place} has a file {:?}, which is no path below a folder",
                file.path
            ),
        )),
        None => Ok(files),
    }
}

fn claim_path(plan: &Plan) -> &str {
    let claim = plan.spec.model.persistent_volume_claim.as_ref();
    claim.map_or("", |claim| claim.path.as_str())
}

fn unavailable(error: &StoreError) -> Failure {
    Failure {
        may_pass: error.may_pass(),
        ..failure(reason::MODEL_UNAVAILABLE, error)
    }
}
