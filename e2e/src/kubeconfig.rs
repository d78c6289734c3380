//! How the cluster's own components, and people, reach the API server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use serde_json::json;

use crate::certificates::{Authority, Files};
use crate::settings::{ADDRESS, API_PORT};

/// Writes a kubeconfig that holds its certificates itself, and so works from anywhere.
pub fn write(path: &Path, authority: &Authority, client: &Files) -> Result<PathBuf> {
    let data = |file: &Path| -> Result<ByteString> {
        Ok(ByteString(
            fs::read(file).with_context(|| format!("reading {}", file.display()))?,
        ))
    };
    let name = "bakeoff-e2e";
    // JSON, which every reader of YAML takes.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{ADDRESS}:{API_PORT}"),
            "certificate-authority-data": data(&authority.certificate())?,
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": data(&client.certificate)?,
            "client-key-data": data(&client.key)?,
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    });
    fs::write(path, serde_json::to_vec_pretty(&config)?)
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path.to_path_buf())
}
