//! A resource that the node has one of, for one test's engines alone: whoever holds it keeps every other
//! from it, and no other test is kept from anything.

use anyhow::{Context, Result};
use serde_json::json;

use super::Namespace;
use crate::settings::NODE;

/// The resource, until it is dropped.
#[derive(Debug)]
pub struct Seat<'a> {
    namespace: &'a Namespace,
}

impl<'a> Seat<'a> {
    /// Has the node say that it has one. The kubelet keeps what somebody else reports.
    ///
    /// # Errors
    /// Where the node cannot be written.
    pub fn make(namespace: &'a Namespace) -> Result<Self> {
        let seat = Self { namespace };
        seat.patch("add").context("giving the node a resource")?;
        Ok(seat)
    }

    /// Its name, as pods ask for it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("bakeoff.test/{}", self.namespace.name)
    }

    fn patch(&self, operation: &str) -> Result<()> {
        let path = |of: &str| format!("/status/{of}/bakeoff.test~1{}", self.namespace.name);
        let change = |of| json!({ "op": operation, "path": path(of), "value": "1" });
        let patch = json!([change("capacity"), change("allocatable")]).to_string();
        self.namespace.kubectl.run(&[
            "patch",
            "node",
            NODE,
            "--subresource=status",
            "--type=json",
            "-p",
            &patch,
        ])
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.patch("remove") {
            tracing::warn!(%error, "the node keeps {}", self.name());
        }
    }
}
