//! The bytes that prompts are made of, from wherever the spec says.

use std::borrow::Cow;

use bakeoff_crds::{
    common::FileSource,
    plan::{EngineSource, Plan},
};
use bytes::Bytes;

use super::{
    WorkloadError,
    dataset::{self, DatasetError},
};
use crate::store::{
    FetchError, Inputs,
    environment::{DATASET_FILE, TOKENIZER_FILE},
};

/// Environment variable with the Hugging Face token.
pub(crate) const HF_TOKEN: &str = "HF_TOKEN";
/// Environment variable with the root of another hub.
const HF_ENDPOINT: &str = "HF_ENDPOINT";
/// The hub.
const HUB: &str = "https://huggingface.co";
/// The file beside `tokenizer.json` that holds the chat template.
const CONFIG: &str = "tokenizer_config.json";

/// The bytes that prompts are made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    /// The data set.
    pub dataset: Option<Bytes>,
    /// `tokenizer.json`.
    pub tokenizer: Option<Bytes>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<Bytes>,
}

impl Sources {
    /// What the data set's file says; nothing where there is none.
    ///
    /// # Errors
    /// Where it is no text.
    pub fn dataset_text(&self) -> Result<Cow<'_, [u8]>, DatasetError> {
        dataset::file::text(self.dataset.as_deref().unwrap_or_default())
    }
}

/// Fetches what the plan's prompts need.
///
/// The tokenizer is the one of `model.tokenizer`. Where that is left out, it is fetched from the
/// model's repository, or the bucket's folder in its place, if a deployed engine loads that repository and the prompts have lengths to be
/// counted; a run of nothing but external or simulated engines goes without.
///
/// # Errors
/// See [`WorkloadError`].
pub async fn fetch(plan: &Plan, inputs: &Inputs) -> Result<Sources, WorkloadError> {
    let prompts = &plan.spec.workload.prompts;
    let mut sources = Sources::default();
    if let Some((_, file)) = prompts.file() {
        let fetched = inputs.fetch(file, DATASET_FILE).await;
        sources.dataset = Some(fetched.map_err(dataset_error)?.bytes);
    }
    if let Some(file) = &plan.spec.model.tokenizer {
        let fetched = inputs.fetch(file, TOKENIZER_FILE).await;
        sources.tokenizer = Some(fetched.map_err(tokenizer_error)?.bytes);
        if let Some(sibling) = sibling(file) {
            // Most tokenizers have one beside them; one that has none has no template.
            let config = inputs.fetch(&sibling, TOKENIZER_FILE).await;
            sources.tokenizer_config = config.ok().map(|config| config.bytes);
        }
    } else if let (true, Some(uri)) = (needs_hub(plan), bucket(plan)) {
        let file = |name: &str| FileSource {
            uri: Some(format!("{}/{name}", uri.trim_end_matches('/'))),
            ..FileSource::default()
        };
        let tokenizer = inputs.fetch(&file("tokenizer.json"), TOKENIZER_FILE).await;
        sources.tokenizer = Some(tokenizer.map_err(tokenizer_error)?.bytes);
        let config = inputs.fetch(&file(CONFIG), TOKENIZER_FILE).await;
        sources.tokenizer_config = config.ok().map(|config| config.bytes);
    } else if needs_hub(plan) {
        let tokenizer = from_hub(plan, inputs, "tokenizer.json").await;
        sources.tokenizer = Some(tokenizer.map_err(WorkloadError::TokenizerUnavailable)?);
        sources.tokenizer_config = from_hub(plan, inputs, CONFIG).await.ok();
    }
    Ok(sources)
}

/// The bucket's folder that the model is fetched from, if any.
fn bucket(plan: &Plan) -> Option<&str> {
    plan.spec.model.prefetch.as_ref()?.uri.as_deref()
}

/// Whether the tokenizer has to come from the model's repository.
fn needs_hub(plan: &Plan) -> bool {
    let counts_lengths = plan.spec.workload.prompts.inline.is_empty();
    counts_lengths
        && plan.spec.model.persistent_volume_claim.is_none()
        && plan
            .engines
            .iter()
            .any(|engine| matches!(engine.source, EngineSource::Deployed(_)))
}

