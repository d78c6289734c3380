//! The profiles that come with Bakeoff, and those that a user adds to them.

use std::collections::BTreeMap;

use super::EngineProfileSpec;

const BUILT_IN: [(&str, &str); 19] = [
    ("fastchat", include_str!("../../profiles/fastchat.yaml")),
    ("jetstream", include_str!("../../profiles/jetstream.yaml")),
    ("llama-cpp", include_str!("../../profiles/llama-cpp.yaml")),
    (
        "naive-transformers",
        include_str!("../../profiles/naive-transformers.yaml"),
    ),
    ("openllm", include_str!("../../profiles/openllm.yaml")),
    ("ray-serve", include_str!("../../profiles/ray-serve.yaml")),
    (
        "ray-service",
        include_str!("../../profiles/ray-service.yaml"),
    ),
    ("sax", include_str!("../../profiles/sax.yaml")),
    ("sglang", include_str!("../../profiles/sglang.yaml")),
    (
        "tensorrt-llm",
        include_str!("../../profiles/tensorrt-llm.yaml"),
    ),
    ("tgi", include_str!("../../profiles/tgi.yaml")),
    ("torchserve", include_str!("../../profiles/torchserve.yaml")),
    (
        "transformers",
        include_str!("../../profiles/transformers.yaml"),
    ),
    (
        "triton-model",
        include_str!("../../profiles/triton-model.yaml"),
    ),
    (
        "triton-tensorrt-llm",
        include_str!("../../profiles/triton-tensorrt-llm.yaml"),
    ),
    (
        "triton-tensorrt-llm-engine",
        include_str!("../../profiles/triton-tensorrt-llm-engine.yaml"),
    ),
    (
        "triton-vllm",
        include_str!("../../profiles/triton-vllm.yaml"),
    ),
    ("vllm", include_str!("../../profiles/vllm.yaml")),
    (
        "vllm-leader-worker-set",
        include_str!("../../profiles/vllm-leader-worker-set.yaml"),
    ),
];

/// Profiles by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileSet(BTreeMap<String, EngineProfileSpec>);

impl ProfileSet {
    /// The profiles that come with Bakeoff.
    pub fn builtin() -> Self {
        Self(
            BUILT_IN
                .into_iter()
                // A test reads them all, so none is lost here.
                .filter_map(|(name, yaml)| Some((name.to_owned(), read(yaml).ok()?)))
                .collect(),
        )
    }

    /// The same set with one more profile, in place of one of the same name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, profile: EngineProfileSpec) -> Self {
        self.0.insert(name.into(), profile);
        self
    }

    /// The profile of a name.
    pub fn get(&self, name: &str) -> Option<&EngineProfileSpec> {
        self.0.get(name)
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn read(yaml: &str) -> Result<EngineProfileSpec, serde_saphyr::Error> {
    serde_saphyr::from_str(yaml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_can_be_read() {
        for (name, yaml) in BUILT_IN {
            read(yaml).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert_eq!(ProfileSet::builtin().names().count(), BUILT_IN.len());
    }
}
