//! What a window keeps of an engine's series: sums and extremes, never the samples.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::{CommonMetric, PlannedMetrics, SeriesKind},
    report::{EngineMetric, MetricValue},
};

use super::{is_averaged, metric_name, select::Selector, text};

/// One metric's series: the names that it may have, and its kind.
#[derive(Clone, Debug)]
struct Wanted {
    metric: CommonMetric,
    kind: SeriesKind,
    selectors: Vec<Selector>,
}

/// What one page says of one metric.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading {
    /// Value of a gauge or counter; sum of a histogram.
    value: f64,
    /// Count of a histogram.
    count: f64,
}

/// When within a window a page was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the load: where counters start from.
    Begin,
    /// Under load.
    During,
    /// After the load: where counters end. The engine is idle again, so gauges are left out.
    End,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    last: Option<Reading>,
    increase: Reading,
    gauge_sum: f64,
    gauge_max: Option<f64>,
    gauge_readings: u32,
    seen: bool,
}

/// The aggregates of one window.
#[derive(Clone, Debug)]
pub struct Aggregate {
    wanted: Vec<Wanted>,
    tallies: BTreeMap<&'static str, Tally>,
    pages: u32,
    failure: Option<String>,
}

impl Aggregate {
    /// An empty window over the series of a plan. Names that are no selectors are left out.
    pub fn new(metrics: &PlannedMetrics) -> Self {
        let wanted = metrics
            .series
            .iter()
            .map(|(metric, series)| Wanted {
                metric: *metric,
                kind: series.kind,
                selectors: selectors(&series.names, series.kind),
            })
            .collect();
        Self {
            wanted,
            tallies: BTreeMap::new(),
            pages: 0,
            failure: None,
        }
    }

    /// Takes a page in. Whether a counter or histogram has grown since the page before.
    pub fn page(&mut self, moment: Moment, page: &str) -> bool {
        let mut has_grown = false;
        let samples: Vec<_> = text::samples(page).collect();
        let first_page = self.pages == 0;
        self.pages += 1;
        for wanted in &self.wanted {
            let tally = self.tallies.entry(metric_name(wanted.metric)).or_default();
            let reading = wanted.read(&samples);
            tally.seen |= reading.is_some();
            match (wanted.kind, reading) {
                (SeriesKind::Gauge, Some(reading)) if moment == Moment::During => {
                    tally.gauge(reading.value);
                }
                (SeriesKind::Gauge, _) => {}
                (_, Some(reading)) => {
                    has_grown |= tally.last != Some(reading);
                    tally.grow(reading, first_page);
                }
                // A series that is not there yet begins at nothing.
                (_, None) if first_page => tally.last = Some(Reading::default()),
                (_, None) => {}
            }
        }
        has_grown
    }

    /// Notes that the page could not be read.
    pub fn failed(&mut self, cause: String) {
        self.failure = Some(cause);
    }

    /// The window's values by common name.
    pub fn finish(&self) -> BTreeMap<String, EngineMetric> {
        self.wanted
            .iter()
            .map(|wanted| {
                let name = metric_name(wanted.metric);
                let tally = self.tallies.get(name).copied().unwrap_or_default();
                (name.to_owned(), self.value(wanted, &tally))
            })
            .collect()
    }

    fn value(&self, wanted: &Wanted, tally: &Tally) -> EngineMetric {
        let direct = tally.value(wanted.kind).filter(is_finite);
        let absent = if direct.is_some() {
            None
        } else if self.pages == 0 {
            let cause = self.failure.as_deref().unwrap_or("no page was read");
            Some(format!("ScrapeFailed: {cause}"))
        } else if !tally.seen {
            Some("NotExposed".to_owned())
        } else if tally.value(wanted.kind).is_some() {
            Some("NotFinite: the values are greater than any number".to_owned())
        } else if wanted.kind == SeriesKind::Histogram {
            Some("NoNewSamples".to_owned())
        } else {
            Some("WindowTooShort".to_owned())
        };
        EngineMetric {
            direct,
            prometheus: None,
            absent,
        }
    }
}

