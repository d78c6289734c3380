//! A YAML document against its kind's schema and CEL rules, as the API server holds it against
//! them, with unknown fields refused as kubectl refuses them.

use std::{borrow::Cow, sync::LazyLock};

use kube::{CustomResourceExt, core::cel};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Error as YamlError, MessageFormatter, UserMessageFormatter};

use crate::{BenchmarkRun, EngineProfile, common::shortened, plan::Problem};

/// Most bytes of a document: what the API server takes in one request.
pub const MOST_BYTES: usize = 3 << 20;
/// Most characters of a document that a problem shows: a value, or an unreadable line.
const MOST_SHOWN: usize = 500;

/// A document of a known kind.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one at a time
pub enum Document {
    /// A run.
    BenchmarkRun(BenchmarkRun),
    /// A profile.
    EngineProfile(EngineProfile),
}

/// Reads one YAML document and holds it against its schema and CEL rules.
///
/// # Errors
/// With every problem, each naming the field, the value and the remedy.
pub fn read(yaml: &str) -> Result<Document, Vec<Problem>> {
    if yaml.len() > MOST_BYTES {
        let message = format!(
            "has {} bytes, and the API server takes {MOST_BYTES}; name a BenchmarkRun or an EngineProfile, and keep data sets in files of their own",
            yaml.len()
        );
        return Err(vec![Problem::new("document", message)]);
    }
    let value = parse(yaml)?;
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let api_version = format!("{}/{}", crate::GROUP, crate::VERSION);
    if text("apiVersion") != api_version {
        let message = format!(
            "{:?} is not known; it must be {api_version}",
            shortened(text("apiVersion"), MOST_SHOWN)
        );
        return Err(vec![Problem::new("apiVersion", message)]);
    }
    let name = value.pointer("/metadata/name");
    if name.and_then(Value::as_str).is_none_or(str::is_empty) {
        let found = name.map_or_else(|| "nothing".into(), ToString::to_string);
        let message = format!(
            "{} is no name; write one such as mistral-7b",
            shortened(&found, MOST_SHOWN)
        );
        return Err(vec![Problem::new("metadata.name", message)]);
    }
    match text("kind") {
        "BenchmarkRun" => BENCHMARK_RUN.read(&value).map(Document::BenchmarkRun),
        "EngineProfile" => ENGINE_PROFILE.read(&value).map(Document::EngineProfile),
        other => {
            let message = format!(
                "{:?} is not known; it must be BenchmarkRun or EngineProfile",
                shortened(other, MOST_SHOWN)
            );
            Err(vec![Problem::new("kind", message)])
        }
    }
}

/// The fields of a YAML document.
fn parse(yaml: &str) -> Result<Value, Vec<Problem>> {
    // YAML 1.2: `y` and `no` are words, not booleans.
    let options = serde_saphyr::options! { strict_booleans: true };
    let value = serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
        let message = error.render_with_formatter(&Remedies);
        let message = format!("is not YAML: {}", shortened(&message, 2 * MOST_SHOWN));
        vec![Problem::new("document", message)]
    })?;
    let found = match &value {
        Value::Object(_) => return Ok(value),
        Value::Null => "is empty",
        Value::Array(_) => "is a list",
        Value::String(_) | Value::Number(_) | Value::Bool(_) => "is a single value",
    };
    let message = format!(
        "{found}; write a BenchmarkRun or an EngineProfile, with apiVersion, kind, metadata and spec"
    );
    Err(vec![Problem::new("document", message)])
}

/// What is wrong with YAML, and what would be right. The parser's own words name its options.
struct Remedies;

