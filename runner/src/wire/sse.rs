//! Server-sent events without I/O, by the parsing rules of the WHATWG's HTML standard (section
//! "Server-sent events"), with two allowances that real servers need: an event that the end of the
//! body cuts off before its blank line is still handed over by [`SseParser::finish`], and the field
//! `error:`, by which older llama.cpp servers report errors, is read like `event: error` with data.

use memchr::memchr2;

/// Most bytes that one event may take: 16 MiB.
pub const MAX_EVENT_BYTES: usize = 16 << 20;

/// Most bytes kept of a line of no known field.
const EXCERPT: usize = 100;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event. Bytes, because who only skips an event need not pay for checking its UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// Value of the last `event:` field, empty where there is none.
    pub name: &'a [u8],
    /// Values of the `data:` fields, joined by line feeds.
    pub data: &'a [u8],
}

/// Why a stream of events cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is larger than [`MAX_EVENT_BYTES`].
    #[error("a server-sent event is larger than {limit} bytes")]
    FrameTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Parser of one stream. Any split of the stream's bytes over calls of [`Self::feed`] gives the
/// same events.
#[derive(Debug)]
pub struct SseParser {
    /// Beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Data of the event so far, where it could not be lent from the fed bytes.
    data: Vec<u8>,
    has_data: bool,
    name: Vec<u8>,
    /// Bytes of the lines that the event under way was made of.
    size: usize,
    /// The beginning of the first line that is of no known field.
    unknown: Option<Vec<u8>>,
    /// The last line ended with CR: a LF right after it belongs to it.
    after_carriage_return: bool,
    at_start: bool,
    limit: usize,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::with_limit(MAX_EVENT_BYTES)
    }
}

/// What one line means.
enum Line<'a> {
    Blank,
    Data(&'a [u8]),
    Name(&'a [u8]),
    Ignored,
}

impl SseParser {
    /// A parser with another bound on the size of an event, in bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            name: Vec::new(),
            size: 0,
            unknown: None,
            after_carriage_return: false,
            at_start: true,
            limit,
        }
    }

    /// Takes the next bytes and hands over each event that they complete. An event that lies whole
    /// within `bytes` is not copied.
    ///
    /// # Errors
    /// An event that is too large. The parser is of no use after that.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        on_event: &mut impl FnMut(SseEvent<'_>),
    ) -> Result<(), SseError> {
        let mut rest = bytes;
        // Data of the event under way that can still be lent from `bytes`.
        let mut lent: Option<&[u8]> = None;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_carriage_return) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.line.extend_from_slice(rest);
                break;
            };
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            self.after_carriage_return = rest[end] == b'\r';
            rest = after;
            if self.line.is_empty() {
                self.check_size(line.len())?;
                self.take_line(line, &mut lent, on_event);
            } else {
                self.check_size(self.line.len() + line.len())?;
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_kept_line(&whole, on_event);
                whole.clear();
                self.line = whole;
            }
        }
        if let Some(data) = lent {
            self.keep(data);
        }
        self.check_size(self.line.len())
    }

    /// The beginning of the first whole line that is of no known field and no comment: such lines
    /// are passed over, but a body of nothing else is no stream of events.
    pub fn unknown(&self) -> Option<&[u8]> {
        self.unknown.as_deref()
    }

    /// Hands over what the end of the body left without its blank line.
    pub fn finish(&mut self, on_event: &mut impl FnMut(SseEvent<'_>)) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            let unknown = self.unknown.take();
            self.take_kept_line(&line, on_event);
            // A line that was cut says nothing.
            self.unknown = unknown;
        }
        self.dispatch(None, on_event);
    }

    /// A line that lives as long as `lent`.
    fn take_line<'a>(
        &mut self,
        line: &'a [u8],
        lent: &mut Option<&'a [u8]>,
        on_event: &mut impl FnMut(SseEvent<'_>),
    ) {
        let meaning = self.read(line);
        if !matches!(meaning, Line::Ignored) {
            self.size += line.len();
        }
        match meaning {
            Line::Blank => self.dispatch(lent.take(), on_event),
            Line::Data(data) if lent.is_none() && !self.has_data => *lent = Some(data),
            Line::Data(data) => {
                if let Some(first) = lent.take() {
                    self.keep(first);
                }
                self.keep(data);
            }
            Line::Name(name) => self.set_name(name),
            Line::Ignored => {}
        }
    }

    /// A line that was pieced together and is gone after this call: its data is copied.
    fn take_kept_line(&mut self, line: &[u8], on_event: &mut impl FnMut(SseEvent<'_>)) {
        let mut lent = None;
        self.take_line(line, &mut lent, on_event);
        if let Some(data) = lent {
            self.keep(data);
        }
    }

    fn read<'a>(&mut self, line: &'a [u8]) -> Line<'a> {
        let line = if std::mem::take(&mut self.at_start) {
            line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            return Line::Blank;
        }
        if let Some(value) = field(line, b"data") {
            return Line::Data(value);
        }
        if let Some(value) = field(line, b"event") {
            return Line::Name(value);
        }
        if let Some(value) = field(line, b"error") {
            self.set_name(b"error");
            return Line::Data(value);
        }
        let known =
            line.starts_with(b":") || field(line, b"id").or(field(line, b"retry")).is_some();
        if !known && self.unknown.is_none() {
            self.unknown = Some(line.get(..EXCERPT).unwrap_or(line).to_vec());
        }
        Line::Ignored
    }

    fn set_name(&mut self, name: &[u8]) {
        self.name.clear();
        self.name.extend_from_slice(name);
    }

    fn keep(&mut self, data: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(data);
        self.has_data = true;
    }

    fn dispatch(&mut self, lent: Option<&[u8]>, on_event: &mut impl FnMut(SseEvent<'_>)) {
        if self.has_data || lent.is_some() {
            on_event(SseEvent {
                name: &self.name,
                data: lent.unwrap_or(&self.data),
            });
        }
        self.has_data = false;
        self.size = 0;
        self.data.clear();
        self.name.clear();
    }

    /// Whether a line of so many bytes, whole or not, still fits: counted by the bytes that came, so
    /// that it does not matter in which pieces they did.
    fn check_size(&self, line: usize) -> Result<(), SseError> {
        if self.size + line > self.limit {
            return Err(SseError::FrameTooLarge { limit: self.limit });
        }
        Ok(())
    }
}

