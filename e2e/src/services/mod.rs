//! Servers beside the cluster: two object stores and a Prometheus.
//!
//! They are processes of the machine on an address that pods reach too, so that the same URLs work
//! from a test and from a pod.

pub mod gcs;
pub mod prometheus;
pub mod s3;

use anyhow::Result;

use crate::settings::Layout;

/// Starts all three, or whichever does not run.
pub fn up(layout: &Layout) -> Result<()> {
    s3::start(layout)?;
    gcs::start(layout)?;
    prometheus::start(layout)
}
