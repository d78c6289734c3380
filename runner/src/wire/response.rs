//! A reader of HTTP/1.1 responses that does no I/O: bytes in, pieces of the body out (RFC 9112).

use std::{borrow::Cow, ops::ControlFlow};

use super::retry_after;

/// Most bytes of status line and header.
const MAX_HEAD: usize = 64 * 1024;
/// Most header fields.
const MAX_FIELDS: usize = 128;
/// Most bytes of a chunk's size line, extensions included.
const MAX_CHUNK_LINE: usize = 4096;

/// What a server sent that is no HTTP/1.1 response.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ResponseError {
    /// Status line or header do not parse.
    #[error("the answer's head is not HTTP/1.1: {0}")]
    Head(String),
    /// The head has no end.
    #[error("the answer's head has over {MAX_HEAD} bytes")]
    HeadTooLarge,
    /// The body's framing is broken.
    #[error("the answer's body is framed wrongly: {0}")]
    Framing(&'static str),
}

/// Status and what follows from the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Status code.
    pub status: u16,
    /// Whether the connection can take another request once the body has ended.
    pub keep_alive: bool,
    /// Seconds of `retry-after`. A date there counts from the answer's own `date`.
    pub retry_after: Option<u32>,
}

/// A line, once it is whole, and what follows it.
type LineAndRest<'a> = (Option<Cow<'a, [u8]>>, &'a [u8]);

/// Where the reader is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Head,
    /// So many bytes to come.
    Length(u64),
    /// A chunk's size line.
    ChunkSize,
    /// So many bytes of a chunk to come.
    ChunkData(u64),
    /// The line end after a chunk.
    ChunkEnd,
    /// Lines after the last chunk.
    Trailer,
    /// The end of the connection is the end of the body.
    UntilClose,
    Done,
}