/// The value of `line` where its field is `name`: what follows the colon, less one space.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Events of a stream that comes in the given pieces, as `name|data`.
    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut found = Vec::new();
        let mut on_event = |event: SseEvent<'_>| {
            found.push(format!(
                "{}|{}",
                String::from_utf8_lossy(event.name),
                String::from_utf8_lossy(event.data)
            ));
        };
        for piece in pieces {
            parser.feed(piece, &mut on_event).unwrap();
        }
        parser.finish(&mut on_event);
        found
    }

    #[test]
    fn reads_what_servers_send() {
        let cases: &[(&str, &[&str])] = &[
            ("data: a\n\n", &["|a"]),
            ("data:a\n\n", &["|a"]),
            ("data:  a\n\n", &["| a"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["|a", "|b"]),
            ("data: a\r\rdata: b\r\r", &["|a", "|b"]),
            ("data: a\ndata: b\n\n", &["|a\nb"]),
            ("data\n\n", &["|"]),
            ("data:\ndata:\n\n", &["|\n"]),
            (": ping\n\n: ping\n\ndata: a\n\n", &["|a"]),
            ("event: delta\ndata: a\n\ndata: b\n\n", &["delta|a", "|b"]),
            ("event: nothing\n\ndata: a\n\n", &["|a"]),
            ("id: 7\nretry: 3\ndata: a\n\n", &["|a"]),
            ("database: x\ndata: a\n\n", &["|a"]),
            ("\u{feff}data: a\n\n", &["|a"]),
            ("data: a\n\n\n\ndata: b\n\n", &["|a", "|b"]),
            ("error: {\"code\":500}\n\n", &["error|{\"code\":500}"]),
            ("data: a\n\ndata: cut", &["|a", "|cut"]),
            ("", &[]),
        ];
        for (stream, expected) in cases {
            assert_eq!(&events([stream.as_bytes()]), expected, "{stream:?}");
        }
    }

    #[test]
    fn an_event_that_is_too_large_is_refused_however_it_comes() {
        let stream = format!("data: {}\n\n", "x".repeat(100));
        for piece in [1, 7, stream.len()] {
            let mut parser = SseParser::with_limit(64);
            let outcome = stream
                .as_bytes()
                .chunks(piece)
                .try_for_each(|bytes| parser.feed(bytes, &mut |_| ()));
            assert_eq!(outcome, Err(SseError::FrameTooLarge { limit: 64 }));
        }
    }

    #[test]
    fn many_events_in_one_read_are_not_one_large_event() {
        let mut parser = SseParser::with_limit(64);
        let mut count = 0;
        let stream = "data: 0123456789\n\n".repeat(100);
        parser.feed(stream.as_bytes(), &mut |_| count += 1).unwrap();
        assert_eq!(count, 100);
    }

    #[test]
    fn lines_of_no_known_field_are_remembered() {
        for (stream, expected) in [
            ("<html>\n<p>\n", Some("<html>")),
            (": a\nid: 1\nretry: 2\nid\ndata: a\n\n", None),
            ("data: a\n\nhello\n", Some("hello")),
            ("data: a\n\ncut", None),
        ] {
            let mut parser = SseParser::default();
            parser.feed(stream.as_bytes(), &mut |_| ()).unwrap();
            parser.finish(&mut |_| ());
            assert_eq!(parser.unknown(), expected.map(str::as_bytes), "{stream:?}");
        }
    }

    /// Events of a stream under a bound, and whether it was kept.
    fn bounded<'a>(
        limit: usize,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<Vec<u8>>, bool) {
        let mut parser = SseParser::with_limit(limit);
        let mut found = Vec::new();
        let fits = pieces.into_iter().all(|piece| {
            let fed = parser.feed(piece, &mut |event| found.push(event.data.to_vec()));
            fed.is_ok()
        });
        (found, fits)
    }

    /// Streams made of the pieces that matter, in any order.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("data: ".to_owned()),
            Just("data:".to_owned()),
            Just("event: e".to_owned()),
            Just(": comment".to_owned()),
            Just("\n".to_owned()),
            Just("\r\n".to_owned()),
            Just("\r".to_owned()),
            Just("\n\n".to_owned()),
            "[a-zé{}\": ]{0,6}",
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            stream in stream(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            pieces.push(&stream[from..]);
            prop_assert_eq!(events(pieces), events([stream.as_slice()]));
        }

        #[test]
        fn the_bound_does_not_depend_on_the_pieces(stream in stream(), limit in 1_usize..40, size in 1_usize..9) {
            let whole = bounded(limit, [stream.as_slice()]);
            prop_assert_eq!(bounded(limit, stream.chunks(size)), whole);
        }

        #[test]
        fn any_bytes_are_survived(pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
            events(pieces.iter().map(Vec::as_slice));
        }
    }
}
