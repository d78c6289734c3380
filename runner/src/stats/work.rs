//! What of the requests' work lies within a part of a stage.

use bakeoff_crds::report::Throughput;

use crate::{
    clock::{self, Nanos},
    record::Record,
};

/// A part of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
}

impl Span {
    /// Its length in seconds.
    pub fn seconds(self) -> f64 {
        clock::seconds(self.to.saturating_sub(self.from))
    }

    /// Whether it holds a moment; its end is no part of it.
    pub fn holds(self, moment: Nanos) -> bool {
        (self.from..self.to).contains(&moment)
    }

    /// Share of the time between two moments that lies within; of a single moment all or nothing.
    fn share_of(self, from: Nanos, to: Nanos) -> f64 {
        if to <= from {
            return f64::from(u8::from(self.holds(from)));
        }
        let within = to.min(self.to).saturating_sub(from.max(self.from));
        within as f64 / (to - from) as f64
    }
}

/// When the client began a request.
pub fn begun(record: &Record) -> Nanos {
    record.sent.unwrap_or(record.started)
}

/// Rates within a span, of the requests that were answered whole at any time: of each the part that
/// lies within. A request's work is even from sending to its last content; its prompt's tokens count
/// at the first content, the first token of the answer too, the rest evenly until the last content
/// (evenly from sending on where the answer came in one piece). So neither end of the span is
/// favoured, unlike by counting requests that ended within it.
///
/// `input` gives the length of a request's prompt. Records of several clients may be put together,
/// where their times are of one clock.
pub fn throughput<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    span: Span,
    input: impl Fn(&Record) -> Option<u32>,
) -> Throughput {
    let seconds = span.seconds();
    if seconds <= 0.0 {
        return Throughput::default();
    }
    let (mut requests, mut input_tokens, mut output_tokens) = (0.0, 0.0, 0.0);
    for record in records.into_iter().filter(|one| one.succeeded()) {
        let (Some(first), Some(last)) = (record.first_content, record.last_content) else {
            continue;
        };
        let begun = begun(record);
        if last < span.from || begun >= span.to {
            continue;
        }
        requests += span.share_of(begun, last);
        input_tokens += span.share_of(first, first) * f64::from(input(record).unwrap_or_default());
        let answer = f64::from(record.answer_tokens().unwrap_or_default());
        output_tokens += if first == last {
            answer * span.share_of(begun, last)
        } else {
            span.share_of(first, first) * answer.min(1.0)
                + span.share_of(first, last) * (answer - 1.0).max(0.0)
        };
    }
    Throughput {
        requests_per_second: requests / seconds,
        input_tokens_per_second: input_tokens / seconds,
        output_tokens_per_second: output_tokens / seconds,
    }
}

/// Mean number in flight in each of `parts` equal parts of a span, failed requests among them.
pub fn in_flight(records: &[Record], span: Span, parts: usize) -> Vec<f64> {
    let mut levels = vec![0.0; parts];
    let width = (span.to.saturating_sub(span.from)) as f64 / parts.max(1) as f64;
    if width <= 0.0 {
        return levels;
    }
    for record in records {
        let from = begun(record).max(span.from);
        let to = record.end.min(span.to);
        if to <= from {
            continue;
        }
        let (from, to) = (
            (from - span.from) as f64 / width,
            (to - span.from) as f64 / width,
        );
        let last = (to.ceil() as usize).min(parts);
        for (part, level) in levels.iter_mut().enumerate().take(last).skip(from as usize) {
            let left = part as f64;
            *level += (to.min(left + 1.0) - from.max(left)).max(0.0);
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    /// Sent, first and last content at seconds, with so many tokens.
    fn record(sent: u64, first: u64, last: u64, tokens: u32) -> Record {
        let mut record = Record::new(0, 0, None, sent * SECOND);
        record.sent = Some(sent * SECOND);
        record.first_content = Some(first * SECOND);
        record.last_content = Some(last * SECOND);
        record.end = last * SECOND;
        record.output_tokens = Some(tokens);
        record.input_tokens = Some(10);
        record
    }

    #[test]
    fn each_request_counts_by_its_part_within() {
        let span = Span {
            from: 10 * SECOND,
            to: 20 * SECOND,
        };
        let records = [
            // Half of its work within; its first token before, half of the other eight within.
            record(6, 6, 14, 9),
            // Wholly within, its first token too.
            record(11, 12, 16, 5),
            // One piece: a quarter of all.
            record(18, 26, 26, 8),
            // Before and after.
            record(1, 2, 3, 100),
            record(20, 21, 22, 100),
        ];
        let found = throughput(&records, span, |record| record.input_tokens);
        let expected = [
            (found.requests_per_second, 0.5 + 1.0 + 0.25),
            (found.input_tokens_per_second, 10.0),
            (found.output_tokens_per_second, 4.0 + 5.0 + 2.0),
        ];
        for (found, expected) in expected {
            assert!(
                (found - expected / 10.0).abs() < 1e-12,
                "{found} {expected}"
            );
        }
        let nothing = Span { from: 5, to: 5 };
        assert_eq!(
            throughput(&records, nothing, |_| None),
            Throughput::default()
        );
    }

    #[test]
    fn the_number_in_flight_is_a_mean_over_time() {
        let span = Span {
            from: 10 * SECOND,
            to: 14 * SECOND,
        };
        let records = [
            record(9, 9, 12, 1),
            record(11, 11, 30, 1),
            record(13, 13, 13, 1),
        ];
        assert_eq!(in_flight(&records, span, 4), [1.0, 2.0, 1.0, 1.0]);
        assert_eq!(in_flight(&records, span, 2), [1.5, 1.0]);
        assert_eq!(in_flight(&records, Span { from: 1, to: 1 }, 2), [0.0, 0.0]);
    }
}
