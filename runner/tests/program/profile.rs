//! An engine that no release of Bakeoff knows: the EngineProfile of docs/profiles.md, taken from the
//! page, drives a server that is up.

use std::{path::Path, process::Command};

use bakeoff_crds::report::Report;

use crate::common::{MODEL, alone, bakeoff, engine};

/// The first YAML of the page.
fn example() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/profiles.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn a_profile_of_ones_own_needs_nothing_but_its_yaml() {
    let _alone = alone();
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("lmdeploy.yaml");
    std::fs::write(&profile, example()).unwrap();
    let run = folder.path().join("run.yaml");
    std::fs::write(
        &run,
        format!(
            r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: own}}
spec:
  model: {{id: {MODEL}, maxModelLen: 4096}}
  tuning: {{maxBatchSize: 8, chunkedPrefill: true}}
  engines: [{{name: own, profile: lmdeploy}}]
  workload:
    prompts: {{inline: ["Why is the sky blue?"]}}
    limits: {{maxInputTokens: 64, maxOutputTokens: 8}}
    sweep: {{concurrency: [2]}}
    requestsPerStage: 8
  output: {{uri: "file://{}"}}
"#,
            folder.path().join("results").display()
        ),
    )
    .unwrap();
    let words = |with_profile: bool| {
        let mut words = vec!["run".to_owned(), run.display().to_string()];
        words.extend(["--at".to_owned(), format!("own={}", engine.url)]);
        if with_profile {
            words.extend(["--profile".to_owned(), profile.display().to_string()]);
        }
        words
    };
    // Without it nobody knows the engine.
    let unknown = Command::new(bakeoff()).args(words(false)).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains("there is no profile \"lmdeploy\""), "{said}");

    let done = Command::new(bakeoff()).args(words(true)).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let address = said.lines().find_map(|line| line.strip_prefix("Report: "));
    let folder = address.unwrap().trim_start_matches("file://");
    let folder = folder.trim_end_matches("/report.json");
    let json = std::fs::read(Path::new(folder).join("report.json")).unwrap();
    let report: Report = serde_json::from_slice(&json).unwrap();
    assert_eq!(report.engines[0].profile, "lmdeploy");
    assert!(report.engines[0].cautions[0].contains("TurboMind"));
    let stage = &report.engines[0].stages[0];
    assert_eq!((stage.requests.sent, stage.requests.succeeded), (8, 8));
    // What its templates never mention is said, as with a built-in one.
    assert!(
        report
            .run
            .warnings
            .iter()
            .any(|it| it.contains("LMDeploy has no setting for tuning.chunkedPrefill")),
        "{:?}",
        report.run.warnings
    );
}