impl Wanted {
    /// The first of the names that the page has. Several series of it, such as those of several
    /// engine processes, are added up; shares are averaged.
    fn read(&self, samples: &[text::Sample<'_>]) -> Option<Reading> {
        self.selectors.iter().find_map(|selector| {
            if self.kind == SeriesKind::Histogram {
                let (value, _) = total(samples, selector, "_sum")?;
                let (count, _) = total(samples, selector, "_count")?;
                return Some(Reading { value, count });
            }
            let (value, series) = total(samples, selector, "")?;
            let divisor = if is_averaged(self.metric) {
                series
            } else {
                1.0
            };
            Some(Reading {
                value: value / divisor,
                count: 0.0,
            })
        })
    }
}

impl Tally {
    fn gauge(&mut self, value: f64) {
        self.gauge_sum += value;
        self.gauge_readings += 1;
        self.gauge_max = Some(self.gauge_max.map_or(value, |max| max.max(value)));
    }

    fn grow(&mut self, now: Reading, first_page: bool) {
        if let Some(last) = self.last.filter(|_| !first_page) {
            // A value that fell was reset, and has grown from nothing since.
            let reset = now.value < last.value || now.count < last.count;
            let from = if reset { Reading::default() } else { last };
            self.increase.value += now.value - from.value;
            self.increase.count += now.count - from.count;
        }
        self.last = Some(now);
    }

