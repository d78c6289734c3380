//! Models on a hub that speaks Hugging Face's interface:
//! `GET /api/models/ID/revision/REVISION?blobs=true` lists a repository's files with their sizes and,
//! of those in large-file storage, SHA-256s; `GET /ID/resolve/COMMIT/FILE` gives one, in parts where
//! asked to, mostly by way of a redirection to another server.

use std::time::Duration;

use bakeoff_crds::{
    common::shortened,
    plan::{Plan, PlannedRepository},
    summary::{Failure, reason},
};
use futures::StreamExt as _;
use reqwest::{
    Response, Url,
    header::{CONTENT_RANGE, RANGE, RETRY_AFTER},
};
use serde::Deserialize;

use super::source::{Listing, Opened, RemoteFile, Trouble, choose};
use crate::{
    agent::last_words::failure,
    store::{
        Inputs,
        fetch::{body_of, causes},
    },
    workload::{
        hub,
        sources::{HF_TOKEN, root_of_hub},
    },
};

/// Most bytes of a listing.
const LONGEST_LISTING: u64 = 64 << 20;
/// Most characters of an answer that a message shows.
const MOST_SHOWN: usize = 200;
/// Tries for a listing, and the pause after the first; each is twice as long as the one before.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A hub, and who asks it.
#[derive(Debug)]
pub struct HubSource {
    client: reqwest::Client,
    root: String,
    token: Option<String>,
    patterns: Vec<String>,
    model: String,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    size: Option<u64>,
    sha256: Option<String>,
}

impl HubSource {
    pub(super) fn new(plan: &Plan, inputs: &Inputs) -> Result<Self, Failure> {
        let model = &plan.spec.model;
        let prefetch = model.prefetch.as_ref();
        Ok(Self {
            client: inputs
                .http_client()
                .map_err(|error| failure(reason::MODEL_UNAVAILABLE, error))?,
            root: root_of_hub(plan, inputs).to_owned(),
            token: inputs.environment.get(HF_TOKEN).map(str::to_owned),
            patterns: prefetch.map_or_else(Vec::new, |it| it.files.clone()),
            model: model.id.clone(),
        })
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) async fn list(&self, repository: &PlannedRepository) -> Result<Listing, Failure> {
        let mut pause = FIRST_PAUSE;
        let mut last = String::new();
        for _ in 0..TRIES {
            let (cause, wait) = match self.try_list(repository).await {
                Ok(listing) => return Ok(listing),
                Err(Trouble::Final(failure)) => return Err(failure),
                Err(Trouble::Passing(cause, wait)) => (cause, wait),
            };
            tracing::warn!(
                id = repository.id,
                cause,
                "the hub lists no files; trying again"
            );
            tokio::time::sleep(wait.unwrap_or(pause)).await;
            pause *= 2;
            last = cause;
        }
        Err(Failure {
            may_pass: true,
            ..failure(
                reason::MODEL_UNAVAILABLE,
                format!(
                    "{} does not list the files of {}: {last}",
                    self.root, repository.id
                ),
            )
        })
    }

    async fn try_list(&self, repository: &PlannedRepository) -> Result<Listing, Trouble> {
        let PlannedRepository { id, revision, .. } = repository;
        let mut url = self.url(&["api", "models"], id, &["revision", revision])?;
        url.set_query(Some("blobs=true"));
        let answer = self.get(url, 0).await?;
        let answer = self.accept(answer, id, revision)?;
        let body = body_of(answer, LONGEST_LISTING).await;
        let body = body.map_err(|cause| Trouble::Passing(cause, None))?;
        let (commit, files) = listed(&body).map_err(|problem| {
            let told = format!("{} does not describe {id}: {problem}", self.root);
            Trouble::Final(failure(reason::MODEL_UNAVAILABLE, told))
        })?;
        // Adapters have few files, and the patterns are the model's.
        let patterns: &[String] = if *id == self.model {
            &self.patterns
        } else {
            &[]
        };
        let place = format!("{id} at {revision}");
        Ok(Listing {
            commit: Some(commit),
            files: choose(files, patterns, &place).map_err(Trouble::Final)?,
        })
    }

