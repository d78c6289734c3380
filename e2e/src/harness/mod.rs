//! What the end-to-end tests are written with.

mod bucket;
mod everything;
mod metrics;
mod namespace;
mod process;
mod seat;
mod way;

pub use bucket::{gcs_bucket, put_file, read_json, s3_bucket};
pub use everything::{Everything, Written};
pub use metrics::prometheus_value;
pub use namespace::{Namespace, await_condition, client, with_namespace};
pub use process::{freeze_pod, kill_pod, program_of_pod};
pub use seat::Seat;
pub use way::Way;

/// Set by `cargo e2e test`: without it, the end-to-end tests have no cluster to run on.
pub const SWITCH: &str = "BAKEOFF_E2E";

/// Whether there is a cluster; says how to get one if not.
#[must_use]
pub fn has_cluster() -> bool {
    let switched_on = std::env::var_os(SWITCH).is_some_and(|value| value == "1");
    if !switched_on {
        tracing_subscriber::fmt().with_test_writer().try_init().ok();
        tracing::warn!("skipped: end-to-end tests run by `cargo e2e test`");
    }
    switched_on
}
