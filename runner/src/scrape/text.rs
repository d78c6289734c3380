//! Prometheus' text format 0.0.4 and OpenMetrics 1.0, as far as samples go.
//!
//! Both are read by one parser: types and help are left out, since the profile says what a series
//! is; exemplars and time stamps are passed over. A line that cannot be read is skipped, so that
//! one odd line of an engine does not cost all its metrics. Formats:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::borrow::Cow;

/// One sample line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name of the series, with any `_bucket`, `_sum`, `_count` or `_total`.
    pub name: Cow<'a, str>,
    /// Labels, in the order of the line.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Value; may be infinite or not a number.
    pub value: f64,
}

/// The samples of a page. Lines that cannot be read are skipped.
pub fn samples(page: &str) -> impl Iterator<Item = Sample<'_>> {
    page.lines().filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let name_length = line
        .find(|c: char| c == '{' || c.is_whitespace())
        .unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(name_length)?;
    let rest = rest.trim_start();
    let (labels, quoted_name, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), None, rest),
    };
    let name = match (name.is_empty(), quoted_name) {
        (false, None) => Cow::Borrowed(name),
        (true, Some(quoted)) => quoted,
        _ => return None,
    };
    // What follows the value is a time stamp or an exemplar.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name,
        labels,
        value,
    })
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);
/// Labels, a quoted name among them, and what follows.
type Labels<'a> = (Vec<Pair<'a>>, Option<Cow<'a, str>>, &'a str);

/// Labels up to the closing brace, the name where it is quoted among them (the form of names that
/// are not plain), and what follows.
fn labels(mut rest: &str) -> Option<Labels<'_>> {
    let mut pairs = Vec::new();
    let mut quoted_name = None;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((pairs, quoted_name, after));
        }
        let (key, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let length = rest.find(['=', '}', ',', '"'])?;
                let (key, after) = rest.split_at_checked(length)?;
                (Cow::Borrowed(key.trim_end()), after)
            }
        };
        let after = after.trim_start();
        rest = match after.strip_prefix('=') {
            Some(value) => {
                let (value, after) = quoted(value.trim_start().strip_prefix('"')?)?;
                pairs.push((key, value));
                after
            }
            None if rest.starts_with('"') && quoted_name.is_none() => {
                quoted_name = Some(key);
                after
            }
            None => return None,
        };
        rest = rest.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// A string up to its closing quote, with `\\`, `\"` and `\n` undone, and what follows.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = memchr::memchr2(b'"', b'\\', text.as_bytes())?;
    let (plain, rest) = text.split_at_checked(end)?;
    if let Some(after) = rest.strip_prefix('"') {
        return Some((Cow::Borrowed(plain), after));
    }
    let mut value = plain.to_owned();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), rest.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                // Both formats leave other escapes as they are.
                other => value.extend(['\\', other]),
            },
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = (String, Vec<(String, String)>, f64);

    fn one(line: &str) -> Option<Read> {
        sample(line).map(|sample| {
            let labels = sample.labels.iter();
            (
                sample.name.to_string(),
                labels
                    .map(|(k, v)| (k.to_string(), v.to_string()))
                    .collect(),
                sample.value,
            )
        })
    }

    #[test]
    fn reads_lines_as_engines_write_them() {
        let labels = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<Vec<_>>()
        };
        for (line, name, expected, value) in [
            ("x 1", "x", labels(&[]), 1.0),
            (
                r#"vllm:num_requests_running{engine="0",model_name="tiny"} 2.0"#,
                "vllm:num_requests_running",
                labels(&[("engine", "0"), ("model_name", "tiny")]),
                2.0,
            ),
            (
                "llamacpp:requests_processing 3",
                "llamacpp:requests_processing",
                labels(&[]),
                3.0,
            ),
            (
                r#"x{a="}",b=","} 4"#,
                "x",
                labels(&[("a", "}"), ("b", ",")]),
                4.0,
            ),
            (
                r#"x{a="\"\\\n\d"} 5"#,
                "x",
                labels(&[("a", "\"\\\n\\d")]),
                5.0,
            ),
            (
                r#"x { a = "b" , } 6 1700000000000"#,
                "x",
                labels(&[("a", "b")]),
                6.0,
            ),
            (
                "x_bucket{le=\"+Inf\"} 7 # {trace=\"1\"} 0.5",
                "x_bucket",
                labels(&[("le", "+Inf")]),
                7.0,
            ),
            ("x{} +Inf", "x", labels(&[]), f64::INFINITY),
            ("  x\t1e-3 ", "x", labels(&[]), 0.001),
            (
                r#"{"a name",b="c"} 8"#,
                "a name",
                labels(&[("b", "c")]),
                8.0,
            ),
            (r#"x{a="größe"} 9"#, "x", labels(&[("a", "größe")]), 9.0),
        ] {
            assert_eq!(one(line), Some((name.into(), expected, value)), "{line}");
        }
        assert!(one("x NaN").unwrap().2.is_nan());
    }

    #[test]
    fn skips_what_is_no_sample() {
        for line in [
            "",
            "# HELP x y",
            "# EOF",
            "x",
            "x{",
            "x{a} 1",
            "x{a=b} 1",
            "x{a=\"b} 1",
            "x one",
            "{a=\"b\"} 1",
            "x{\"y\"} 1",
            "x{a=\"b\" c=\"d\"} 1",
            "x{a=\"\\",
        ] {
            assert_eq!(one(line), None, "{line}");
        }
        let page = "# TYPE x gauge\nbroken{ 1\nx 1\n# EOF\n";
        assert_eq!(samples(page).count(), 1);
    }

    proptest! {
        #[test]
        fn never_panics(page in "\\PC{0,80}|[a-z:{}\"=,\\\\ 0-9.#\n]{0,80}") {
            let _ = samples(&page).count();
        }

        #[test]
        fn reads_back_any_label(value in "\\PC{0,40}") {
            let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("x{{a=\"{escaped}\"}} 1");
            prop_assert_eq!(&sample(&line).unwrap().labels[0].1, &value);
        }
    }
}