    pub(super) async fn open(
        &self,
        repository: &PlannedRepository,
        commit: Option<&str>,
        file: &RemoteFile,
        from: u64,
    ) -> Result<Opened, Trouble> {
        let PlannedRepository { id, revision, .. } = repository;
        let commit = commit.unwrap_or(revision);
        let mut tail = vec!["resolve", commit];
        tail.extend(file.path.split('/'));
        let answer = self.get(self.url(&[], id, &tail)?, from).await?;
        // Nothing is left, or what is here is not the beginning of it.
        if answer.status().as_u16() == 416 {
            let is_whole = file.size == Some(from);
            let cut = (!is_whole).then(|| Err("HTTP 416".to_owned()));
            return Ok(Opened {
                from: if is_whole { from } else { 0 },
                bytes: futures::stream::iter(cut).boxed(),
            });
        }
        let answer = self.accept(answer, id, commit)?;
        let begins = if answer.status().as_u16() == 206 {
            begin_of(&answer).unwrap_or(from)
        } else {
            0
        };
        let bytes = answer.bytes_stream();
        let bytes = bytes.map(|part| part.map_err(|error| causes(&error)));
        Ok(Opened {
            from: begins,
            bytes: bytes.boxed(),
        })
    }

    async fn get(&self, url: Url, from: u64) -> Result<Response, Trouble> {
        let mut request = self.client.get(url);
        if let Some(token) = &self.token {
            // reqwest leaves it out where a redirection leads to another server.
            request = request.bearer_auth(token);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let sent = request.send().await;
        sent.map_err(|error| Trouble::Passing(causes(&error), None))
    }

    fn accept(&self, answer: Response, id: &str, revision: &str) -> Result<Response, Trouble> {
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            return Ok(answer);
        }
        let has_token = self.token.is_some();
        if let Some(refused) = hub::refused(&self.root, id, revision, status, has_token) {
            return Err(Trouble::Final(refused));
        }
        let cause = format!("HTTP {status}");
        if status == 408 || status == 429 || status >= 500 {
            return Err(Trouble::Passing(cause, wait_of(&answer)));
        }
        let told = format!(
            "{} gives no files of {id} at {revision}: {cause}",
            self.root
        );
        Err(Trouble::Final(failure(reason::MODEL_UNAVAILABLE, told)))
    }

    /// An address, each part of which may hold any character; an id's slashes are its own.
    fn url(&self, head: &[&str], id: &str, tail: &[&str]) -> Result<Url, Trouble> {
        let bad = |problem: &str| {
            let told = format!(
                "{:?} is no address of a hub (model.hub): {problem}",
                self.root
            );
            Trouble::Final(failure(reason::MODEL_UNAVAILABLE, told))
        };
        let mut url = Url::parse(&self.root).map_err(|error| bad(&error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| bad("it has no path"))?
            .pop_if_empty()
            .extend(head)
            .extend(id.split('/'))
            .extend(tail);
        Ok(url)
    }
}

/// Commit and files of a listing. The commit becomes part of a folder's name, so it must be one.
pub(super) fn listed(body: &[u8]) -> Result<(String, Vec<RemoteFile>), String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| shortened(&error.to_string(), MOST_SHOWN))?;
    let is_commit = (1..=64).contains(&answer.sha.len())
        && answer.sha.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_commit {
        let sha = shortened(&answer.sha, MOST_SHOWN);
        return Err(format!("{sha:?} is no commit"));
    }
    let files = answer.siblings.into_iter().map(remote_file).collect();
    Ok((answer.sha, files))
}

fn remote_file(sibling: Sibling) -> RemoteFile {
    let lfs = sibling.lfs;
    RemoteFile {
        path: sibling.rfilename,
        size: lfs.as_ref().and_then(|it| it.size).or(sibling.size),
        sha256: lfs
            .and_then(|it| it.sha256)
            .map(|sha256| sha256.to_ascii_lowercase()),
    }
}

/// Where a part begins: `bytes 100-199/200`.
fn begin_of(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let range = range.trim().strip_prefix("bytes")?.trim_start();
    range.split_once('-')?.0.parse().ok()
}

/// How long to wait, where the server says so in seconds; a minute at most.
fn wait_of(answer: &Response) -> Option<Duration> {
    let seconds: u64 = answer
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(60)))
}
