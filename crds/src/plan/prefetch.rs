//! What is fetched before the engines start, and where they find it.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EngineSource, PlannedEngine, RunIdentity};
use crate::{
    manifests::names,
    run::{Adapter, BenchmarkRunSpec, ModelSpec, Prefetch, Retention},
    validate::Problem,
};

/// Where engines find the model.
const MODELS: &str = "/models";
/// Where engines find the adapters.
const ADAPTERS: &str = "/adapters";
/// Longest part of a volume's or folder's name that tells the model.
const MAX_SLUG: usize = 36;

/// What is fetched into the volume.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedPrefetch {
    /// Name of the claim.
    pub claim_name: String,
    /// The model, and its adapters after it.
    pub repositories: Vec<PlannedRepository>,
}

/// A repository in the volume.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRepository {
    /// Its id.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Its folder in the volume.
    pub folder: String,
    /// Where engines find it.
    pub path: String,
}

impl PlannedPrefetch {
    /// What a run fetches; none where it does not ask for that, or deploys no engine that would
    /// load it.
    pub fn of(
        spec: &BenchmarkRunSpec,
        run: &RunIdentity,
        engines: &[PlannedEngine],
    ) -> Option<Self> {
        let model = &spec.model;
        let prefetch = model.prefetch.as_ref()?;
        engines
            .iter()
            .any(|engine| matches!(engine.source, EngineSource::Deployed(_)))
            .then(|| Self {
                claim_name: claim_name(model, prefetch, run),
                repositories: repositories(model, prefetch),
            })
    }
}

/// Where engines find the model, where it is fetched for them.
pub(crate) fn model_path(model: &ModelSpec) -> Option<String> {
    model.prefetch.as_ref()?;
    Some(format!("{MODELS}/{}", model.id))
}

/// Where engines find an adapter, where it is fetched for them.
pub(crate) fn adapter_path(model: &ModelSpec, adapter: &Adapter) -> Option<String> {
    model.prefetch.as_ref()?;
    is_fetched(adapter).then(|| format!("{ADAPTERS}/{}", adapter.name))
}

/// One that is a path of the engine's container is there already.
fn is_fetched(adapter: &Adapter) -> bool {
    !adapter.id.starts_with('/')
}

fn repositories(model: &ModelSpec, prefetch: &Prefetch) -> Vec<PlannedRepository> {
    let own = PlannedRepository {
        id: model.id.clone(),
        revision: model.revision.clone(),
        folder: format!(
            "{}-{}",
            slug(&model.id),
            digest(&model_source(model, prefetch))
        ),
        path: model_path(model).unwrap_or_default(),
    };
    let adapters = model.adapters.iter().filter_map(|adapter| {
        let path = adapter_path(model, adapter)?;
        let revision = adapter.revision.clone();
        let revision = revision.unwrap_or_else(|| "main".into());
        let source = [hub(model), &adapter.id, &revision];
        Some(PlannedRepository {
            folder: format!("{}-{}", slug(&adapter.id), digest(&source)),
            id: adapter.id.clone(),
            revision,
            path,
        })
    });
    [own].into_iter().chain(adapters).collect()
}

/// One volume for each model, revision and source; and for each size and class, which a volume
/// keeps for its life.
fn claim_name(model: &ModelSpec, prefetch: &Prefetch, run: &RunIdentity) -> String {
    if let Some(name) = &prefetch.claim_name {
        return name.clone();
    }
    match prefetch.retention {
        Retention::Delete => names::child(run, "model"),
        Retention::Retain => {
            let size = prefetch.size.as_ref().map_or("", |size| size.0.as_str());
            let class = prefetch.storage_class_name.as_deref();
            let mut words = model_source(model, prefetch);
            words.extend([size, class.unwrap_or_default(), prefetch.access_mode.name()]);
            format!("bakeoff-{}-{}", slug(&model.id), digest(&words))
        }
    }
}

