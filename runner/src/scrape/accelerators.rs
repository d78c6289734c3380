//! Which GPUs a pod has, by the labels of the series that NVIDIA's dcgm-exporter gives of them.

use std::collections::BTreeSet;

use bakeoff_crds::report::AcceleratorDevice;

use super::{
    promql::{Prometheus, Target, TimeWindow, range},
    resources::{Wanted, gpu_labels},
};

/// Series of which every exporter has one: its counters can be chosen.
const SERIES: [&str; 3] = [
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_POWER_USAGE",
];
/// Most that are kept; a pod asks for 64 at the most.
const MOST: usize = 64;

/// The GPUs of the engine's pod that were seen in the window, by their UUIDs. None where nothing tells.
pub async fn accelerators(
    prometheus: &Prometheus,
    wanted: &Wanted,
    target: &Target,
    window: TimeWindow,
) -> Vec<AcceleratorDevice> {
    let range = range(window);
    for labels in gpu_labels(wanted, target, window) {
        for series in SERIES {
            let query = format!(
                "group by (UUID, modelName, DCGM_FI_DRIVER_VERSION) \
                 (last_over_time({series}{{{labels}}}[{range}]))"
            );
            let found = prometheus.label_sets(&query, window).await;
            let found = found.unwrap_or_else(|error| {
                tracing::warn!(%error, "Prometheus does not tell the engine's GPUs");
                Vec::new()
            });
            let devices: BTreeSet<AcceleratorDevice> = found
                .into_iter()
                .filter_map(|mut labels| {
                    Some(AcceleratorDevice {
                        uuid: labels.remove("UUID")?,
                        product: labels.remove("modelName"),
                        driver: labels.remove("DCGM_FI_DRIVER_VERSION"),
                    })
                })
                .collect();
            if !devices.is_empty() {
                return devices.into_iter().take(MOST).collect();
            }
        }
    }
    Vec::new()
}
