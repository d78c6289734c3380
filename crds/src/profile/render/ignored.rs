//! What a run sets and no template of a profile speaks of.

use std::collections::{BTreeMap, BTreeSet};

use super::Renderer;
use crate::profile::EngineProfileSpec;

/// Settings that a run may leave out and that an engine may not know.
const OPTIONAL: [&str; 17] = [
    "model.dtype",
    "model.revision",
    "model.quantization",
    "model.maxModelLen",
    "model.chatTemplate",
    "tuning.maxBatchSize",
    "tuning.gpuMemoryUtilization",
    "tuning.tensorParallelSize",
    "tuning.pipelineParallelSize",
    "tuning.prefixCaching",
    "tuning.maxBatchedTokens",
    "tuning.chunkedPrefill",
    "tuning.inFlightBatching",
    "tuning.kvCacheDtype",
    "tuning.speculativeDecoding",
    "tuning.speculativeDecoding.draftModel",
    "tuning.speculativeDecoding.numTokens",
];

impl Renderer {
    /// Settings of `tuning` and `model` that no template of the profile mentions, though the run
    /// sets them: what this engine cannot honour.
    pub fn ignored_settings(&self, profile: &EngineProfileSpec) -> Vec<String> {
        let mentioned = self.mentioned(profile);
        let mut ignored: Vec<String> = OPTIONAL
            .iter()
            .filter(|path| self.is_set(path) && !mentioned.contains(**path))
            .map(|path| (*path).to_owned())
            .collect();
        // What is in a setting counts where the setting itself is known.
        let parts: Vec<String> = ignored.iter().map(|path| format!("{path}.")).collect();
        ignored.retain(|path| !parts.iter().any(|part| path.starts_with(part)));
        // A loop's own variable cannot be seen from outside its template.
        if self.has_adapter_revision() && !texts(profile).any(|it| it.contains("adapter.revision"))
        {
            ignored.push("model.adapters.revision".to_owned());
        }
        ignored
    }

    /// Whether the run says something of a setting, beyond its default.
    fn is_set(&self, path: &str) -> bool {
        let mut value = self.values.clone();
        for key in path.split('.') {
            match value.get_attr(key) {
                Ok(inner) => value = inner,
                Err(_) => return false,
            }
        }
        let by_default = match path {
            "model.dtype" => value.as_str() == Some("auto"),
            // Weights on a volume are there in one revision.
            "model.revision" => {
                let path = self
                    .values
                    .get_attr("model")
                    .and_then(|model| model.get_attr("path"));
                value.as_str() == Some("main") || path.is_ok_and(|path| !path.is_none())
            }
            _ => false,
        };
        !value.is_none() && !value.is_undefined() && !by_default
    }

    fn has_adapter_revision(&self) -> bool {
        let adapters = self
            .values
            .get_attr("model")
            .and_then(|model| model.get_attr("adapters"));
        let adapters = adapters.and_then(|adapters| adapters.try_iter());
        adapters.is_ok_and(|mut adapters| {
            adapters.any(|adapter| {
                let revision = adapter.get_attr("revision");
                revision.is_ok_and(|revision| !revision.is_none())
            })
        })
    }

    fn mentioned(&self, profile: &EngineProfileSpec) -> BTreeSet<String> {
        texts(profile)
            .filter_map(|text| self.environment.template_from_str(text).ok())
            .flat_map(|template| template.undeclared_variables(true))
            .collect()
    }
}

/// The templates of the containers.
fn texts(profile: &EngineProfileSpec) -> impl Iterator<Item = &String> {
    fn of<'a>(
        command: &'a [String],
        args: &'a [String],
        env: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a String> {
        command.iter().chain(args).chain(env.values())
    }
    let container = &profile.container;
    let further = profile.containers.iter();
    let before = profile.init_containers.iter();
    let object = profile.object.iter();
    of(&container.command, &container.args, &container.env)
        .chain(further.flat_map(|it| of(&it.command, &it.args, &it.env)))
        .chain(before.flat_map(|it| of(&it.command, &it.args, &it.env)))
        .chain(profile.files.iter().map(|file| &file.content))
        .chain(object.clone().map(|object| &object.manifest))
        .chain(
            object
                .flat_map(|object| &object.pods)
                .flat_map(|it| of(&it.command, &it.args, &it.env)),
        )
}
