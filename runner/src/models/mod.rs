//! Models fetched once into a volume, for engines to mount.
//!
//! [`source`] lists the files of a repository and opens them, wherever they are; [`choice`] leaves
//! out what no engine needs twice; [`download`] brings one file whole, however often it is cut;
//! [`progress`] says how far it is; and [`volume`] is what the volume looks like: a folder of a repository is there whole, with the list
//! of its files and their SHA-256s, or not at all.

pub mod choice;
pub mod download;
#[cfg(test)]
mod fuzz;
mod hub;
pub mod progress;
pub mod source;
#[cfg(test)]
mod stand_in;
pub mod volume;

use std::{collections::BTreeSet, path::Path};

use bakeoff_crds::{
    plan::{Plan, PlannedRepository},
    summary::{Failure, PrefetchSummary},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use self::{
    download::{Place, download},
    progress::Progress,
    source::{Listing, Source},
    volume::{Content, Volume, summary_of},
};
use crate::{clock, store::Inputs};

/// Files that are fetched at the same time.
const AT_ONCE: usize = 4;

/// Fetches into the folder `into` what the plan asks for and is not there. `from` is the folder that
/// the model is copied from, where it comes from a claim.
///
/// # Errors
/// With its reason, where something cannot be had or kept.
pub async fn fill(
    plan: &Plan,
    inputs: &Inputs,
    into: &Path,
    from: Option<&Path>,
    progress: &Progress,
) -> Result<PrefetchSummary, Failure> {
    let begun = clock::now();
    let volume = Volume::open(into)?;
    let planned = plan.prefetch.iter().flat_map(|it| &it.repositories);
    let mut seen = BTreeSet::new();
    let mut contents = Vec::new();
    let mut fetched_bytes = 0;
    for (index, repository) in planned.enumerate() {
        // Two adapters may be one repository.
        if !seen.insert(repository.folder.as_str()) {
            continue;
        }
        let source = match index {
            0 => Source::of_model(plan, inputs, from)?,
            _ => Source::hub(plan, inputs)?,
        };
        let (content, fetched) = one(&volume, repository, &source, progress).await?;
        fetched_bytes += fetched;
        contents.push(content);
    }
    let seconds = clock::now().saturating_sub(begun) as f64 / clock::SECOND as f64;
    Ok(summary_of(&contents, fetched_bytes, seconds))
}

/// A repository in the volume, and how many of its bytes were fetched now.
async fn one(
    volume: &Volume,
    repository: &PlannedRepository,
    source: &Source,
    progress: &Progress,
) -> Result<(Content, u64), Failure> {
    let _lock = volume.lock(&repository.folder).await?;
    if let Some(content) = volume.content(&repository.folder)? {
        tracing::info!(id = repository.id, folder = repository.folder, "is there");
        return Ok((content, 0));
    }
    let Listing { commit, files } = source.list(repository).await?;
    let staging = volume.staging(&repository.folder, commit.as_deref())?;
    staging.has_room(&files)?;
    progress.plan(files.iter().filter_map(|file| file.size).sum());
    let place = Place {
        source,
        commit: commit.as_deref(),
        repository,
        staging: &staging,
        progress,
    };
    tracing::info!(
        id = repository.id,
        revision = repository.revision,
        commit,
        files = files.len(),
        "fetching"
    );
    let fetched: Vec<(volume::StoredFile, u64)> = stream::iter(files)
        .map(|file| download(&place, file))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let bytes = fetched.iter().map(|(_, bytes)| bytes).sum();
    let files = fetched.into_iter().map(|(file, _)| file).collect();
    let content = Content::new(repository, commit, files);
    staging.publish(&content)?;
    Ok((content, bytes))
}

#[cfg(test)]
mod tests;
