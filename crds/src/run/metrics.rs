//! Where figures of the engines and their hardware come from.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::Duration;

/// Where the engines' own metrics come from, beside the runner's direct scrape.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.backend != 'Prometheus' || has(self.url)")
    .message("backend Prometheus needs url, such as http://prometheus.monitoring:9090"))]
#[x_kube(validation = Rule::new(
    "!has(self.extraQueries) || self.backend in ['Prometheus', 'GoogleManagedPrometheus'] || has(self.url)")
    .message("extraQueries need a Prometheus; set url"))]
#[x_kube(validation = Rule::new(
    "self.backend != 'GoogleManagedPrometheus' || !has(self.url) || \
     self.url.startsWith('https://') || self.url.startsWith('http://127.0.0.1:')")
    .message("backend GoogleManagedPrometheus sends a token; use https, or backend Prometheus for a server that asks for none"))]
pub struct Metrics {
    /// Where series are read from.
    #[serde(default)]
    pub backend: MetricsBackend,
    /// Root of the Prometheus HTTP API. With GoogleManagedPrometheus it may be left out: that of the
    /// project that the runner runs in. Another's is
    /// `https://monitoring.googleapis.com/v1/projects/PROJECT/location/global/prometheus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 1024), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: Option<String>,
    /// Interval at which a Prometheus scrapes the engines: that of the PodMonitoring that is made.
    #[serde(default = "default_interval")]
    pub interval: Duration,
    /// Interval of the runner's own scrape, 100ms at least: each costs the engine the making of a
    /// page.
    #[serde(default = "default_direct_interval")]
    pub direct_interval: Duration,
    /// What Prometheus is asked of the engines' GPUs.
    #[serde(default)]
    pub gpu: GpuMetrics,
    /// Further PromQL queries, evaluated over each stage's window; `$window` stands for its length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub extra_queries: Vec<ExtraQuery>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            backend: MetricsBackend::default(),
            url: None,
            gpu: GpuMetrics::default(),
            interval: default_interval(),
            direct_interval: default_direct_interval(),
            extra_queries: Vec::new(),
        }
    }
}

/// Source of the engines' metrics.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum MetricsBackend {
    /// The Prometheus at `url` where it is set, else the direct scrape alone.
    #[default]
    Auto,
    /// The Prometheus at `url`.
    Prometheus,
    /// Google Cloud's Managed Service for Prometheus, with the token of the runner's service account,
    /// which needs `roles/monitoring.viewer`.
    GoogleManagedPrometheus,
    /// The direct scrape alone.
    Direct,
    /// No engine metrics.
    None,
}

/// What Prometheus is asked of the engines' GPUs.
#[derive(Clone, Debug, Default, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GpuMetrics {
    /// Who tells of them.
    #[serde(default)]
    pub exporter: GpuExporter,
    /// Labels by which an engine's GPUs are found among the exporter's series, in place of those of
    /// its pod: `Hostname`, where the exporter knows no pods. `$pod` and `$namespace` are filled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub labels: BTreeMap<String, String>,
}

/// Exporters of GPUs' metrics.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum GpuExporter {
    /// NVIDIA's dcgm-exporter, by its own names of series. Asked where engines have `nvidia.com`
    /// accelerators.
    #[default]
    Dcgm,
    /// None: GPUs are not asked for.
    None,
}

/// One further PromQL query.
#[derive(Clone, Debug, Deserialize, Serialize, KubeSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExtraQuery {
    /// Name in the report.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z][A-Za-z0-9_]*$"))]
    pub name: String,
    /// PromQL; `$window`, `$namespace` and `$pod` are filled in. Of an engine of several pods, `$pod` is
    /// all their names with `|` between, for `=~`.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
}

fn default_direct_interval() -> Duration {
    Duration::from_millis(500)
}

fn default_interval() -> Duration {
    Duration::from_secs(1)
}