/// All that decides on the files.
fn model_source<'a>(model: &'a ModelSpec, prefetch: &'a Prefetch) -> Vec<&'a str> {
    let from = prefetch.uri.as_deref();
    let claim = model.persistent_volume_claim.as_ref();
    let claim = claim
        .into_iter()
        .flat_map(|it| [it.claim_name.as_str(), &it.path]);
    let files = prefetch.files.iter().map(String::as_str);
    [
        from.unwrap_or_else(|| hub(model)),
        &model.id,
        &model.revision,
    ]
    .into_iter()
    .chain(claim)
    .chain(files)
    .collect()
}

fn hub(model: &ModelSpec) -> &str {
    model.hub.as_deref().unwrap_or_default()
}

/// The part of a name that people know it by: lower-case letters, digits and single dashes.
fn slug(id: &str) -> String {
    let mut slug = String::new();
    for character in id.chars().take(MAX_SLUG) {
        match character.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => slug.push(letter),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.trim_matches('-').to_owned()
}

/// Eight characters that tell these words from others.
fn digest(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word.len().to_be_bytes());
        hash.update(word);
    }
    hash.finalize()
        .iter()
        .take(4)
        .fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Ids that are no path below a folder.
pub(crate) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let model = &spec.model;
    if model.prefetch.is_none() {
        return;
    }
    let adapters = model.adapters.iter().enumerate();
    let named = adapters
        .filter(|(_, adapter)| is_fetched(adapter))
        .flat_map(|(index, adapter)| {
            let field = format!("spec.model.adapters[{index}]");
            [
                (format!("{field}.name"), &adapter.name),
                (format!("{field}.id"), &adapter.id),
            ]
        });
    for (field, value) in [("spec.model.id".to_owned(), &model.id)]
        .into_iter()
        .chain(named)
    {
        if value.split('/').any(|part| matches!(part, "" | "." | "..")) {
            problems.push(Problem::new(
                field,
                format!(
                    "{value:?} names no folder, which model.prefetch makes of it; write it without empty parts, . and .., or remove prefetch"
                ),
            ));
        }
    }
}

