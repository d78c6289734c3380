//! The object that tells a Prometheus to scrape an engine.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

use super::{Turn, labels, names, object};
use crate::{plan::Plan, run::MetricsBackend};

/// Which API a cluster has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitoringApi {
    /// Google Managed Prometheus' PodMonitoring.
    GoogleManaged,
    /// prometheus-operator's PodMonitor.
    PrometheusOperator,
}

impl MonitoringApi {
    /// Group, version and kind.
    pub fn resource(self) -> ApiResource {
        let (group, version, kind) = match self {
            Self::GoogleManaged => ("monitoring.googleapis.com", "v1", "PodMonitoring"),
            Self::PrometheusOperator => ("monitoring.coreos.com", "v1", "PodMonitor"),
        };
        ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
    }
}

/// The object that has one engine scraped at the run's interval; none where the engine has no
/// metrics or the run wants none.
pub fn pod_monitoring(
    plan: &Plan,
    owner: &OwnerReference,
    turn: Turn,
    api: MonitoringApi,
) -> Option<DynamicObject> {
    let engine = plan.engines.get(turn.engine)?;
    let metrics = engine.metrics.as_ref()?;
    if plan.spec.metrics.backend == MetricsBackend::None || engine.endpoint.port == 0 {
        return None;
    }
    let own = if metrics.port == engine.endpoint.port {
        "http"
    } else {
        "metrics"
    };
    let port = engine.port_name(i32::from(metrics.port), own);
    let interval = plan.spec.metrics.interval.to_string();
    let endpoint = json!({ "port": port, "path": metrics.path, "interval": interval });
    let selector = json!({
        "matchLabels": object::serving_labels(plan, turn, engine),
    });
    let spec = match api {
        MonitoringApi::GoogleManaged => json!({
            "selector": selector,
            "endpoints": [endpoint],
        }),
        MonitoringApi::PrometheusOperator => json!({
            "selector": selector,
            "podMetricsEndpoints": [endpoint],
        }),
    };
    let mut object = DynamicObject::new(&names::engine(plan, turn), &api.resource());
    object.metadata = names::metadata(
        plan,
        owner,
        names::engine(plan, turn),
        labels::COMPONENT_ENGINE,
        Some(turn),
    );
    object.data = json!({ "spec": spec });
    Some(object)
}
