//! Texts that hold everything so far, turned into pieces.

/// What was there of a text that grows from frame to frame. A stream in which a frame does not
/// continue the one before sends pieces, and is read as such from there on.
#[derive(Debug, Default)]
pub struct SoFar {
    text: String,
    in_pieces: bool,
}

impl SoFar {
    /// What is new in the next frame's text.
    pub fn new_part<'a>(&mut self, text: &'a str, last: bool) -> &'a str {
        if self.in_pieces {
            return text;
        }
        let Some(new) = text.strip_prefix(self.text.as_str()) else {
            self.in_pieces = true;
            self.text = String::new();
            return text;
        };
        // A replacement character at the end stands for a character that is not whole yet.
        let new = if last {
            new
        } else {
            new.trim_end_matches(char::REPLACEMENT_CHARACTER)
        };
        self.text.push_str(new);
        new
    }
}