/// Reads one response.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    head: Option<Head>,
    /// Bytes of a head or a line that have not ended yet; empty while a body's data passes.
    carry: Vec<u8>,
    surplus: bool,
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseReader {
    /// A reader at the beginning of a response.
    pub fn new() -> Self {
        Self {
            state: State::Head,
            head: None,
            carry: Vec::new(),
            surplus: false,
        }
    }

    /// Status and keep-alive, once the head is whole.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Whether the response is whole.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether bytes stood after the end of the response: the connection is of no further use then.
    pub fn has_surplus(&self) -> bool {
        self.surplus
    }

    /// Whether any byte has come.
    pub fn has_begun(&self) -> bool {
        self.head.is_some() || !self.carry.is_empty()
    }

    /// Takes bytes as they came; `body` gets each piece of the body together with the head and may
    /// break off. Returns whether it did.
    ///
    /// # Errors
    /// See [`ResponseError`]; the connection is of no further use then.
    pub fn feed(
        &mut self,
        mut input: &[u8],
        body: &mut dyn FnMut(Head, &[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ResponseError> {
        while !input.is_empty() {
            match self.state {
                State::Head => input = self.read_head(input)?,
                State::Length(left) => {
                    let (piece, rest) = split(input, left);
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 {
                        State::Done
                    } else {
                        State::Length(left)
                    };
                    if self.give(piece, body).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    input = rest;
                }
                State::ChunkSize => {
                    let (line, rest) = self.read_line(input)?;
                    input = rest;
                    if let Some(line) = line {
                        self.state = match chunk_size(&line)? {
                            0 => State::Trailer,
                            size => State::ChunkData(size),
                        };
                    }
                }
                State::ChunkData(left) => {
                    let (piece, rest) = split(input, left);
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::ChunkData(left)
                    };
                    if self.give(piece, body).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    input = rest;
                }
                State::ChunkEnd => {
                    input = match input {
                        [b'\n', rest @ ..] => {
                            self.carry.clear();
                            self.state = State::ChunkSize;
                            rest
                        }
                        [b'\r', rest @ ..] if self.carry.is_empty() => {
                            self.carry.push(b'\r');
                            rest
                        }
                        _ => return Err(ResponseError::Framing("a chunk is longer than its size")),
                    };
                }
                State::Trailer => {
                    let (line, rest) = self.read_line(input)?;
                    input = rest;
                    if line.is_some_and(|line| line.is_empty()) {
                        self.state = State::Done;
                    }
                }
                State::UntilClose => {
                    if self.give(input, body).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    input = &[];
                }
                State::Done => {
                    self.surplus = true;
                    return Ok(ControlFlow::Continue(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The connection has ended. Returns whether the response is whole.
    pub fn finish(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    fn give(
        &self,
        piece: &[u8],
        body: &mut dyn FnMut(Head, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.head {
            Some(head) => body(head, piece),
            None => ControlFlow::Continue(()),
        }
    }

    fn read_head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], ResponseError> {
        let before = self.carry.len();
        self.carry.extend_from_slice(input);
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&self.carry) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.carry.len() > MAX_HEAD => {
                return Err(ResponseError::HeadTooLarge);
            }
            Ok(httparse::Status::Partial) => return Ok(&[]),
            Err(error) => return Err(ResponseError::Head(error.to_string())),
        };
        // The same bound however the bytes came.
        if length > MAX_HEAD {
            return Err(ResponseError::HeadTooLarge);
        }
        let status = response.code.unwrap_or_default();
        if (100..200).contains(&status) {
            // An interim response; the real one follows.
            let rest = input
                .get(length.saturating_sub(before)..)
                .unwrap_or_default();
            self.carry.clear();
            return Ok(rest);
        }
        let (head, state) = framing(status, response.version == Some(0), response.headers)?;
        self.head = Some(head);
        self.state = state;
        self.carry.clear();
        Ok(input
            .get(length.saturating_sub(before)..)
            .unwrap_or_default())
    }

    /// The next line without its end, once it is whole, and what follows it.
    fn read_line<'a>(&mut self, input: &'a [u8]) -> Result<LineAndRest<'a>, ResponseError> {
        let end = memchr::memchr(b'\n', input);
        let (part, rest) = match end {
            Some(at) => input.split_at(at + 1),
            None => (input, &[][..]),
        };
        if self.carry.len() + part.len() > MAX_CHUNK_LINE {
            return Err(ResponseError::Framing("a chunk's size line is too long"));
        }
        if end.is_some() && self.carry.is_empty() {
            // The usual case, and one for every frame: nothing is copied.
            return Ok((Some(Cow::Borrowed(without_line_end(part))), rest));
        }
        self.carry.extend_from_slice(part);
        if end.is_none() {
            return Ok((None, rest));
        }
        let line = std::mem::take(&mut self.carry);
        Ok((Some(Cow::Owned(without_line_end(&line).to_vec())), rest))
    }
}

/// How the body ends, by RFC 9112, section 6.3.
fn framing(
    status: u16,
    http_1_0: bool,
    fields: &[httparse::Header<'_>],
) -> Result<(Head, State), ResponseError> {
    let mut length: Option<u64> = None;
    let mut chunked = false;
    let mut keep_alive = !http_1_0;
    let (mut retry_after, mut date) = (None, None);
    for field in fields {
        let value = std::str::from_utf8(field.value).unwrap_or_default().trim();
        if field.name.eq_ignore_ascii_case("content-length") {
            let new =
                number(value, 10).ok_or(ResponseError::Framing("content-length is no number"))?;
            if length.is_some_and(|old| old != new) {
                return Err(ResponseError::Framing("two lengths"));
            }
            length = Some(new);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value
                .rsplit(',')
                .next()
                .is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
        } else if field.name.eq_ignore_ascii_case("retry-after") {
            retry_after = Some(value);
        } else if field.name.eq_ignore_ascii_case("date") {
            date = Some(value);
        } else if field.name.eq_ignore_ascii_case("connection") {
            for word in value.split(',').map(str::trim) {
                if word.eq_ignore_ascii_case("close") {
                    keep_alive = false;
                } else if word.eq_ignore_ascii_case("keep-alive") {
                    keep_alive = true;
                }
            }
        }
    }
    let state = if status == 204 || status == 304 {
        State::Done
    } else if chunked {
        State::ChunkSize
    } else {
        match length {
            Some(0) => State::Done,
            Some(length) => State::Length(length),
            None => State::UntilClose,
        }
    };
    keep_alive &= state != State::UntilClose;
    let head = Head {
        status,
        keep_alive,
        retry_after: retry_after.and_then(|value| retry_after::seconds(value, date)),
    };
    Ok((head, state))
}

fn chunk_size(line: &[u8]) -> Result<u64, ResponseError> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| number(digits.trim(), 16))
        .ok_or(ResponseError::Framing("a chunk's size is no number"))
}

/// A number of nothing but digits: Rust itself takes a sign as well.
fn number(digits: &str, radix: u32) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain
        .then(|| u64::from_str_radix(digits, radix).ok())
        .flatten()
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn split(input: &[u8], left: u64) -> (&[u8], &[u8]) {
    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    input.split_at(take)
}

#[cfg(test)]
mod tests;
