//! Answers' text, kept on disk until the stage is over.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
};

/// The answers' text on disk, by the place of their request: for the tokenizer, after the stage.
/// Each entry is the place (8 bytes), the length (8 bytes), both little-endian, and the text.
pub struct SpooledText {
    file: BufWriter<File>,
}

impl SpooledText {
    pub(super) fn new(file: File) -> Self {
        Self {
            file: BufWriter::with_capacity(256 * 1024, file),
        }
    }

    pub(super) fn push(&mut self, index: u64, text: &str) -> io::Result<()> {
        self.file.write_all(&index.to_le_bytes())?;
        self.file.write_all(&(text.len() as u64).to_le_bytes())?;
        self.file.write_all(text.as_bytes())
    }

    /// Gives every text with the place of its request.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn for_each(self, mut give: impl FnMut(u64, &str)) -> io::Result<()> {
        let mut file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let mut file = BufReader::with_capacity(256 * 1024, file);
        let mut number = [0; 8];
        loop {
            match file.read_exact(&mut number) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                result => result?,
            }
            let index = u64::from_le_bytes(number);
            file.read_exact(&mut number)?;
            let mut text = String::new();
            (&mut file)
                .take(u64::from_le_bytes(number))
                .read_to_string(&mut text)?;
            give(index, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spooled_texts_come_back() {
        let mut spool = SpooledText::new(tempfile::tempfile().unwrap());
        spool.push(7, "größer").unwrap();
        spool.push(2, "").unwrap();
        let mut seen = Vec::new();
        spool
            .for_each(|index, text| seen.push((index, text.to_owned())))
            .unwrap();
        assert_eq!(seen, [(7, "größer".to_owned()), (2, String::new())]);
    }
}
