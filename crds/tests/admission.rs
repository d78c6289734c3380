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
    let engines = yaml_files(Path::new("../deploy/samples/engines"));
    assert!(engines.len() > 5);
    let samples = [yaml_files(Path::new("../deploy/samples")), engines].concat();
    assert!(samples.len() > 10);
    for (path, yaml) in samples {
        let place = match yaml.contains("uri: file://") {
            true => Place::Local,
            false => Place::Cluster,
        };
        assert_eq!(problems_at(&yaml, place), "", "{path}");
    }
}

#[test]
fn every_built_in_profile_has_a_page_and_is_in_a_sample() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let samples: String = [
        yaml_files(Path::new("../deploy/samples")),
        yaml_files(Path::new("../deploy/samples/engines")),
    ]
    .concat()
    .into_iter()
    .map(|(_, yaml)| yaml + "\n")
    .collect();
    let index = fs::read_to_string(root.join("docs/engines/README.md")).unwrap();
    for name in ProfileSet::builtin().names() {
        let page = root.join(format!("docs/engines/{name}.md"));
        let page = fs::read_to_string(&page).unwrap_or_else(|_| panic!("{}", page.display()));
        assert!(
            index.contains(&format!("({name}.md)")),
            "{name} is not in the index"
        );
        assert!(
            samples.contains(&format!("profile: {name}\n")),
            "{name} is in no sample"
        );
        // What was seen, and what was not, stands on each page.
        assert!(page.contains("## What was tried"), "{name}");
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