/// What is loaded from elsewhere all the same.
pub(super) fn warnings(spec: &BenchmarkRunSpec, engines: &[PlannedEngine]) -> Vec<String> {
    if spec.model.prefetch.is_none() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    for (engine, planned) in spec.engines.iter().zip(engines) {
        if !matches!(planned.source, EngineSource::Deployed(_)) {
            continue;
        }
        let name = &engine.name;
        if let Some(id) = engine.model.as_ref().and_then(|model| model.id.as_ref()) {
            warnings.push(format!(
                "{name}: its own model.id {id} is not fetched by model.prefetch, so its start holds the download"
            ));
        }
        let own = engine.tuning.as_ref();
        let own = own.and_then(|tuning| tuning.speculative_decoding.as_ref());
        let draft = own.or(spec.tuning.speculative_decoding.as_ref());
        let draft = draft.and_then(|it| it.draft_model.as_deref());
        if let Some(id) = draft.filter(|id| !id.starts_with('/')) {
            warnings.push(format!(
                "{name}: the draft model {id} is not fetched by model.prefetch, so its start holds the download"
            ));
        }
    }
    if !engines
        .iter()
        .any(|engine| matches!(engine.source, EngineSource::Deployed(_)))
    {
        warnings.push("model.prefetch fetches nothing: the run deploys no engine".into());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(json: serde_json::Value) -> ModelSpec {
        serde_json::from_value(json).unwrap()
    }

    fn run() -> RunIdentity {
        RunIdentity {
            name: "first".into(),
            namespace: "bench".into(),
            uid: "0f9a1b2c-0000-4000-8000-000000000000".into(),
        }
    }

    fn claim(changes: serde_json::Value) -> String {
        let mut json = serde_json::json!({"id": "Org/Model_7B--v0.2", "revision": "main",
            "prefetch": {"size": "10Gi", "retention": "Retain"}});
        for (key, value) in changes.as_object().unwrap() {
            if key == "prefetch" {
                for (key, value) in value.as_object().unwrap() {
                    json["prefetch"][key] = value.clone();
                }
            } else {
                json[key] = value.clone();
            }
        }
        let model = model(json);
        claim_name(&model, model.prefetch.as_ref().unwrap(), &run())
    }

    #[test]
    fn a_volume_that_stays_is_named_by_all_that_is_in_it() {
        let name = claim(serde_json::json!({}));
        let (words, hash) = name.rsplit_once('-').unwrap();
        assert_eq!(words, "bakeoff-org-model-7b-v0-2");
        assert_eq!(hash.len(), 8);
        assert_eq!(name, claim(serde_json::json!({"dtype": "Float16"})));
        for other in [
            serde_json::json!({"revision": "v2"}),
            serde_json::json!({"hub": "https://hub.example"}),
            serde_json::json!({"prefetch": {"uri": "s3://weights/model"}}),
            serde_json::json!({"prefetch": {"size": "20Gi"}}),
            serde_json::json!({"prefetch": {"storageClassName": "fast"}}),
            serde_json::json!({"prefetch": {"accessMode": "ReadWriteMany"}}),
            serde_json::json!({"prefetch": {"files": ["*.gguf"]}}),
            serde_json::json!({"persistentVolumeClaim": {"claimName": "weights", "path": "a"}}),
        ] {
            assert_ne!(claim(other.clone()), name, "{other}");
        }
        let longest = claim(serde_json::json!({"id": "a.".repeat(126)}));
        assert!(longest.len() <= 63, "{longest}");
        // Nothing runs into its neighbour.
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }

    #[test]
    fn a_volume_of_the_run_is_named_like_the_run_and_one_that_is_there_keeps_its_name() {
        let of_run = serde_json::json!({"prefetch": {"retention": "Delete"}});
        assert_eq!(claim(of_run), "first-model-0f9a1");
        let mine = serde_json::json!({"prefetch": {"claimName": "mine"}});
        assert_eq!(claim(mine), "mine");
    }

    #[test]
    fn what_is_downloaded_all_the_same_is_told() {
        let warnings = |engines: &str, tuning: &str| {
            let yaml = format!(
                "
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: w, namespace: bench}}
spec:
  model: {{id: org/m, prefetch: {{size: 1Gi}}}}
  tuning: {tuning}
  engines: {engines}
  workload: {{prompts: {{inline: [one]}}}}
  output: {{uri: 's3://results'}}
"
            );
            let run: crate::BenchmarkRun = serde_saphyr::from_str(&yaml).unwrap();
            let settings = crate::plan::PlanSettings {
                runner_image: "runner".into(),
                place: crate::plan::Place::Cluster,
            };
            let profiles = crate::profile::ProfileSet::builtin();
            let plan = crate::plan::resolve(&run, &profiles, &settings).unwrap();
            (plan.warnings.join("; "), plan.prefetch.is_some())
        };
        let vllm = "[{name: a, profile: vllm}]";
        assert_eq!(warnings(vllm, "{}"), (String::new(), true));
        let draft = "{speculativeDecoding: {method: DraftModel, draftModel: DRAFT, numTokens: 4}}";
        let of = |draft_model| warnings(vllm, &draft.replace("DRAFT", draft_model)).0;
        assert!(of("org/small").contains("a: the draft model org/small"));
        assert_eq!(of("/drafts/small"), "");
        let own = "[{name: l, profile: llama-cpp, model: {id: org/gguf}}]";
        assert!(
            warnings(own, "{}")
                .0
                .contains("l: its own model.id org/gguf")
        );
        let external =
            "[{name: e, external: {url: 'https://api.example.com', protocol: OpenAiChat}}]";
        let (told, fetches) = warnings(external, "{}");
        assert!(told.contains("deploys no engine") && !fetches, "{told}");
    }
}
