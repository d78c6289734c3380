//! Which series of a page is meant by a name of a profile.

use super::text::Sample;

/// A name, with labels where they matter: `nv_trt_llm_request_metrics{request_type="active"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Name of the series.
    pub name: String,
    /// Labels that it must carry, beside any others.
    pub labels: Vec<(String, String)>,
}

impl Selector {
    /// Reads a selector; `None` where it is none. Its grammar is that of a sample without a value.
    pub fn parse(text: &str) -> Option<Self> {
        let line = format!("{} 0", text.trim());
        let sample = super::text::samples(&line).next()?;
        Some(Self {
            name: sample.name.into_owned(),
            labels: sample
                .labels
                .into_iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
        })
    }

    /// Whether a sample is of this series, with `suffix` after the name: `_sum`, `_count` or none.
    pub fn matches(&self, sample: &Sample<'_>, suffix: &str) -> bool {
        sample.name.strip_suffix(suffix) == Some(self.name.as_str())
            && self.labels.iter().all(|(key, value)| {
                sample
                    .labels
                    .iter()
                    .any(|(their_key, their_value)| their_key == key && their_value == value)
            })
    }

    /// The same counter as other versions of a client library name it: with `_total` where this
    /// has none, and the other way round.
    #[must_use]
    pub fn other_total(&self) -> Self {
        let name = match self.name.strip_suffix("_total") {
            Some(stem) => stem.to_owned(),
            None => format!("{}_total", self.name),
        };
        Self {
            name,
            labels: self.labels.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_by_name_and_labels() {
        let page = "a{x=\"1\",y=\"2\"} 5\na{x=\"2\"} 6\na_sum 7\nab 8\n";
        for (selector, suffix, expected) in [
            ("a", "", vec![5.0, 6.0]),
            ("a{x=\"1\"}", "", vec![5.0]),
            ("a{y=\"2\",x=\"1\"}", "", vec![5.0]),
            ("a{z=\"\"}", "", vec![]),
            ("a", "_sum", vec![7.0]),
            ("b", "", vec![]),
        ] {
            let selector = Selector::parse(selector).unwrap();
            let found: Vec<_> = super::super::text::samples(page)
                .filter(|sample| selector.matches(sample, suffix))
                .map(|sample| sample.value)
                .collect();
            assert_eq!(found, expected, "{selector:?} {suffix}");
        }
        assert_eq!(Selector::parse("a{x}"), None);
    }

    #[test]
    fn knows_both_spellings_of_a_counter() {
        for (name, other) in [("a_total", "a"), ("a", "a_total")] {
            let selector = Selector::parse(name).unwrap();
            assert_eq!(selector.other_total().name, other);
        }
    }
}
