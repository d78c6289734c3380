//! A bucket whose disk is full amid a run: what was measured is held until there is room.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bakeoff_crds::report::Report;
use bakeoff_e2e::command;
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};
use bakeoff_e2e::services::s3;

use super::bakeoff::nothing_left;
use super::bucket_away::{
    LIMIT, PAUSE, RUN, STAGES, nothing_lost_nothing_twice, runner_says, runners, two_stages,
};
use super::complete;
use super::inputs::{Bucket, prepare};
use super::truth::Truth;
use crate::install;

/// A bucket of the S3 server on a small disk of its own.
struct SmallBucket {
    name: String,
    folder: PathBuf,
}

impl SmallBucket {
    fn make(namespace: &Namespace) -> Result<Self> {
        let name = namespace.name.clone();
        let folder = s3::folder(&namespace.layout, &name);
        fs::create_dir_all(&folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]);
        command::run(mount.arg(&folder))?;
        Ok(Self { name, folder })
    }

    /// Leaves no room.
    fn fill(&self) -> Result<()> {
        let mut filler = OpenOptions::new();
        let mut filler = filler.create(true).append(true).open(self.filler())?;
        loop {
            match filler.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("filling the bucket"),
            }
        }
    }

    fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("making room in the bucket")
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Files in it that end so.
    fn found(&self, end: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in entries(&folder)? {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.ends_with(end) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }
}

impl Drop for SmallBucket {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        if let Err(error) = command::run(unmount.arg("--lazy").arg(&self.folder)) {
            tracing::warn!(%error, "the small bucket stays mounted");
        }
        fs::remove_dir(&self.folder).ok();
    }
}

/// A folder that the server takes away meanwhile has none.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.with_context(|| format!("listing {}", folder.display())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_full_until_there_is_room_costs_nothing() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        let truth = Truth::follow(&namespace);
        install::operator(&namespace).await?;
        prepare(&namespace, Bucket::S3).await?;
        let bucket = SmallBucket::make(&namespace)?;
        let yaml = two_stages(&namespace, "5m")?;
        let common = format!("s3://{}/", s3::BUCKET);
        ensure!(yaml.contains(&common), "{yaml}");
        namespace.apply(&yaml.replace(&common, &format!("s3://{}/", bucket.name)))?;

        let [first, second] = STAGES.map(|stage| format!("{stage}/attempt-1"));
        let begun = format!("{second}/begun.json");
        let has_begun = async {
            while bucket.found(&begun)?.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(())
        };
        let waited = tokio::time::timeout(LIMIT, has_begun).await;
        waited.context("waited until the second stage has begun")??;
        bucket.fill()?;
        runner_says(&namespace, "the store is away, trying again", 2).await?;
        runner_says(&namespace, "No space left on device", 1).await?;
        let is_stored =
            |stage: &str| anyhow::Ok(!bucket.found(&format!("{stage}/stage.json"))?.is_empty());
        ensure!(
            is_stored(&first)? && !is_stored(&second)?,
            "the second is stored"
        );
        bucket.make_room()?;

        complete(&namespace, RUN).await?;
        ensure!(bucket.found("manifest.json")?.len() == 1, "no manifest");
        let report = bucket.found("report.json")?;
        let report = fs::read(report.first().context("no report")?)?;
        let report: Report = serde_json::from_slice(&report)?;
        nothing_lost_nothing_twice(&report, truth)?;
        // Held by the same pod: no other was made.
        let pods = runners(&namespace).await?.len();
        ensure!(pods == 1, "{pods} runners");
        nothing_left(&namespace).await
    })
    .await
}
