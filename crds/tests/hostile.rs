//! Hostile values: every text of a run, with what templates, YAML, shells, Kubernetes or paths would
//! take for more than text, is refused or stays text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "fields/effects.rs"]
mod effects;
#[path = "fields/table.rs"]
mod table;

use bakeoff_crds::{plan::Place, profile::ProfileSet};
use effects::{effects, plan};
use serde_json::{Value, json};
use table::Field;

const HOSTILE: [&str; 14] = [
    "{{ 1234 * 1000 }}",
    "{% for i in range(9) %}x{% endfor %}",
    "a\nb: c",
    "a\n--trust-remote-code",
    "a: {b: c}",
    "\"; touch /tmp/x; \"",
    "'; touch /tmp/x; '",
    "$(HF_TOKEN)",
    "${HF_TOKEN}",
    "`id`",
    "../../../etc/passwd",
    "/etc/passwd\0.txt",
    "\u{202e}txt.exe",
    "*",
];
/// Fields whose text is for the engine to make sense of: a template of its own, words of a prompt,
/// and what a person gives a container beside the profile.
const OWN_WORDS: [&str; 4] = [
    "model.chatTemplate",
    "engines[0].args",
    "engines[0].env[0].value",
    "engines[0].external.http.body",
];

/// The keys and lengths of a value, without its texts; of a text that is a document, those of the
/// document.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(text) if text.contains('\n') => match serde_saphyr::from_str::<Value>(text) {
            Ok(document @ (Value::Object(_) | Value::Array(_))) => shape(&document),
            _ => json!("text"),
        },
        Value::String(_) => json!("text"),
        _ => Value::Null,
    }
}

/// Texts that Kubernetes replaces variables in: arguments, and variables given by value.
fn expanded(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("args" | "command", Value::Array(words)) => {
                        found.extend(words.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("value", Value::String(text)) => found.push(text.clone()),
                    _ => expanded(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expanded(item, found)),
        _ => {}
    }
}

fn is_text(field: &Field) -> bool {
    field.b.is_string() && !OWN_WORDS.contains(&field.path.as_str())
}

/// How many values were taken and stayed text.
fn check(field: &Field, document: impl Fn(&Value) -> Value, profiles: &ProfileSet) -> usize {
    let Ok(usual) = plan(&document(&field.b), Place::Cluster, profiles) else {
        return 0;
    };
    let usual = shape(&Value::from(effects(&usual)));
    let mut taken = 0;
    for hostile in HOSTILE {
        let Ok(plan) = plan(&document(&json!(hostile)), Place::Cluster, profiles) else {
            continue;
        };
        taken += 1;
        let effects = Value::from(effects(&plan));
        let told = || format!("{} = {hostile:?}", field.path);
        let text = effects.to_string();
        assert!(!text.contains("1234000"), "{}: a template was run", told());
        assert!(
            !text.contains("xxxxxxxxx"),
            "{}: a template was run",
            told()
        );
        assert_eq!(shape(&effects), usual, "{}: more than a text", told());
        let mut words = Vec::new();
        expanded(&effects, &mut words);
        let expands = words
            .iter()
            .find(|word| word.replace("$$", "").contains("$(HF"));
        assert_eq!(
            expands,
            None,
            "{}: Kubernetes would fill in the token",
            told()
        );
    }
    taken
}

#[test]
fn what_a_run_says_is_text_and_no_more() {
    let profiles = ProfileSet::builtin();
    let fields: Vec<Field> = table::benchmark_run().into_iter().filter(is_text).collect();
    assert!(fields.len() > 40, "only {}", fields.len());
    let document = |field: &Field, value: &Value| {
        let mut document = table::document(field, value);
        table::merge(&mut document["spec"], &field.also);
        document
    };
    let taken: usize = fields
        .iter()
        .map(|field| check(field, |value| document(field, value), &profiles))
        .sum();
    // Or nothing would have been looked at.
    assert!(taken > 20, "only {taken} values were taken");
}

#[test]
fn what_a_run_says_of_its_model_is_text_in_every_profile() {
    let profiles = ProfileSet::builtin();
    let fields: Vec<Field> = table::benchmark_run()
        .into_iter()
        .filter(|field| is_text(field) && field.path.starts_with("model."))
        .collect();
    for name in profiles.names() {
        for field in &fields {
            let with_profile = |value: &Value| {
                let mut document = table::document(field, value);
                document["spec"]["engines"] = json!([{ "name": "engine", "profile": name }]);
                document
            };
            check(field, with_profile, &profiles);
        }
    }
}
