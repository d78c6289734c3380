//! Bare text, of which characters may be cut by the pieces in which it comes.

/// Reads text piece by piece.
#[derive(Debug, Default)]
pub struct TextReader {
    /// Beginning of a character.
    carry: Vec<u8>,
}

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

impl TextReader {
    /// Takes the next bytes and hands over what they complete, where that is anything.
    ///
    /// # Errors
    /// Where they are not UTF-8.
    pub fn feed(&mut self, bytes: &[u8], on_text: &mut dyn FnMut(&str)) -> Result<(), NotUtf8> {
        let mut joined = std::mem::take(&mut self.carry);
        let bytes = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_some() => return Err(NotUtf8),
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                self.carry = rest.to_vec();
                std::str::from_utf8(valid).map_err(|_| NotUtf8)?
            }
        };
        if !valid.is_empty() {
            on_text(valid);
        }
        Ok(())
    }

    /// Whether a character has begun and not ended.
    pub fn is_within(&self) -> bool {
        !self.carry.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_survive_any_split() {
        let text = "aé€😀 z";
        for size in 1..text.len() {
            let mut reader = TextReader::default();
            let mut found = String::new();
            for piece in text.as_bytes().chunks(size) {
                reader
                    .feed(piece, &mut |text| found.push_str(text))
                    .unwrap();
            }
            assert_eq!(
                (found.as_str(), reader.is_within()),
                (text, false),
                "{size}"
            );
        }
    }

    #[test]
    fn what_is_no_text_is_refused_and_a_cut_character_is_noticed() {
        let mut reader = TextReader::default();
        assert_eq!(reader.feed(b"a\xff", &mut |_| ()), Err(NotUtf8));
        let mut reader = TextReader::default();
        reader
            .feed("é".as_bytes().split_at(1).0, &mut |_| ())
            .unwrap();
        assert!(reader.is_within());
    }
}
