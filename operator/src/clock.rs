//! The only place that reads the time.

use k8s_openapi::jiff::Timestamp;

/// Now, in whole seconds: Kubernetes stores no more, and a status read back must equal the one
/// written.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
