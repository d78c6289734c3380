//! Pages as the exporters of a GPU node write them, from figures that are known.

use std::net::SocketAddr;

use axum::{Router, extract::State, http::header, routing::get};
use bakeoff_runner::clock::{self, Nanos};
use serde_json::{Value, json};

pub const UTILIZATION: f64 = 0.87;
pub const MEMORY_MEBIBYTES: f64 = 20_480.0;
pub const WATTS: f64 = 71.5;
pub const CPUS: f64 = 1.5;
pub const MEMORY_BYTES: f64 = 3_221_225_472.0;
pub const TOKENS_A_SECOND: f64 = 800.0;
pub const FIRST_TOKEN: f64 = 0.05;
pub const NODE: &str = "gke-bakeoff-l4-7f3c2a1b-x9zq";
/// A pod whose GPU is scraped with honorLabels.
pub const HONOURED: &str = "run-vllm-1";
/// A pod whose GPU is scraped without.
pub const RENAMED: &str = "run-tgi-1";
/// A pod whose GPU's exporter is older than DCGM 4.
pub const OLD: &str = "run-triton-1";

pub struct Exporter {
    address: SocketAddr,
}

pub async fn start() -> Exporter {
    let begun = clock::now();
    // No charset, and the version that Prometheus asks for, as client libraries answer.
    let answer = |page: String| ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page);
    let dcgm = |pod: &'static str, clocks: &'static str| {
        get(move |State(begun): State<Nanos>| async move {
            answer(dcgm(pod, clocks, seconds_since(begun)))
        })
    };
    let new = "DCGM_FI_DEV_CLOCKS_EVENT_REASONS";
    let app = Router::new()
        .route("/dcgm/honoured", dcgm(HONOURED, new))
        .route("/dcgm/renamed", dcgm(RENAMED, new))
        .route("/dcgm/old", dcgm(OLD, "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"))
        .route(
            "/metrics/cadvisor",
            get(move |State(begun): State<Nanos>| async move {
                answer(cadvisor(seconds_since(begun)))
            }),
        )
        .route(
            "/metrics",
            get(move |State(begun): State<Nanos>| async move {
                answer(vllm(seconds_since(begun)))
            }),
        )
        .with_state(begun);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Exporter { address }
}

fn seconds_since(begun: Nanos) -> f64 {
    clock::seconds(clock::now().saturating_sub(begun))
}

impl Exporter {
    /// Scrape configurations, with the labels that Kubernetes' discovery would give the targets.
    pub fn jobs(&self) -> Vec<Value> {
        let target = |namespace: &str, pod: &str| json!([{"targets": [self.address.to_string()], "labels": {"namespace": namespace, "pod": pod}}]);
        vec![
            json!({"job_name": "dcgm-honoured", "metrics_path": "/dcgm/honoured", "honor_labels": true,
                "static_configs": target("gpu-operator", "dcgm-exporter-1")}),
            json!({"job_name": "dcgm-renamed", "metrics_path": "/dcgm/renamed",
                "static_configs": target("gke-managed-system", "dcgm-exporter-2")}),
            json!({"job_name": "dcgm-old", "metrics_path": "/dcgm/old",
                "static_configs": target("gpu-operator", "dcgm-exporter-3")}),
            json!({"job_name": "cadvisor", "metrics_path": "/metrics/cadvisor", "honor_labels": true,
                "static_configs": [{"targets": [self.address.to_string()]}]}),
            json!({"job_name": "engine", "static_configs": target("bench", HONOURED)}),
        ]
    }
}

/// Labels, and order, as dcgm-exporter 3 and 4 write them with DCGM_EXPORTER_KUBERNETES=true.
fn dcgm(pod: &str, clocks: &str, seconds: f64) -> String {
    let host = if pod == HONOURED {
        NODE
    } else {
        "gke-bakeoff-l4-7f3c2a1b-aaaa"
    };
    let labels = format!(
        r#"{{gpu="0",UUID="GPU-5a5f3c4e-9a3d-0c1e-5d6c-1a2b3c4d5e6f",pci_bus_id="00000000:00:03.0",device="nvidia0",modelName="NVIDIA L4",Hostname="{host}",DCGM_FI_DRIVER_VERSION="550.90.07",container="engine",namespace="bench",pod="{pod}"}}"#
    );
    let gauges = [
        ("DCGM_FI_DEV_SM_CLOCK", 2040.0),
        ("DCGM_FI_DEV_MEM_CLOCK", 6251.0),
        ("DCGM_FI_DEV_GPU_TEMP", 61.0),
        ("DCGM_FI_DEV_POWER_USAGE", WATTS),
        ("DCGM_FI_DEV_GPU_UTIL", UTILIZATION * 100.0),
        ("DCGM_FI_DEV_FB_USED", MEMORY_MEBIBYTES),
        // SwPowerCap and SwThermalSlowdown.
        (clocks, f64::from(0x4 + 0x20)),
    ];
    let mut page = String::new();
    for (name, value) in gauges {
        page.push_str(&format!(
            "# HELP {name} …\n# TYPE {name} gauge\n{name}{labels} {value}\n"
        ));
    }
    let energy = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION";
    let millijoules = 9_000_000_000.0 + (WATTS * 1000.0 * seconds).round();
    page.push_str(&format!(
        "# HELP {energy} …\n# TYPE {energy} counter\n{energy}{labels} {millijoules}\n"
    ));
    page
}

/// The containers of two pods, with their sandboxes and sums.
fn cadvisor(seconds: f64) -> String {
    let mut page = String::new();
    for pod in [HONOURED, RENAMED] {
        // The sum over the pod, its sandbox, its container.
        for (container, share) in [("", 1.0), ("POD", 0.01), ("engine", 1.0)] {
            let labels = format!(
                r#"{{container="{container}",id="/kubepods/pod1/{container}",image="",name="",namespace="bench",pod="{pod}"}}"#
            );
            let cpu = 1000.0 + CPUS * share * seconds;
            let memory = MEMORY_BYTES * share;
            page.push_str(&format!(
                "container_cpu_usage_seconds_total{labels} {cpu}\ncontainer_memory_working_set_bytes{labels} {memory}\n"
            ));
        }
    }
    page
}

fn vllm(seconds: f64) -> String {
    let tokens = 1_000_000.0 + (TOKENS_A_SECOND * seconds).round();
    let answers = (10.0 * seconds).floor();
    let labels = r#"{engine="0",model_name="tiny"}"#;
    format!(
        "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{labels} 4.0\n\
         # TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{labels} {tokens}\n\
         # TYPE vllm:time_to_first_token_seconds histogram\n\
         vllm:time_to_first_token_seconds_bucket{{engine=\"0\",le=\"+Inf\",model_name=\"tiny\"}} {answers}\n\
         vllm:time_to_first_token_seconds_sum{labels} {}\n\
         vllm:time_to_first_token_seconds_count{labels} {answers}\n",
        answers * FIRST_TOKEN
    )
}
