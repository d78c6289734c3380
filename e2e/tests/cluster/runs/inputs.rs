//! What a run needs before it is applied: credentials, certificates, tokenizer and data set.

use anyhow::{Context, Result};
use bakeoff_e2e::harness::{Namespace, gcs_bucket, s3_bucket};
use bakeoff_e2e::images;
use bakeoff_e2e::inputs::Inputs;
use bakeoff_e2e::services::{gcs, prometheus, s3};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde_json::json;

/// Which of the two buckets a run writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bucket {
    /// S3 over TLS with a private authority.
    S3,
    /// Google Cloud Storage.
    Gcs,
}

impl Bucket {
    /// A client of the test's own.
    pub(super) fn open(self, namespace: &Namespace) -> Result<Box<dyn ObjectStore>> {
        Ok(match self {
            Self::S3 => Box::new(s3_bucket(&namespace.layout)?),
            Self::Gcs => Box::new(gcs_bucket()?),
        })
    }

    fn root(self) -> String {
        match self {
            Self::S3 => format!("s3://{}", s3::BUCKET),
            Self::Gcs => format!("gs://{}", gcs::BUCKET),
        }
    }

    /// `spec.output` of a run in this namespace.
    pub(super) fn output(self, namespace: &Namespace) -> Result<serde_json::Value> {
        let uri = format!("{}/results/{}", self.root(), namespace.name);
        Ok(match self {
            Self::S3 => json!({
                "uri": uri,
                "endpoint": s3::endpoint()?,
                "region": s3::REGION,
                "credentialsSecretRef": {"name": "bucket"},
                "caBundleRef": {"name": "inputs", "key": "ca.crt"},
            }),
            // A server of one's own, which asks for no token.
            Self::Gcs => json!({"uri": uri, "endpoint": gcs::endpoint()?}),
        })
    }

    /// Address of the ShareGPT-format data set.
    fn dataset(self) -> String {
        format!("{}/{DATASET}", self.root())
    }
}

const DATASET: &str = "datasets/sharegpt.json";

/// Makes what a run of this bucket needs in the namespace, and puts the data set into the bucket.
pub(super) async fn prepare(namespace: &Namespace, bucket: Bucket) -> Result<()> {
    let inputs = Inputs::make(&namespace.layout)?;
    let tokenizer = std::fs::read_to_string(inputs.tokenizer())?;
    let authority = std::fs::read_to_string(s3::ca_certificate(&namespace.layout))?;
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"},
            "stringData": {
                "AWS_ACCESS_KEY_ID": s3::ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": s3::SECRET_KEY,
            },
        },
        {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "inputs"},
            "data": {"tokenizer.json": tokenizer, "ca.crt": authority},
        },
    ]});
    // Larger than an annotation of client-side apply may be.
    let arguments = [
        "--namespace",
        &namespace.name,
        "apply",
        "--server-side",
        "--filename",
        "-",
    ];
    namespace
        .kubectl
        .with_input(&arguments, &objects.to_string())?;
    let dataset = std::fs::read(inputs.share_gpt())?;
    bucket
        .open(namespace)?
        .put(&Path::from(DATASET), dataset.into())
        .await
        .context("putting the data set into the bucket")?;
    Ok(())
}

/// The YAML of a run, with images, addresses and output filled in.
pub(super) fn fill(template: &str, namespace: &Namespace, bucket: Bucket) -> Result<String> {
    Ok(template
        .replace("VLLM_IMAGE", &images::name("simulator-vllm"))
        .replace("TGI_IMAGE", &images::name("simulator-tgi"))
        .replace("TRITON_IMAGE", &images::name("simulator-commands"))
        .replace("LLAMA_IMAGE", &images::name("llama-server"))
        .replace("DATASET", &bucket.dataset())
        .replace("PROMETHEUS_URL", &prometheus::endpoint()?)
        .replace("OUTPUT", &bucket.output(namespace)?.to_string()))
}
