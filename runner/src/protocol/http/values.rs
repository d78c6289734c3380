//! JSON values one after the other, whatever stands between them: lines, blanks, a NUL (FastChat's
//! workers), a record separator (RFC 7464), or nothing (JetStream).

use crate::wire::sse::MAX_EVENT_BYTES;

/// Why a body is no sequence of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuesError {
    /// Something else stands where a value should begin.
    Stray(u8),
    /// A value is larger than [`MAX_EVENT_BYTES`].
    TooLarge,
}

/// Finds where values end, without reading them: objects, lists and strings. Any split of the bytes
/// over calls of [`Self::feed`] gives the same values.
#[derive(Debug, Default)]
pub struct JsonValues {
    /// The value under way, as far as it came in earlier pieces.
    carry: Vec<u8>,
    depth: usize,
    in_string: bool,
    after_backslash: bool,
}

impl JsonValues {
    /// Takes the next bytes and hands over each value that they complete.
    ///
    /// # Errors
    /// See [`ValuesError`]. Of no use after that.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        on_value: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ValuesError> {
        let mut begin = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if !self.is_within() {
                if is_between(byte) {
                    begin = at + 1;
                    continue;
                }
                if !matches!(byte, b'{' | b'[' | b'"') {
                    return Err(ValuesError::Stray(byte));
                }
                begin = at;
            }
            self.step(byte);
            if self.carry.len() + at - begin >= MAX_EVENT_BYTES {
                return Err(ValuesError::TooLarge);
            }
            if !self.is_within() {
                let piece = bytes.get(begin..=at).unwrap_or_default();
                if self.carry.is_empty() {
                    on_value(piece);
                } else {
                    self.carry.extend_from_slice(piece);
                    on_value(&self.carry);
                    self.carry.clear();
                }
                begin = at + 1;
            }
        }
        self.carry
            .extend_from_slice(bytes.get(begin..).unwrap_or_default());
        Ok(())
    }

    /// Whether a value has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.depth > 0 || self.in_string
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.after_backslash => self.after_backslash = false,
                b'\\' => self.after_backslash = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0 || byte == 0x1e
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<String>, Option<ValuesError>) {
        let mut parser = JsonValues::default();
        let mut found = Vec::new();
        let mut on_value = |value: &[u8]| found.push(String::from_utf8_lossy(value).into_owned());
        let outcome = pieces
            .into_iter()
            .try_for_each(|piece| parser.feed(piece, &mut on_value));
        (found, outcome.err())
    }

    #[test]
    fn values_are_told_apart_whatever_stands_between() {
        for between in ["", "\n", "\r\n", " \t", "\0", "\u{1e}"] {
            let expected = [r#"{"a":"}\"]"}"#, r#"[1,[2],"x"]"#, r#""a\\""#, "{\n}"];
            let body = expected.join(between);
            assert_eq!(
                values([body.as_bytes()]),
                (expected.map(Into::into).to_vec(), None)
            );
        }
    }

    #[test]
    fn what_is_no_value_is_named() {
        let (found, error) = values([br#"{"a":1} x"#.as_slice()]);
        assert_eq!((found.len(), error), (1, Some(ValuesError::Stray(b'x'))));
    }

    #[test]
    fn a_value_without_end_is_bounded() {
        let piece = vec![b'a'; 1 << 20];
        let mut parser = JsonValues::default();
        parser.feed(b"\"", &mut |_| ()).unwrap();
        let fed = (0..32).try_for_each(|_| parser.feed(&piece, &mut |_| ()));
        assert_eq!(fed, Err(ValuesError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_values(
            body in r#"[\{\}\[\]"\\ a,:\n]{0,60}"#,
            at in any::<proptest::sample::Index>(),
        ) {
            let body = body.as_bytes();
            let whole = values([body]);
            let (first, second) = body.split_at(at.index(body.len() + 1));
            prop_assert_eq!(values([first, second]), whole.clone());
            prop_assert_eq!(values(body.chunks(1)), whole);
        }
    }
}
