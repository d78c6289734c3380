//! Numbers as people read them: three digits, thousands apart, a unit.

use bakeoff_crds::report::RetryAfter;

/// A figure with about three digits: `1,234`, `45.6`, `0.78`.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = group(whole);
    if !fraction.is_empty() {
        grouped.push('.');
        grouped.push_str(fraction);
    }
    grouped
}

/// An amount of money with about three digits, however small: `12.3`, `0.0456`.
pub fn price(value: f64) -> String {
    match value.abs() {
        size if size >= 0.995 || size == 0.0 => number(value),
        size => {
            // 0.0456 has its first digit in the second place: two more are shown.
            let place = (-size.log10()).ceil().clamp(1.0, 12.0) as usize;
            format!("{value:.*}", place + 2)
        }
    }
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn count(value: u64) -> String {
    group(&value.to_string())
}

/// A time: `1.23 s`, `45.6 ms`, `780 µs`.
pub fn seconds(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 0.9995 => (value, "s"),
        size if size >= 0.000_999_5 || size == 0.0 => (value * 1e3, "ms"),
        _ => (value * 1e6, "µs"),
    };
    format!("{} {unit}", number(scaled))
}

/// A share: `12 %`, `1.5 %`.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value.abs() >= 9.95 || value == 0.0 {
        format!("{value:.0} %")
    } else {
        format!("{value:.1} %")
    }
}

fn group(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// For how long a server asked to be left alone.
pub fn retry_after(asked: &RetryAfter) -> String {
    format!(
        "Retry-After in {} of the answers with HTTP 429: {} on average, {} at most",
        count(asked.count),
        seconds(asked.mean_seconds),
        seconds(asked.max_seconds)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.784, "0.78"),
            (9.996, "10.0"),
            (45.64, "45.6"),
            (99.96, "100"),
            (1234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [
            (0.0, "0.00 ms"),
            (1.234, "1.23 s"),
            (0.9996, "1.00 s"),
            (0.0456, "45.6 ms"),
            (0.000_78, "780 µs"),
            (75.0, "75.0 s"),
        ] {
            assert_eq!(seconds(value), text);
        }
        for (value, text) in [
            (0.12, "12 %"),
            (0.015, "1.5 %"),
            (0.0, "0 %"),
            (1.5, "150 %"),
        ] {
            assert_eq!(percent(value), text);
        }
        assert_eq!(count(1_000), "1,000");
    }
}
