//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

/// Labels of a sample.
pub type Labels<'a> = [(&'a str, &'a str)];

/// A page under construction.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// A gauge.
    pub fn gauge(&mut self, name: &str, labels: &Labels<'_>, value: f64) {
        self.family(name, "gauge");
        self.sample(name, labels, &[], value);
    }

    /// A counter; `name` is the sample's name, as the engine writes it.
    pub fn counter(&mut self, name: &str, labels: &Labels<'_>, value: f64) {
        self.family(name, "counter");
        self.sample(name, labels, &[], value);
    }

    /// A family of samples that differ in one label.
    pub fn by_label(
        &mut self,
        name: &str,
        kind: &str,
        labels: &Labels<'_>,
        label: &str,
        samples: &[(&str, f64)],
    ) {
        self.family(name, kind);
        for (which, value) in samples {
            self.sample(name, labels, &[(label, which)], *value);
        }
    }

    /// A histogram.
    pub fn histogram(&mut self, name: &str, labels: &Labels<'_>, histogram: &Histogram) {
        self.family(name, "histogram");
        let bucket = format!("{name}_bucket");
        let mut count = 0;
        for (bound, in_bucket) in histogram.bounds.iter().zip(&histogram.counts) {
            count += in_bucket;
            self.sample(
                &bucket,
                labels,
                &[("le", &format!("{bound:?}"))],
                count as f64,
            );
        }
        self.sample(&bucket, labels, &[("le", "+Inf")], histogram.count as f64);
        self.sample(&format!("{name}_sum"), labels, &[], histogram.sum);
        self.sample(
            &format!("{name}_count"),
            labels,
            &[],
            histogram.count as f64,
        );
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str) {
        // Writing to a string cannot fail.
        _ = writeln!(self.0, "# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &Labels<'_>, more: &Labels<'_>, value: f64) {
        self.0.push_str(name);
        let mut separator = '{';
        for (label, text) in labels.iter().chain(more) {
            _ = write!(self.0, "{separator}{label}=\"{}\"", escaped(text));
            separator = ',';
        }
        if separator == ',' {
            self.0.push('}');
        }
        _ = writeln!(self.0, " {value:?}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Samples in buckets.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Empty, with the upper bounds of its buckets.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len()],
            count: 0,
            sum: 0.0,
        }
    }

    /// Counts a sample.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum += value;
    }

    /// Sum of the samples.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}
