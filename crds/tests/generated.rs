//! Generated files are what the types say. `BAKEOFF_UPDATE=1 cargo test -p bakeoff-crds --test
//! generated` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{fs, path::Path};

use bakeoff_crds::{BenchmarkRun, EngineProfile, plan::Plan, report::Report};
use kube::CustomResourceExt;
use serde::Serialize;

fn check(path: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BAKEOFF_UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        return;
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == content,
        "{} is out of date; run BAKEOFF_UPDATE=1 cargo test -p bakeoff-crds --test generated",
        path.display()
    );
}

fn yaml(value: &impl Serialize) -> String {
    // By way of JSON, so that keys come in one order.
    let value = serde_json::to_value(value).unwrap();
    format!(
        "# Generated from the crds crate; do not edit.\n{}",
        serde_saphyr::to_string(&value).unwrap()
    )
}

fn json(value: &impl Serialize) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap())
}

#[test]
fn custom_resource_definitions() {
    for (name, crd) in [
        ("benchmarkruns", BenchmarkRun::crd()),
        ("engineprofiles", EngineProfile::crd()),
    ] {
        let content = yaml(&crd);
        check(&format!("yaml/{name}.yaml"), &content);
        check(&format!("../charts/bakeoff/crds/{name}.yaml"), &content);
    }
}

#[test]
fn schemas() {
    check("schema/report.json", &json(&schemars::schema_for!(Report)));
    check("schema/plan.json", &json(&schemars::schema_for!(Plan)));
}
