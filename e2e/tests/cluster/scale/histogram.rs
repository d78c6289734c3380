//! Figures from the operator's own metrics, as text in the OpenMetrics format.

/// The value of a metric, summed over its labels; 0 where there is none.
pub(super) fn sum(text: &str, name: &str) -> f64 {
    samples(text, name).map(|(_, value)| value).sum()
}

/// A quantile of a histogram, of those of its samples that have this label (all where it is empty), as
/// Prometheus's `histogram_quantile` has it: linear within a bucket. None where there are no samples, or
/// it is in the last bucket, which has no end.
pub(super) fn quantile(text: &str, name: &str, label: &str, quantile: f64) -> Option<f64> {
    let mut buckets: Vec<(f64, f64)> = samples(text, &format!("{name}_bucket"))
        .filter(|(labels, _)| labels.contains(label))
        .filter_map(|(labels, count)| {
            let (_, bound) = labels.split_once("le=\"")?;
            let (bound, _) = bound.split_once('"')?;
            Some((bound.replace("+Inf", "inf").parse().ok()?, count))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (_, total) = buckets.last().copied().filter(|(_, total)| *total > 0.0)?;
    let rank = quantile * total;
    let (mut start, mut below) = (0.0, 0.0);
    for (end, count) in buckets {
        if count >= rank {
            let within = (rank - below) / (count - below);
            return Some(start + (end - start) * within).filter(|found| found.is_finite());
        }
        (start, below) = (end, count);
    }
    None
}

/// Labels, with their braces, and value of each sample of this name.
fn samples<'a>(text: &'a str, name: &str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_whole = labels.is_empty() || labels.starts_with('{');
        Some((labels, value.parse().ok()?)).filter(|_| is_whole)
    })
}

#[test]
fn quantiles_are_those_of_prometheus() {
    let text = "# TYPE a histogram
a_sum 9
a_bucket{le=\"1.0\"} 50
a_bucket{le=\"2.0\"} 90
a_bucket{le=\"+Inf\"} 100
ab_bucket{le=\"1.0\"} 7
c_bucket{look=\"full\",le=\"1.0\"} 3
c_bucket{look=\"full\",le=\"2.0\"} 4
c_bucket{look=\"none\",le=\"1.0\"} 9
errors{reason=\"x\"} 2
errors{reason=\"y z\"} 3
";
    for (asked, expected) in [
        (0.5, Some(1.0)),
        (0.7, Some(1.5)),
        (0.9, Some(2.0)),
        (0.99, None),
    ] {
        assert_eq!(quantile(text, "a", "", asked), expected, "{asked}");
    }
    assert_eq!(quantile(text, "none", "", 0.5), None);
    assert_eq!(quantile(text, "c", "look=\"full\"", 0.75), Some(1.0));
    assert!((sum(text, "errors") - 5.0).abs() < f64::EPSILON);
}
