//! Good and bad objects on a real API server: the same files that the crds crate judges offline.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bakeoff_e2e::harness::{Namespace, has_cluster, with_namespace};

use crate::install;

fn files(folder: &str) -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    let mut files = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    ensure!(!files.is_empty(), "{} is empty", folder.display());
    Ok(files)
}

/// A server-side dry run, as `kubectl apply` would be answered.
fn dry_run(namespace: &Namespace, file: &Path) -> Result<String> {
    // The file names a namespace of its own, which does not exist here.
    let yaml = fs::read_to_string(file)?.replace(", namespace: bench}", "}");
    let arguments = [
        "--namespace",
        &namespace.name,
        "apply",
        "--dry-run=server",
        "--filename",
        "-",
    ];
    namespace.kubectl.with_input(&arguments, &yaml)
}

#[tokio::test]
async fn good_objects_and_all_samples_are_taken() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        for folder in [
            "crds/tests/cases/good",
            "crds/tests/cases/planned",
            "deploy/samples",
            "deploy/samples/engines",
            "deploy/samples/network",
        ] {
            for file in files(folder)? {
                dry_run(&namespace, &file).with_context(|| format!("{}", file.display()))?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bad_objects_are_refused_with_the_error_that_they_name() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        for file in files("crds/tests/cases/bad")? {
            let yaml = fs::read_to_string(&file)?;
            let expected = yaml
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("# error: "))
                .with_context(|| format!("{} names no error", file.display()))?;
            match dry_run(&namespace, &file) {
                Ok(_) => bail!("{} was taken", file.display()),
                Err(error) => {
                    let error = format!("{error:#}");
                    ensure!(error.contains(expected), "{}: {error}", file.display());
                }
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_spec_is_fixed_but_for_suspend_and_cleanup() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        let least = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/cases/good/least.yaml"),
        )?;
        let held_back = least
            .replace(", namespace: bench}", "}")
            .replace("spec:\n", "spec:\n  suspend: true\n");
        namespace.apply(&held_back)?;
        let patch = |patch: &str| {
            namespace.kubectl(&["patch", "bmr", "least", "--type", "merge", "--patch", patch])
        };
        for refused in [
            r#"{"spec":{"workload":{"repetitions":2}}}"#,
            r#"{"spec":{"objectives":[{"metric":"RequestLatency","lessThan":"1s"}]}}"#,
            r#"{"spec":{"tuning":{"maxBatchSize":1}}}"#,
        ] {
            let error = patch(refused).err().context(refused)?;
            ensure!(
                format!("{error:#}").contains("make a new BenchmarkRun"),
                "{error:#}"
            );
        }
        patch(r#"{"spec":{"cleanup":{"engines":"OnSuccess"}}}"#)?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_field_is_explained() -> Result<()> {
    if !has_cluster() {
        return Ok(());
    }
    let _beside = crate::turns::beside().await;
    with_namespace(async |namespace| {
        install::operator(&namespace).await?;
        let explained = namespace.kubectl(&["explain", "bmr.spec", "--recursive"])?;
        for field in [
            "tokenSecretRef",
            "ignoreEos",
            "onEngineFailure",
            "ttlAfterFinished",
        ] {
            ensure!(explained.contains(field), "{field} is missing");
        }
        let one = namespace.kubectl(&["explain", "bmr.spec.workload.sweep.requestRate"])?;
        ensure!(one.contains("Requests a second"), "{one}");
        Ok(())
    })
    .await
}