    fn value(&self, kind: SeriesKind) -> Option<MetricValue> {
        match kind {
            SeriesKind::Gauge => (self.gauge_readings > 0).then(|| MetricValue {
                mean: Some(self.gauge_sum / f64::from(self.gauge_readings)),
                max: self.gauge_max,
                increase: None,
            }),
            SeriesKind::Counter => self.seen.then_some(MetricValue {
                mean: None,
                max: None,
                increase: Some(self.increase.value),
            }),
            SeriesKind::Histogram => (self.increase.count > 0.0).then(|| MetricValue {
                mean: Some(self.increase.value / self.increase.count),
                max: None,
                increase: Some(self.increase.count),
            }),
        }
    }
}

/// Whether every value is one that a report can hold: sums of great values may have none.
fn is_finite(value: &MetricValue) -> bool {
    let values = [value.mean, value.max, value.increase];
    values.into_iter().flatten().all(f64::is_finite)
}

/// The selectors of a metric's names; a counter's other spelling follows each of its names.
pub(super) fn selectors(names: &[String], kind: SeriesKind) -> Vec<Selector> {
    names
        .iter()
        .filter_map(|name| Selector::parse(name))
        .flat_map(|selector| {
            let other = (kind == SeriesKind::Counter).then(|| selector.other_total());
            std::iter::once(selector).chain(other)
        })
        .collect()
}

/// Sum and number of the series that match; `None` where there is none with a finite value.
fn total(samples: &[text::Sample<'_>], selector: &Selector, suffix: &str) -> Option<(f64, f64)> {
    let mut found = None;
    for sample in samples {
        if sample.value.is_finite() && selector.matches(sample, suffix) {
            let (sum, series) = found.unwrap_or((0.0, 0.0));
            found = Some((sum + sample.value, series + 1.0));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::plan::Series;

    use super::*;

    fn metrics(series: &[(CommonMetric, SeriesKind, &[&str])]) -> PlannedMetrics {
        PlannedMetrics {
            series: series
                .iter()
                .map(|(metric, kind, names)| {
                    let names = names.iter().map(|&name| name.to_owned()).collect();
                    (*metric, Series { names, kind: *kind })
                })
                .collect(),
            ..PlannedMetrics::default()
        }
    }

    fn window(
        series: &[(CommonMetric, SeriesKind, &[&str])],
        pages: &[(Moment, &str)],
    ) -> BTreeMap<String, EngineMetric> {
        let mut aggregate = Aggregate::new(&metrics(series));
        for (moment, page) in pages {
            aggregate.page(*moment, page);
        }
        aggregate.finish()
    }

    fn direct(mean: Option<f64>, max: Option<f64>, increase: Option<f64>) -> Option<MetricValue> {
        Some(MetricValue {
            mean,
            max,
            increase,
        })
    }

    #[test]
    fn gauges_are_averaged_under_load_only() {
        let found = window(
            &[
                (
                    CommonMetric::Running,
                    SeriesKind::Gauge,
                    &["old", "running"],
                ),
                (CommonMetric::KvCacheUsage, SeriesKind::Gauge, &["kv"]),
            ],
            &[
                (Moment::Begin, "running 0\nkv 0\n"),
                (
                    Moment::During,
                    "running{e=\"0\"} 4\nrunning{e=\"1\"} 2\nkv{e=\"0\"} 0.2\nkv{e=\"1\"} 0.4",
                ),
                (Moment::During, "running 8\nkv 0.5"),
                (Moment::End, "running 0\nkv 0\n"),
            ],
        );
        assert_eq!(found["running"].direct, direct(Some(7.0), Some(8.0), None));
        let kv = found["kvCacheUsage"].direct.clone().unwrap();
        assert!((kv.mean.unwrap() - 0.4).abs() < 1e-9, "{kv:?}");
    }

    #[test]
    fn counters_count_their_increase_across_resets_and_spellings() {
        let series: &[(CommonMetric, SeriesKind, &[&str])] = &[
            (
                CommonMetric::PromptTokens,
                SeriesKind::Counter,
                &["prompt_total"],
            ),
            (
                CommonMetric::GenerationTokens,
                SeriesKind::Counter,
                &["generated"],
            ),
            (CommonMetric::Preemptions, SeriesKind::Counter, &["absent"]),
        ];
        let found = window(
            series,
            &[
                (Moment::Begin, "prompt 100\n"),
                // Both spellings at once are one counter; `generated` is there only now.
                (
                    Moment::During,
                    "prompt 150\ngenerated 7\ngenerated_total 7\n",
                ),
                (Moment::End, "prompt 30\ngenerated 9\n"),
            ],
        );
        assert_eq!(found["promptTokens"].direct, direct(None, None, Some(80.0)));
        assert_eq!(
            found["generationTokens"].direct,
            direct(None, None, Some(9.0))
        );
        assert_eq!(found["preemptions"].absent.as_deref(), Some("NotExposed"));
    }

    #[test]
    fn histograms_give_the_mean_of_their_new_samples() {
        let series: &[(CommonMetric, SeriesKind, &[&str])] = &[
            (
                CommonMetric::TimeToFirstToken,
                SeriesKind::Histogram,
                &["ttft"],
            ),
            (CommonMetric::QueueTime, SeriesKind::Histogram, &["queue"]),
        ];
        let found = window(
            series,
            &[
                (
                    Moment::Begin,
                    "ttft_sum 10\nttft_count 100\nqueue_sum 0\nqueue_count 0\n",
                ),
                (
                    Moment::End,
                    "ttft_sum 12\nttft_count 110\nqueue_sum 0\nqueue_count 0\n",
                ),
            ],
        );
        assert_eq!(
            found["timeToFirstToken"].direct,
            direct(Some(0.2), None, Some(10.0))
        );
        assert_eq!(found["queueTime"].absent.as_deref(), Some("NoNewSamples"));
    }

    #[test]
    fn says_why_there_is_nothing() {
        let series: &[(CommonMetric, SeriesKind, &[&str])] =
            &[(CommonMetric::Running, SeriesKind::Gauge, &["running"])];
        let mut aggregate = Aggregate::new(&metrics(series));
        aggregate.failed("connection refused".into());
        let reason = aggregate.finish()["running"].absent.clone();
        assert_eq!(reason.as_deref(), Some("ScrapeFailed: connection refused"));
        let short = window(
            series,
            &[(Moment::Begin, "running 0"), (Moment::End, "running 0")],
        );
        assert_eq!(short["running"].absent.as_deref(), Some("WindowTooShort"));
    }
}