/// Root of the hub that a run's models come from, without a slash at its end.
pub(crate) fn root_of_hub<'a>(plan: &'a Plan, inputs: &'a Inputs) -> &'a str {
    let environment = inputs.environment.get(HF_ENDPOINT);
    let hub = environment.or(plan.spec.model.hub.as_deref());
    hub.unwrap_or(HUB).trim_end_matches('/')
}

async fn from_hub(plan: &Plan, inputs: &Inputs, file: &str) -> Result<Bytes, String> {
    let model = &plan.spec.model;
    let hub = root_of_hub(plan, inputs);
    let url = format!("{hub}/{}/resolve/{}/{file}", model.id, model.revision);
    inputs
        .download(&url, inputs.environment.get(HF_TOKEN))
        .await
        .map_err(|cause| format!("{url} cannot be fetched: {cause}; set model.tokenizer to a file, or model.tokenSecretRef for a gated model"))
}

/// The configuration beside a tokenizer's file; none for a key of a ConfigMap.
fn sibling(file: &FileSource) -> Option<FileSource> {
    let beside = |path: &str| {
        path.strip_suffix("tokenizer.json")
            .map(|folder| format!("{folder}{CONFIG}"))
    };
    let sibling = FileSource {
        uri: file.uri.as_deref().and_then(beside),
        path: file.path.as_deref().and_then(beside),
        ..FileSource::default()
    };
    (sibling != FileSource::default()).then_some(sibling)
}

fn dataset_error(error: FetchError) -> WorkloadError {
    match error {
        error @ FetchError::Unavailable { .. } => WorkloadError::DatasetUnavailable(error),
        error => WorkloadError::Source(error),
    }
}

fn tokenizer_error(error: FetchError) -> WorkloadError {
    match error {
        error @ FetchError::Unavailable { .. } => {
            WorkloadError::TokenizerUnavailable(error.to_string())
        }
        error => WorkloadError::Source(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tokenizer_comes_from_where_the_model_does() {
        const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: bucket, namespace: bench, uid: 0f9a1b2c-0000-4000-8000-000000000000}
spec:
  model: {id: org/model, hub: "http://127.0.0.1:9", prefetch: {size: 1Gi, uri: "s3://weights/model"}}
  engines: [{name: vllm, profile: vllm}]
  workload: {prompts: {synthetic: {inputTokens: {mean: 8}, outputTokens: {mean: 8}}}}
  output: {uri: "s3://results/bakeoff"}
"#;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), "tokens").unwrap();
        std::fs::write(folder.path().join(CONFIG), "{}").unwrap();
        let mut plan = crate::report::fixture::plan_of(RUN);
        let prefetch = plan.spec.model.prefetch.as_mut().unwrap();
        prefetch.uri = Some(format!("file://{}/", folder.path().display()));
        let inputs = Inputs {
            base: "/".into(),
            output: plan.spec.output.clone(),
            environment: crate::store::Environment::default(),
        };
        let sources = fetch(&plan, &inputs).await.unwrap();
        assert_eq!(sources.tokenizer.as_deref(), Some(&b"tokens"[..]));
        assert_eq!(sources.tokenizer_config.as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn the_configuration_lies_beside_the_tokenizer() {
        for (uri, path, expected) in [
            (
                Some("s3://b/m/tokenizer.json"),
                None,
                Some("s3://b/m/tokenizer_config.json"),
            ),
            (None, Some("tokenizer.json"), Some("tokenizer_config.json")),
            (None, Some("other.json"), None),
        ] {
            let file = FileSource {
                uri: uri.map(Into::into),
                path: path.map(Into::into),
                ..FileSource::default()
            };
            let found = sibling(&file).and_then(|sibling| sibling.uri.or(sibling.path));
            assert_eq!(found.as_deref(), expected, "{uri:?} {path:?}");
        }
    }
}
