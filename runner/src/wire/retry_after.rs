//! The field `retry-after` (RFC 9110, section 10.2.3).

use jiff::{Timestamp, fmt::rfc2822};

/// Seconds that a server asks to be left alone: a number, or a date, which counts from the answer's
/// own `date` so that clocks need not agree. None where it says neither.
pub fn seconds(value: &str, date: Option<&str>) -> Option<u32> {
    if let Ok(seconds) = value.parse() {
        return Some(seconds);
    }
    let until = timestamp(value)?;
    let from = timestamp(date?)?;
    let seconds = until.as_second().saturating_sub(from.as_second());
    Some(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
}

fn timestamp(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_dates_are_read_and_nothing_else() {
        let date = Some("Sun, 22 Nov 2026 10:00:00 GMT");
        for (value, date, expected) in [
            ("7", None, Some(7)),
            ("0", date, Some(0)),
            ("Sun, 22 Nov 2026 10:01:30 GMT", date, Some(90)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", date, Some(0)),
            ("Sun, 22 Nov 2026 10:01:30 GMT", None, None),
            ("soon", date, None),
            ("-1", date, None),
            ("1.5", date, None),
            ("99999999999", date, None),
        ] {
            assert_eq!(seconds(value, date), expected, "{value}");
        }
    }
}
