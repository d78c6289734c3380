//! A YAML document against its kind's schema and CEL rules, as the API server holds it against
//! them, with unknown fields refused as kubectl refuses them.

use std::sync::LazyLock;

use kube::{CustomResourceExt, core::cel};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{BenchmarkRun, EngineProfile, plan::Problem};

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
    // YAML 1.2: `y` and `no` are words, not booleans.
    let options = serde_saphyr::options! { strict_booleans: true };
    let value: Value = serde_saphyr::from_str_with_options(yaml, options)
        .map_err(|error| vec![Problem::new("document", format!("is not YAML: {error}"))])?;
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    let api_version = format!("{}/{}", crate::GROUP, crate::VERSION);
    if text("apiVersion") != api_version {
        let message = format!(
            "{:?} is not known; it must be {api_version}",
            text("apiVersion")
        );
        return Err(vec![Problem::new("apiVersion", message)]);
    }
    match text("kind") {
        "BenchmarkRun" => BENCHMARK_RUN.read(&value).map(Document::BenchmarkRun),
        "EngineProfile" => ENGINE_PROFILE.read(&value).map(Document::EngineProfile),
        other => {
            let message =
                format!("{other:?} is not known; it must be BenchmarkRun or EngineProfile");
            Err(vec![Problem::new("kind", message)])
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
        serde_json::from_value(value.clone())
            .map_err(|error| vec![Problem::new("document", error.to_string())])
    }

    fn against_rules(&self, value: &Value) -> Vec<Problem> {
        let errors = match cel::Validator::new().validate_compiled(&self.rules, value, None) {
            Ok(()) => return Vec::new(),
            Err(errors) => errors.into_vec(),
        };
        errors
            .into_iter()
            .map(|error| Problem::new(error.field_path, error.message))
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
                let path = error.instance_path().to_string();
                let field = path.trim_start_matches('/').replace('/', ".");
                let field = if field.is_empty() {
                    "document".to_owned()
                } else {
                    field
                };
                Problem::new(field, error.to_string())
            })
            .collect()
    }
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
