//! The engines' own metrics: direct scrape and Prometheus.
//!
//! [`text`] reads the exposition format, [`select`] finds an engine's series in it, [`aggregate`]
//! keeps what a window needs of them, [`sampler`] reads the engine's page at an interval beside the
//! load, and [`promql`] asks a Prometheus for the same window, [`resources`] and [`accelerators`](mod@accelerators)
//! for the hardware;
//! [`google`] has the token that Google's asks for.

pub mod accelerators;
pub mod aggregate;
#[cfg(test)]
mod fuzz;
pub mod google;
mod patience;
pub mod promql;
pub mod resources;
pub mod sampler;
pub mod select;
pub mod text;

use std::collections::BTreeMap;

use bakeoff_crds::{plan::CommonMetric, report::EngineMetric};

pub use accelerators::accelerators;
pub use google::Metadata;
pub use promql::{Prometheus, Target, TimeWindow};
pub use resources::{Wanted, resources};
pub use sampler::{Scraper, metrics_url};

/// Name of a common metric in the report: `kvCacheUsage`.
pub fn metric_name(metric: CommonMetric) -> &'static str {
    match metric {
        CommonMetric::Running => "running",
        CommonMetric::Waiting => "waiting",
        CommonMetric::KvCacheUsage => "kvCacheUsage",
        CommonMetric::BatchSize => "batchSize",
        CommonMetric::PrefixCacheHits => "prefixCacheHits",
        CommonMetric::PrefixCacheQueries => "prefixCacheQueries",
        CommonMetric::Preemptions => "preemptions",
        CommonMetric::QueueTime => "queueTime",
        CommonMetric::TimeToFirstToken => "timeToFirstToken",
        CommonMetric::InterTokenLatency => "interTokenLatency",
        CommonMetric::PromptTokens => "promptTokens",
        CommonMetric::GenerationTokens => "generationTokens",
        CommonMetric::RequestsSucceeded => "requestsSucceeded",
        CommonMetric::WeightLoading => "weightLoading",
    }
}

/// Whether several series of one metric are averaged, as shares and times are, rather than added up.
fn is_averaged(metric: CommonMetric) -> bool {
    matches!(
        metric,
        CommonMetric::KvCacheUsage | CommonMetric::WeightLoading
    )
}

/// Joins what the direct scrape and Prometheus gave for one window.
///
/// Where one of them has a value and the other does not, the reason of the one that has none
/// stays, so that a reader learns why there is one value only.
pub fn merge(
    mut direct: BTreeMap<String, EngineMetric>,
    prometheus: BTreeMap<String, EngineMetric>,
) -> BTreeMap<String, EngineMetric> {
    for (name, theirs) in prometheus {
        let ours = direct.entry(name).or_default();
        ours.prometheus = theirs.prometheus;
        if let Some(reason) = theirs.absent {
            ours.absent = Some(match ours.absent.take() {
                Some(earlier) if earlier != reason => format!("{earlier}; {reason}"),
                _ => reason,
            });
        }
    }
    direct
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::report::MetricValue;

    use super::*;

    #[test]
    fn names_are_those_of_the_schema() {
        for metric in [
            CommonMetric::KvCacheUsage,
            CommonMetric::TimeToFirstToken,
            CommonMetric::Running,
            CommonMetric::RequestsSucceeded,
            CommonMetric::WeightLoading,
        ] {
            let spelled = serde_json::to_value(metric).unwrap();
            assert_eq!(spelled, metric_name(metric));
        }
    }

    #[test]
    fn a_value_of_one_side_keeps_the_reason_of_the_other() {
        let value = |mean| MetricValue {
            mean: Some(mean),
            ..MetricValue::default()
        };
        let direct = BTreeMap::from([(
            "running".to_owned(),
            EngineMetric {
                direct: Some(value(3.0)),
                ..EngineMetric::default()
            },
        )]);
        let prometheus = BTreeMap::from([(
            "running".to_owned(),
            EngineMetric {
                absent: Some("WindowTooShort".into()),
                ..EngineMetric::default()
            },
        )]);
        let merged = merge(direct, prometheus);
        assert_eq!(merged["running"].direct, Some(value(3.0)));
        assert_eq!(merged["running"].absent.as_deref(), Some("WindowTooShort"));
    }
}
