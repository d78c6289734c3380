//! Addresses of results: `gs://`, `s3://`, `pvc://` and `file://`.

use std::path::{Path, PathBuf};

use super::{
    Environment, StoreError,
    environment::{OUTPUT_DIR, S3_ENDPOINT},
};

/// Where an address leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A bucket.
    Bucket {
        /// `s3` or `gs`.
        scheme: &'static str,
        /// Name of the bucket.
        bucket: String,
        /// Key under which everything is, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// A folder of this machine.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Address to show in its place: that of a claim, whose mount point tells a reader nothing.
        shown_as: Option<String>,
    },
}

impl Location {
    /// Reads an address. `pvc://` is the folder that `BAKEOFF_OUTPUT_DIR` names. A plain path
    /// counts as a folder, so that `bakeoff report results/` works.
    ///
    /// # Errors
    /// [`StoreError::Address`] for another scheme or a missing bucket name.
    pub fn parse(uri: &str, environment: &Environment) -> Result<Self, StoreError> {
        let bad = |problem: &str| StoreError::Address {
            uri: uri.to_owned(),
            problem: problem.to_owned(),
        };
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Ok(Self::folder(uri, None));
        };
        let bucket = |scheme| {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(bad(
                    "it names no bucket; write gs://BUCKET/PREFIX or s3://BUCKET/PREFIX",
                ));
            }
            Ok(Self::Bucket {
                scheme,
                bucket: bucket.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
            })
        };
        match scheme {
            "s3" => bucket("s3"),
            "gs" => bucket("gs"),
            "file" if rest.is_empty() => Err(bad("it names no folder; write file://PATH")),
            "file" => Ok(Self::folder(rest, None)),
            "pvc" => environment.get(OUTPUT_DIR).map_or_else(
                || Err(bad("a claim can be reached only in a pod that mounts it, which sets BAKEOFF_OUTPUT_DIR; outside a cluster use file://PATH")),
                |folder| Ok(Self::folder(folder, Some(uri.trim_end_matches('/').to_owned()))),
            ),
            _ => Err(bad("its scheme is not known; use gs://, s3://, pvc:// or file://")),
        }
    }

    fn folder(path: &str, shown_as: Option<String>) -> Self {
        Self::Folder {
            path: PathBuf::from(path),
            shown_as,
        }
    }

    /// Key under which everything is; empty for a folder, which is its own root.
    pub fn prefix(&self) -> &str {
        match self {
            Self::Bucket { prefix, .. } => prefix,
            Self::Folder { .. } => "",
        }
    }

    /// Address of a key, for people.
    pub fn uri(&self, key: &str) -> String {
        match self {
            Self::Bucket { scheme, bucket, .. } => format!("{scheme}://{bucket}/{key}"),
            Self::Folder {
                shown_as: Some(uri),
                ..
            } => format!("{uri}/{key}"),
            Self::Folder { path, .. } => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("file://{}", path.join(Path::new(key)).display())
            }
        }
    }

    /// What to do where this place refuses a write or a read.
    pub fn remedy(&self) -> String {
        match self {
            Self::Bucket { scheme: "gs", bucket, .. } => format!(
                "give the pods' service account roles/storage.objectUser on gs://{bucket} (Workload Identity), \
                 or name a Secret with GOOGLE_SERVICE_ACCOUNT_KEY in spec.output.credentialsSecretRef; \
                 for another server than Google's set spec.output.endpoint"
            ),
            Self::Bucket { bucket, .. } => format!(
                "give the pods' service account s3:PutObject, s3:GetObject and s3:ListBucket on {bucket} (IRSA), \
                 or name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in spec.output.credentialsSecretRef; \
                 check spec.output.region, and for another server than Amazon's spec.output.endpoint ({S3_ENDPOINT} outside a cluster)"
            ),
            Self::Folder { shown_as: Some(_), .. } => {
                "check that the claim is bound, has room, and can be written by user 65532 (fsGroup)".into()
            }
            Self::Folder { path, .. } => {
                format!("check that {} can be written and the disk has room", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(scheme: &'static str, bucket: &str, prefix: &str) -> Location {
        Location::Bucket {
            scheme,
            bucket: bucket.into(),
            prefix: prefix.into(),
        }
    }

    #[test]
    fn addresses_lead_where_they_say() {
        let pod = Environment::from([(OUTPUT_DIR, "/output")]);
        for (uri, expected, shown) in [
            ("s3://b", bucket("s3", "b", ""), "s3://b/k"),
            ("gs://b/a/b/", bucket("gs", "b", "a/b"), "gs://b/k"),
            (
                "file:///tmp/x",
                Location::folder("/tmp/x", None),
                "file:///tmp/x/k",
            ),
            (
                "pvc://claim/a/",
                Location::folder("/output", Some("pvc://claim/a".into())),
                "pvc://claim/a/k",
            ),
            (
                "/tmp/x",
                Location::folder("/tmp/x", None),
                "file:///tmp/x/k",
            ),
        ] {
            let location = Location::parse(uri, &pod).unwrap();
            assert_eq!(location, expected, "{uri}");
            assert_eq!(location.uri("k"), shown, "{uri}");
        }
    }

    #[test]
    fn bad_addresses_name_the_remedy() {
        for (uri, remedy) in [
            ("s3:///x", "names no bucket"),
            ("azure://x/y", "use gs://, s3://, pvc:// or file://"),
            ("pvc://claim", "BAKEOFF_OUTPUT_DIR"),
            ("file://", "file://PATH"),
        ] {
            let error = Location::parse(uri, &Environment::default()).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(uri) && message.contains(remedy),
                "{message}"
            );
        }
    }
}
