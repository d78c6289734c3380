//! Every field of the API does something: the table names each leaf of both CRDs, and a change of
//! one shows in a manifest or a planned engine. Fields of the load and of the operator's decisions
//! are shown on the same table by `runner/tests/fields` and `operator/tests/it/fields.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "fields/effects.rs"]
mod effects;
#[path = "fields/table.rs"]
mod table;

use std::collections::BTreeSet;

use bakeoff_crds::{
    BenchmarkRun, EngineProfile,
    plan::Place,
    profile::ProfileSet,
    validate::document::{Document, read, schema},
};
use effects::{effects, plan};
use serde_json::{Value, json};
use table::Field;

/// Types of Kubernetes itself, each one field of ours.
const FOREIGN: [&str; 3] = ["affinity", "tolerations", "resources"];

fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let name = path.rsplit('.').next().unwrap_or_default();
    if !FOREIGN.contains(&name) {
        let below = |schema: &Value, prefix: &str, found: &mut BTreeSet<String>| {
            for (key, inner) in schema["properties"].as_object().unwrap() {
                leaves(inner, &format!("{prefix}.{key}"), found);
            }
        };
        if schema["properties"].is_object() {
            return below(schema, path, found);
        }
        if schema["items"]["properties"].is_object() {
            return below(&schema["items"], &format!("{path}[0]"), found);
        }
    }
    found.insert(path.trim_start_matches("spec.").to_owned());
}

fn leaves_of(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    leaves(&schema["properties"]["spec"], "spec", &mut found);
    found
}

#[test]
fn the_tables_name_every_leaf() {
    let named: BTreeSet<_> = table::benchmark_run()
        .into_iter()
        .map(|field| field.path)
        .collect();
    assert_eq!(leaves_of(&schema::<BenchmarkRun>()), named);
    let named: BTreeSet<_> = profile_fields()
        .into_iter()
        .map(|field| field.path)
        .collect();
    assert_eq!(leaves_of(&schema::<EngineProfile>()), named);
}

#[test]
fn every_field_has_somebody_to_show_its_effect() {
    for field in table::benchmark_run() {
        assert!(
            ["crds", "runner", "operator"].contains(&field.by.as_str()),
            "{}",
            field.path
        );
    }
}

#[test]
fn fields_of_a_run_reach_a_manifest_or_an_engine() {
    let profiles = ProfileSet::builtin();
    for field in table::benchmark_run()
        .iter()
        .filter(|field| field.by == "crds")
    {
        let plan = |value: &Value| plan(&table::document(field, value), Place::Cluster, &profiles);
        if !field.refused.is_null() {
            assert!(
                plan(&field.refused).is_err(),
                "{} is not refused",
                field.path
            );
            continue;
        }
        let [a, b] = [&field.a, &field.b].map(|value| {
            plan(value).unwrap_or_else(|error| panic!("{} = {value}: {error}", field.path))
        });
        assert_ne!(
            effects(&a),
            effects(&b),
            "{} makes no difference",
            field.path
        );
    }
}

#[test]
fn fields_of_a_profile_reach_a_manifest_or_an_engine() {
    let base: Value = serde_saphyr::from_str(include_str!("fields/profile.yaml")).unwrap();
    let with_profile = |document: &Value, with: &Value| {
        let yaml = serde_json::to_string(document).unwrap();
        let Ok(Document::EngineProfile(profile)) = read(&yaml) else {
            panic!("{:?}", read(&yaml))
        };
        let profiles = ProfileSet::builtin().with("own", profile.spec);
        let field = Field {
            path: "engines[0].profile".into(),
            by: String::new(),
            with: with.clone(),
            profile: Value::Null,
            a: Value::Null,
            b: Value::Null,
            also: Value::Null,
            refused: Value::Null,
        };
        plan(
            &table::document(&field, &json!("own")),
            Place::Cluster,
            &profiles,
        )
        .unwrap()
    };
    for field in profile_fields() {
        let mut base = base.clone();
        table::merge(&mut base["spec"], &field.profile);
        let before = effects(&with_profile(&base, &field.with));
        let mut changed = base.clone();
        if !field.refused.is_null() {
            table::set(&mut changed["spec"], &field.path, &field.refused);
            let refused = read(&serde_json::to_string(&changed).unwrap());
            assert!(refused.is_err(), "{} is not refused", field.path);
            continue;
        }
        table::merge(&mut changed["spec"], &field.also);
        table::set(&mut changed["spec"], &field.path, &field.b);
        assert_ne!(
            before,
            effects(&with_profile(&changed, &field.with)),
            "{} makes no difference",
            field.path
        );
    }
}

fn profile_fields() -> Vec<Field> {
    serde_saphyr::from_str(include_str!("fields/engineprofile.yaml")).unwrap()
}
