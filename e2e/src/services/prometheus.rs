//! A Prometheus that finds our pods by their labels, as one in a user's cluster would.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::daemon::Daemon;
use crate::settings::{Layout, service_address};
use crate::{tools, wait};

/// The port that it listens on.
pub const PORT: u16 = 9090;
/// How often it scrapes: short, because the stages of tests are short.
pub const SCRAPE_INTERVAL: &str = "1s";

/// The server's root URL.
pub fn endpoint() -> Result<String> {
    Ok(format!("http://{}:{PORT}", service_address()?))
}

pub(super) fn start(layout: &Layout) -> Result<()> {
    let address = service_address()?;
    let config = serde_json::to_vec_pretty(&config(layout))?;
    let path = layout.write_state_file("prometheus/prometheus.json", config)?;
    Daemon::new("prometheus", tools::PROMETHEUS.build(layout)?)
        .args([
            format!("--config.file={}", path.display()),
            format!(
                "--storage.tsdb.path={}",
                layout.state_file("prometheus/data")?.display()
            ),
            format!("--web.listen-address={address}:{PORT}"),
        ])
        .start(layout)?;
    wait::until("Prometheus listens", Duration::from_secs(120), || {
        Ok(TcpStream::connect((address, PORT))?)
    })?;
    Ok(())
}

fn config(layout: &Layout) -> serde_json::Value {
    let keep = |label: &str, regex: &str| json!({"source_labels": [label], "regex": regex, "action": "keep"});
    let copy = |from: &str, to: &str| json!({"source_labels": [from], "target_label": to});
    json!({
        "global": {"scrape_interval": SCRAPE_INTERVAL, "scrape_timeout": SCRAPE_INTERVAL},
        "scrape_configs": [{
            "job_name": "bakeoff",
            "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": layout.kubeconfig()}],
            "relabel_configs": [
                keep("__meta_kubernetes_pod_label_app_kubernetes_io_managed_by", "bakeoff"),
                keep("__meta_kubernetes_pod_container_port_name", "metrics|http"),
                keep("__meta_kubernetes_pod_phase", "Running"),
                copy("__meta_kubernetes_namespace", "namespace"),
                copy("__meta_kubernetes_pod_name", "pod"),
                copy("__meta_kubernetes_pod_container_name", "container"),
                {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(bakeoff_dev_.+)"},
            ],
        }],
    })
}