impl MessageFormatter for Remedies {
    fn format_message<'a>(&self, error: &'a YamlError) -> Cow<'a, str> {
        match error {
            YamlError::MultipleDocuments { .. } => {
                "a second document begins here; write each into a file of its own".into()
            }
            YamlError::DuplicateMappingKey { key, .. } => {
                let key = shortened(key.as_deref().unwrap_or("a field"), 100);
                format!("{key} is there twice; keep one of the two").into()
            }
            YamlError::NonFiniteFloat { value, .. } => {
                format!("{value} is no finite number; write one, or put it in quotes").into()
            }
            YamlError::RecursiveReferencesRequireWeakTypes { .. } => {
                "this alias refers to what it stands in; write the value out".into()
            }
            YamlError::Budget { .. }
            | YamlError::AliasReplayCounterOverflow { .. }
            | YamlError::AliasReplayLimitExceeded { .. }
            | YamlError::AliasExpansionLimitExceeded { .. }
            | YamlError::AliasReplayStackDepthExceeded { .. } => {
                "nested deeper, or grown larger by aliases, than any document of ours; write the values out, and only those that are needed".into()
            }
            _ => UserMessageFormatter.format_message(error),
        }
    }
}

static BENCHMARK_RUN: LazyLock<Checks> = LazyLock::new(Checks::of::<BenchmarkRun>);
static ENGINE_PROFILE: LazyLock<Checks> = LazyLock::new(Checks::of::<EngineProfile>);

/// Schema and rules of a kind, compiled: that takes far longer than to hold a document against them.
struct Checks {
    /// Absent where the schema itself cannot be read.
    schema: Option<jsonschema::Validator>,
    rules: cel::CompiledSchema,
}

impl Checks {
    fn of<K: CustomResourceExt>() -> Self {
        let schema = schema::<K>();
        let mut closed = schema.clone();
        close(&mut closed);
        Self {
            schema: jsonschema::validator_for(&closed).ok(),
            rules: cel::compile_schema(&schema),
        }
    }

    fn read<K: DeserializeOwned>(&self, value: &Value) -> Result<K, Vec<Problem>> {
        let mut problems = self.against_schema(value);
        // CEL rules read fields without asking whether they are of the right type.
        if problems.is_empty() {
            problems = self.against_rules(value);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        serde_path_to_error::deserialize(value).map_err(|error| {
            let message = shortened(&error.inner().to_string(), MOST_SHOWN);
            vec![Problem::new(error.path().to_string(), message)]
        })
    }

    fn against_rules(&self, value: &Value) -> Vec<Problem> {
        let errors = match cel::Validator::new().validate_compiled(&self.rules, value, None) {
            Ok(()) => return Vec::new(),
            Err(errors) => errors.into_vec(),
        };
        errors
            .into_iter()
            .map(|error| {
                let field = match error.field_path.as_str() {
                    "" => "document",
                    field => field,
                };
                Problem::new(field, shortened(&error.message, MOST_SHOWN))
            })
            .collect()
    }

    fn against_schema(&self, value: &Value) -> Vec<Problem> {
        let Some(validator) = &self.schema else {
            return vec![Problem::new(
                "document",
                "the schema itself cannot be read; report this as a fault",
            )];
        };
        validator
            .iter_errors(value)
            .map(|error| {
                let field = field(&error.instance_path().to_string());
                Problem::new(field, shortened(&error.to_string(), MOST_SHOWN))
            })
            .collect()
    }
}

/// A field as every problem names it, `spec.engines[1].name`, from a JSON pointer.
fn field(pointer: &str) -> String {
    let mut field = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            field.push_str(&format!("[{part}]"));
            continue;
        }
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(&shortened(&part, 100));
    }
    if field.is_empty() {
        "document".clone_into(&mut field);
    }
    field
}

/// The OpenAPI schema of a kind's only version.
pub fn schema<K: CustomResourceExt>() -> Value {
    K::crd()
        .spec
        .versions
        .into_iter()
        .next()
        .and_then(|version| version.schema)
        .and_then(|schema| serde_json::to_value(schema.open_api_v3_schema).ok())
        .unwrap_or_default()
}

