//! What a node is, by its labels and its kubelet. Pure.

use bakeoff_crds::run::status::NodeFacts;
use k8s_openapi::api::core::v1::Node;

/// Labels with the product of a node's accelerators: of NVIDIA's and AMD's feature discovery, and of
/// GKE for GPUs and TPUs.
const PRODUCT: [&str; 4] = [
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-tpu-accelerator",
];
/// Longest value that is kept, in characters: labels have 63, but the kubelet's words have no bound.
const LONGEST: usize = 128;

/// What is known of a node. `resource` is the name of the run's accelerators.
pub fn of(node: &Node, resource: &str) -> NodeFacts {
    let label = |key: &str| {
        let labels = node.metadata.labels.as_ref()?;
        labels.get(key).and_then(|value| text(value))
    };
    let status = node.status.as_ref();
    let allocatable = status.and_then(|status| status.allocatable.as_ref());
    let accelerators = allocatable.and_then(|resources| resources.get(resource));
    let system = status.and_then(|status| status.node_info.as_ref());
    // Newer discoveries have the version whole, older ones in parts.
    let version = |whole: &str, parts: [String; 3]| {
        label(whole).or_else(|| {
            let [major, minor, patch] = parts.map(|part| label(&part));
            let parts = [major?, minor?].into_iter().chain(patch);
            Some(parts.collect::<Vec<_>>().join("."))
        })
    };
    let parts = |prefix: &str, last: &str| {
        ["major", "minor", last].map(|part| format!("nvidia.com/cuda.{prefix}.{part}"))
    };
    NodeFacts {
        name: node.metadata.name.clone().unwrap_or_default(),
        accelerator: PRODUCT.iter().find_map(|key| label(key)),
        accelerators: accelerators.and_then(|number| text(&number.0)),
        accelerator_memory_mib: label("nvidia.com/gpu.memory"),
        driver: version(
            "nvidia.com/cuda.driver-version.full",
            parts("driver", "rev"),
        ),
        cuda: version(
            "nvidia.com/cuda.runtime-version.full",
            parts("runtime", "full"),
        ),
        machine_type: label("node.kubernetes.io/instance-type"),
        zone: label("topology.kubernetes.io/zone"),
        kernel: system.and_then(|system| text(&system.kernel_version)),
        os_image: system.and_then(|system| text(&system.os_image)),
        architecture: system.and_then(|system| text(&system.architecture)),
        container_runtime: system.and_then(|system| text(&system.container_runtime_version)),
        kubelet: system.and_then(|system| text(&system.kubelet_version)),
    }
}

fn text(value: &str) -> Option<String> {
    let kept: String = value.chars().take(LONGEST).collect();
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts(labels: Value) -> NodeFacts {
        let node = serde_json::from_value(json!({
            "metadata": { "name": "gpu-1", "labels": labels },
            "status": {
                "allocatable": { "nvidia.com/gpu": "2", "cpu": "8" },
                "nodeInfo": {
                    "machineID": "", "systemUUID": "", "bootID": "", "kubeProxyVersion": "",
                    "operatingSystem": "linux", "architecture": "amd64", "kernelVersion": "6.12.0",
                    "osImage": "Container-Optimized OS from Google",
                    "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.34.1",
                },
            },
        }))
        .unwrap();
        of(&node, "nvidia.com/gpu")
    }

    #[test]
    fn nodes_are_read_by_the_labels_of_each_discovery() {
        let found = facts(json!({
            "nvidia.com/gpu.product": "NVIDIA-L4", "cloud.google.com/gke-accelerator": "nvidia-l4",
            "nvidia.com/gpu.memory": "23034", "nvidia.com/cuda.driver-version.full": "580.65.06",
            "nvidia.com/cuda.runtime-version.full": "13.0",
            "node.kubernetes.io/instance-type": "g2-standard-8",
            "topology.kubernetes.io/zone": "us-central1-a",
        }));
        let words = [
            &found.accelerator,
            &found.accelerators,
            &found.accelerator_memory_mib,
            &found.driver,
            &found.cuda,
            &found.machine_type,
            &found.zone,
            &found.kernel,
            &found.architecture,
        ];
        let words = words.map(|word| word.as_deref().unwrap_or_default());
        assert_eq!(
            words,
            [
                "NVIDIA-L4",
                "2",
                "23034",
                "580.65.06",
                "13.0",
                "g2-standard-8",
                "us-central1-a",
                "6.12.0",
                "amd64"
            ]
        );
        // An older discovery, and none at all.
        let found = facts(json!({
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "nvidia.com/cuda.driver.major": "535", "nvidia.com/cuda.driver.minor": "183",
            "nvidia.com/cuda.driver.rev": "01",
            "nvidia.com/cuda.runtime.major": "12", "nvidia.com/cuda.runtime.minor": "2",
        }));
        assert_eq!(found.accelerator.as_deref(), Some("nvidia-l4"));
        assert_eq!(found.driver.as_deref(), Some("535.183.01"));
        assert_eq!(found.cuda.as_deref(), Some("12.2"));
        let found = facts(json!({}));
        assert_eq!((found.accelerator, found.driver), (None, None));
        assert_eq!(found.kubelet.as_deref(), Some("v1.34.1"));
    }
}
