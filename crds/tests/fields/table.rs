//! The table of fields, as the tests of crds, runner and operator read it.

use serde::Deserialize;
use serde_json::Value;

/// One leaf of the API with two values.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)] // each crate's test reads what it needs
pub struct Field {
    /// Path below `spec`.
    pub path: String,
    /// Whose test shows the effect.
    #[serde(default)]
    pub by: String,
    /// Merged into the base first.
    #[serde(default)]
    pub with: Value,
    /// Merged into the profile first.
    #[serde(default)]
    pub profile: Value,
    /// One value; null leaves the field out.
    #[serde(default)]
    pub a: Value,
    /// Another.
    #[serde(default)]
    pub b: Value,
    /// Merged in with the other value, where two fields belong together.
    #[serde(default)]
    pub also: Value,
    /// A value that is refused, where no second one is allowed.
    #[serde(default)]
    pub refused: Value,
}

/// The fields of BenchmarkRun.
#[allow(dead_code)]
pub fn benchmark_run() -> Vec<Field> {
    serde_saphyr::from_str(include_str!("benchmarkrun.yaml")).unwrap()
}

/// The base with one field's value set.
#[allow(dead_code)]
pub fn document(field: &Field, value: &Value) -> Value {
    let mut document: Value = serde_saphyr::from_str(include_str!("base.yaml")).unwrap();
    merge(&mut document["spec"], &field.with);
    set(&mut document["spec"], &field.path, value);
    document
}

/// JSON merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (_, Value::Null) => {}
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => {
            *target = patch.clone();
            strip(target);
        }
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Sets the value at a path such as `engines[0].args`; null removes it.
pub fn set(target: &mut Value, path: &str, value: &Value) {
    let mut here = target;
    let steps: Vec<&str> = path.split('.').collect();
    for (index, step) in steps.iter().enumerate() {
        let last = index + 1 == steps.len();
        let (key, item) = match step.strip_suffix("[0]") {
            Some(key) => (key, true),
            None => (*step, false),
        };
        let map = here.as_object_mut().unwrap();
        if last && value.is_null() {
            map.remove(key);
            return;
        }
        let empty = if item {
            serde_json::json!([{}])
        } else {
            serde_json::json!({})
        };
        here = map.entry(key).or_insert(empty);
        if item {
            here = &mut here[0];
        }
    }
    *here = value.clone();
}