/// Refuses fields that the schema does not name. Kubernetes' own metadata stays open. Quantities get
/// the types that the API server takes for them, which it knows by an extension of its own.
fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let named = object.contains_key("properties");
    let open = object.get("x-kubernetes-preserve-unknown-fields").is_some();
    if named && !open && !object.contains_key("additionalProperties") {
        object.insert("additionalProperties".into(), Value::Bool(false));
    }
    if object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        object.insert("type".into(), serde_json::json!(["integer", "string"]));
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        // The root's schema does not name what every object has.
        if properties.contains_key("spec") {
            for name in ["apiVersion", "kind", "metadata"] {
                properties
                    .entry(name)
                    .or_insert_with(|| Value::Object(serde_json::Map::new()));
            }
        }
        properties.values_mut().for_each(close);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            close(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: run}
spec:
  model: {id: a/b}
  engines: [{name: one, profile: vllm}, {name: two, profile: tgi}]
  workload: {prompts: {inline: [x]}}
  output: {uri: 's3://bucket'}
";

    /// The problems of a document, one a line; empty where there is none.
    fn told(yaml: &str) -> String {
        let problems = read(yaml).err().unwrap_or_default();
        let problems = problems.iter().map(ToString::to_string);
        problems.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_no_document_of_ours_is_told_with_its_remedy() {
        assert_eq!(told(RUN), "");
        let laughs: String = ('b'..='k')
            .zip('a'..)
            .map(|(name, of)| {
                format!(
                    "{name}: &{name} [{}]\n",
                    vec![format!("*{of}"); 9].join(",")
                )
            })
            .collect();
        let engine = |text: &str| RUN.replace("{name: two, profile: tgi}", text);
        for (yaml, words) in [
            ("", "document: is empty; write"),
            ("# nothing\n", "document: is empty"),
            ("- a", "document: is a list"),
            ("hello", "document: is a single value"),
            (&format!("{RUN}---\n{RUN}"), "line 12 column 1"),
            (&format!("{RUN}---\n{RUN}"), "each into a file of its own"),
            (
                &format!("{RUN}spec: {{}}\n"),
                "spec is there twice; keep one",
            ),
            (&format!("a: &a [1]\n{laughs}"), "aliases"),
            (
                &format!("a: {}{}", "[".repeat(70), "]".repeat(70)),
                "nested deeper",
            ),
            ("a: &a [*a]", "write the value out"),
            ("a: .inf", ".inf is no finite number"),
            ("a:\n\t- b", "line 2"),
            (&"x".repeat(MOST_BYTES + 1), "3145729 bytes"),
            (
                &RUN.replace("{name: run}", "{}"),
                "metadata.name: nothing is no name",
            ),
            (
                &RUN.replace("metadata: {name: run}", ""),
                "metadata.name: nothing is no name",
            ),
            (
                &RUN.replace("name: run", "name: 7"),
                "metadata.name: 7 is no name",
            ),
            (
                &engine("{name: 5}"),
                "spec.engines[1].name: 5 is not of type \"string\"",
            ),
            (&engine(&format!("{{name: {}}}", "x".repeat(9000))), "…"),
            (&RUN.replace("Run", &"x".repeat(9000)), "…"),
            (
                &RUN.replace("v1alpha1", "v1"),
                "must be bakeoff.dev/v1alpha1",
            ),
            (
                &format!("{RUN}  policy: {{rounds: 1.0}}\n"),
                "spec.policy.rounds: ",
            ),
            (
                &format!("{RUN}  policy: {{rounds: 99999999999999999999}}\n"),
                "spec.policy.rounds: ",
            ),
        ] {
            let told = told(yaml);
            assert!(told.contains(words), "{words}: {told}");
            assert!(told.chars().count() < 3000, "{told}");
        }
    }

    #[test]
    fn fields_are_named_as_people_write_them() {
        for (pointer, expected) in [
            ("", "document"),
            (
                "/spec/engines/0/env/12/name",
                "spec.engines[0].env[12].name",
            ),
            (
                "/spec/output/metadata/a~1b~0c",
                "spec.output.metadata.a/b~c",
            ),
        ] {
            assert_eq!(field(pointer), expected);
        }
    }
}
