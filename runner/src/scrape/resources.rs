//! The engine's hardware over a stage's window, as a Prometheus knows it: its GPUs by NVIDIA's
//! dcgm-exporter, its container by the kubelet's cAdvisor.
//!
//! Names and units of DCGM:
//! <https://github.com/NVIDIA/dcgm-exporter/blob/main/etc/default-counters.csv>; bits of the clocks'
//! event reasons: `nvmlClocksEventReason` in nvml.h.

use std::collections::BTreeMap;

use bakeoff_crds::report::{EngineMetric, MetricValue};
use futures::future::join_all;

use super::promql::{
    LEAST_SCRAPES, Prometheus, Target, TimeWindow, WINDOW_TOO_SHORT, escape, fill_in, metric_of,
    range,
};

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The GPUs, by DCGM's series.
    pub gpu: bool,
    /// Labels by which the GPUs are found; empty for those of the pod.
    pub gpu_labels: BTreeMap<String, String>,
}

/// One figure.
struct Resource {
    /// Name in the report.
    name: &'static str,
    /// Series; the first that is there counts.
    series: &'static [&'static str],
    of: Of,
}

/// How a figure comes of its series, over all GPUs or containers of the pod.
#[derive(Clone, Copy)]
enum Of {
    /// A gauge, averaged and its greatest; times a factor. Several GPUs' are averaged.
    Mean(f64),
    /// The same; several GPUs' are added up.
    Sum(f64),
    /// A counter's increase, times a factor.
    Increase(f64),
    /// A counter's increase by second.
    Rate,
    /// Share of the time for which any of these bits of a gauge was set, of the GPU that has it the
    /// most.
    Bits(&'static [u32]),
}

const MEBIBYTE: f64 = 1_048_576.0;
const CLOCKS: &[&str] = &[
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS",
    // Its name before DCGM 4.
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS",
];

const GPU: [Resource; 10] = [
    gpu("gpuUtilization", &["DCGM_FI_DEV_GPU_UTIL"], Of::Mean(0.01)),
    gpu(
        "gpuMemoryUsedBytes",
        &["DCGM_FI_DEV_FB_USED"],
        Of::Sum(MEBIBYTE),
    ),
    gpu("gpuPowerWatts", &["DCGM_FI_DEV_POWER_USAGE"], Of::Sum(1.0)),
    gpu(
        "gpuEnergyJoules",
        &["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"],
        Of::Increase(0.001),
    ),
    gpu("gpuSmClockHertz", &["DCGM_FI_DEV_SM_CLOCK"], Of::Mean(1e6)),
    gpu(
        "gpuMemoryClockHertz",
        &["DCGM_FI_DEV_MEM_CLOCK"],
        Of::Mean(1e6),
    ),
    gpu(
        "gpuTemperatureCelsius",
        &["DCGM_FI_DEV_GPU_TEMP"],
        Of::Mean(1.0),
    ),
    // SwPowerCap: at its power limit, as many GPUs are under load.
    gpu("gpuPowerCappedShare", CLOCKS, Of::Bits(&[0x4])),
    // SwThermalSlowdown, HwThermalSlowdown.
    gpu("gpuThermalSlowdownShare", CLOCKS, Of::Bits(&[0x20, 0x40])),
    // HwSlowdown, HwPowerBrakeSlowdown.
    gpu("gpuHardwareSlowdownShare", CLOCKS, Of::Bits(&[0x8, 0x80])),
];

const fn gpu(name: &'static str, series: &'static [&'static str], of: Of) -> Resource {
    Resource { name, series, of }
}

const CONTAINER: [Resource; 2] = [
    Resource {
        name: "containerCpus",
        series: &["container_cpu_usage_seconds_total"],
        of: Of::Rate,
    },
    Resource {
        name: "containerMemoryBytes",
        series: &["container_memory_working_set_bytes"],
        of: Of::Sum(1.0),
    },
];

/// Asks for all of it. Where neither a pod nor labels tell whose it is, nothing is asked.
///
/// Never fails: what is not to be had is absent, with the reason.
pub async fn resources(
    prometheus: &Prometheus,
    wanted: &Wanted,
    target: &Target,
    window: TimeWindow,
) -> BTreeMap<String, EngineMetric> {
    let gpu_labels = gpu_labels(wanted, target, window);
    let container_labels: Vec<String> = (!target.pods.is_empty())
        // The pod's sandbox and its sum over all containers have series too.
        .then(|| format!(r#"{},container!="",container!="POD""#, of_pod(target, "")))
        .into_iter()
        .collect();
    let gpus = GPU.iter().filter(|_| !gpu_labels.is_empty());
    let containers = CONTAINER.iter().filter(|_| !container_labels.is_empty());
    let asked = gpus
        .map(|resource| (resource, &gpu_labels))
        .chain(containers.map(|resource| (resource, &container_labels)));
    let answers = asked.map(|(resource, labels)| async move {
        let value = match prometheus.is_too_short(window) {
            true => Err(WINDOW_TOO_SHORT.to_owned()),
            false => one(prometheus, resource, labels, window).await,
        };
        (resource.name.to_owned(), metric_of(value))
    });
    join_all(answers).await.into_iter().collect()
}

/// Selectors of the GPUs, the likelier first: a Prometheus that scrapes the exporter's pod renames the
/// labels that tell whose GPU it is, unless it honours them.
pub(super) fn gpu_labels(wanted: &Wanted, target: &Target, window: TimeWindow) -> Vec<String> {
    if !wanted.gpu {
        Vec::new()
    } else if !wanted.gpu_labels.is_empty() {
        let labels = wanted.gpu_labels.iter();
        let labels = labels.map(|(key, value)| {
            let value = fill_in(value, target, window);
            format!("{key}=\"{}\"", escape(&value))
        });
        vec![labels.collect::<Vec<_>>().join(",")]
    } else if !target.pods.is_empty() {
        vec![of_pod(target, "exported_"), of_pod(target, "")]
    } else {
        Vec::new()
    }
}

fn of_pod(target: &Target, prefix: &str) -> String {
    let namespace = target.namespace.iter();
    let namespace = namespace.map(|value| format!("{prefix}namespace=\"{}\"", escape(value)));
    let pods = target.pods_as(&format!("{prefix}pod"));
    namespace.chain(pods).collect::<Vec<_>>().join(",")
}

/// The figure by the first series and labels that Prometheus has something of.
async fn one(
    prometheus: &Prometheus,
    resource: &Resource,
    labels: &[String],
    window: TimeWindow,
) -> Result<MetricValue, String> {
    let range = range(window);
    for series in resource.series {
        for labels in labels {
            let selector = format!("{series}{{{labels}}}");
            let count = format!("min(count_over_time({selector}[{range}]))");
            let Some(scrapes) = prometheus.ask(&count, window).await? else {
                continue;
            };
            if scrapes < f64::from(LEAST_SCRAPES) {
                return Err(format!(
                    "{WINDOW_TOO_SHORT}: {scrapes} scrapes of {series} lie in it, and {LEAST_SCRAPES} \
                     are needed; make stages longer, or have its exporter scraped more often"
                ));
            }
            return value(prometheus, resource.of, &selector, window).await;
        }
    }
    Err(format!(
        "NotInPrometheus: no series {} of the engine's pod was scraped in this window",
        resource.series.join(" or ")
    ))
}

async fn value(
    prometheus: &Prometheus,
    of: Of,
    selector: &str,
    window: TimeWindow,
) -> Result<MetricValue, String> {
    let (first, second) = queries(of, selector, window);
    let nothing = || "NoData: there is nothing of it in this window".to_owned();
    let first = prometheus.ask(&first, window).await?.ok_or_else(nothing)?;
    let second = match second {
        Some(query) => prometheus.ask(&query, window).await?,
        None => None,
    };
    Ok(match of {
        Of::Increase(_) => MetricValue {
            increase: Some(first),
            ..MetricValue::default()
        },
        _ => MetricValue {
            mean: Some(first),
            max: second,
            increase: None,
        },
    })
}

/// The query of a figure, and that of its greatest value where it has one.
fn queries(of: Of, selector: &str, window: TimeWindow) -> (String, Option<String>) {
    let range = range(window);
    let gauge = |over: &str, factor: f64| {
        let of = |what: &str| format!("{over}({what}_over_time({selector}[{range}])) * {factor}");
        (of("avg"), Some(of("max")))
    };
    match of {
        Of::Mean(factor) => gauge("avg", factor),
        Of::Sum(factor) => gauge("sum", factor),
        Of::Increase(factor) => (
            format!("sum(increase({selector}[{range}])) * {factor}"),
            None,
        ),
        Of::Rate => (format!("sum(rate({selector}[{range}]))"), None),
        Of::Bits(bits) => {
            let bit = |bit: &u32| format!("floor({selector} / {bit}) % 2");
            let any = bits.iter().map(bit).collect::<Vec<_>>().join(" + ");
            // PromQL has no bits, so that a quotient's last one is taken, as often as four scrapes lie
            // in the window at least.
            let step = format!("{:.0}ms", (window.seconds * 1000.0 / 100.0).max(1.0));
            let share = format!("max(avg_over_time(clamp_max({any}, 1)[{range}:{step}]))");
            (share, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: TimeWindow = TimeWindow {
        end: 1_700_000_000.25,
        seconds: 20.5,
    };

    fn target() -> Target {
        Target {
            namespace: Some("ns".into()),
            pods: vec!["run-vllm-1".into()],
        }
    }

    #[test]
    fn gpus_are_found_by_the_pod_or_by_labels() {
        let mut wanted = Wanted {
            gpu: true,
            ..Wanted::default()
        };
        assert_eq!(
            gpu_labels(&wanted, &target(), WINDOW),
            [
                r#"exported_namespace="ns",exported_pod="run-vllm-1""#,
                r#"namespace="ns",pod="run-vllm-1""#
            ]
        );
        let several = Target {
            pods: vec!["lws-0".into(), "lws-0-1".into()],
            ..target()
        };
        assert_eq!(
            gpu_labels(&wanted, &several, WINDOW)[1],
            r#"namespace="ns",pod=~"lws-0|lws-0-1""#
        );
        assert!(gpu_labels(&wanted, &Target::default(), WINDOW).is_empty());
        let labels = [("Hostname", "node\"1"), ("owner", "$pod")];
        wanted.gpu_labels = labels.map(|(key, value)| (key.into(), value.into())).into();
        assert_eq!(
            gpu_labels(&wanted, &target(), WINDOW),
            [r#"Hostname="node\"1",owner="run-vllm-1""#]
        );
        wanted.gpu = false;
        assert!(gpu_labels(&wanted, &target(), WINDOW).is_empty());
    }

    #[test]
    fn every_figure_has_its_query() {
        let queries = |of| queries(of, "x{a=\"b\"}", WINDOW);
        let gauge = |over: &str, factor: &str| {
            let of = |what| format!("{over}({what}_over_time(x{{a=\"b\"}}[20500ms])) * {factor}");
            (of("avg"), Some(of("max")))
        };
        assert_eq!(queries(Of::Mean(0.01)), gauge("avg", "0.01"));
        assert_eq!(queries(Of::Sum(MEBIBYTE)), gauge("sum", "1048576"));
        assert_eq!(
            queries(Of::Increase(0.001)).0,
            "sum(increase(x{a=\"b\"}[20500ms])) * 0.001"
        );
        assert_eq!(queries(Of::Rate).0, "sum(rate(x{a=\"b\"}[20500ms]))");
        assert_eq!(
            queries(Of::Bits(&[32, 64])).0,
            "max(avg_over_time(clamp_max(floor(x{a=\"b\"} / 32) % 2 + floor(x{a=\"b\"} / 64) % 2, 1)\
             [20500ms:205ms]))"
        );
    }
}
