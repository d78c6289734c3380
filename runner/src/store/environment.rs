//! The environment variables that decide where and with which rights results are stored.

use std::collections::BTreeMap;

/// A snapshot of environment variables; a value of its own so that tests need not touch the
/// process.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

/// Folder that stands for `pvc://CLAIM/PATH` in a pod.
pub const OUTPUT_DIR: &str = "BAKEOFF_OUTPUT_DIR";
/// File with PEM certificates of a private authority.
pub const CA_BUNDLE: &str = "BAKEOFF_CA_BUNDLE";
/// File of the data set, where it comes from a ConfigMap.
pub const DATASET_FILE: &str = "BAKEOFF_DATASET_FILE";
/// File of the tokenizer, where it comes from a ConfigMap.
pub const TOKENIZER_FILE: &str = "BAKEOFF_TOKENIZER_FILE";
/// A Google service account's key, as JSON.
pub const GOOGLE_KEY: &str = "GOOGLE_SERVICE_ACCOUNT_KEY";
/// Root of an S3 server, where no spec names one.
pub const S3_ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// Root of a GCS server, where no spec names one.
pub const GCS_ENDPOINT: &str = "STORAGE_EMULATOR_HOST";

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    /// A variable's value; an empty one counts as not set, as a Pod's `value: ""` does.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The variables whose names begin with `prefix`.
    pub fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.0
            .iter()
            .filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty())
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}
