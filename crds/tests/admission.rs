//! Good and bad objects, held against schema, CEL rules and planning without a cluster. The
//! end-to-end tests replay `good` and `bad` on a real API server, and `planned` through the operator.
//!
//! A bad file begins with `# error: TEXT`: what the error must say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{fs, path::Path};

use bakeoff_crds::{
    plan::{Place, PlanSettings, resolve},
    profile::ProfileSet,
    validate::document::{Document, read},
};

/// The problems of a file on a cluster, one a line; empty for a good one.
fn problems(yaml: &str) -> String {
    problems_at(yaml, Place::Cluster)
}

fn problems_at(yaml: &str, place: Place) -> String {
    let document = match read(yaml) {
        Ok(document) => document,
        Err(problems) => {
            return problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n");
        }
    };
    let Document::BenchmarkRun(run) = document else {
        return String::new();
    };
    let settings = PlanSettings {
        runner_image: "runner:test".into(),
        place,
    };
    resolve(&run, &ProfileSet::builtin(), &settings)
        .err()
        .map_or_else(String::new, |problems| problems.to_string())
}

fn files(folder: &str) -> Vec<(String, String)> {
    yaml_files(&Path::new("tests/cases").join(folder))
}

fn yaml_files(folder: &Path) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn good_files_have_no_problem() {
    let files = files("good");
    assert!(!files.is_empty());
    for (path, yaml) in files {
        assert_eq!(problems(&yaml), "", "{path}");
    }
}

#[test]
fn samples_have_no_problem_where_they_are_meant_to_run() {
    let samples = yaml_files(Path::new("../deploy/samples"));
    assert!(samples.len() > 5);
    for (path, yaml) in samples {
        let place = match yaml.contains("uri: file://") {
            true => Place::Local,
            false => Place::Cluster,
        };
        assert_eq!(problems_at(&yaml, place), "", "{path}");
    }
}

#[test]
fn bad_files_are_refused_with_the_error_that_they_name() {
    // What the schema and its rules refuse, and what only planning can.
    let files = [files("bad"), files("planned")].concat();
    assert!(files.len() > 20);
    for (path, yaml) in files {
        let expected = yaml
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# error: "))
            .unwrap_or_else(|| panic!("{path} names no error in its first line"));
        let problems = problems(&yaml);
        assert!(
            problems.contains(expected),
            "{path}\nexpected: {expected}\nfound: {problems}"
        );
    }
}
