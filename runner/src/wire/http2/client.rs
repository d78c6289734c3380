//! The client's end of a connection: one call after the other.

use super::{
    Http2Error,
    frame::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, FrameReader, GOAWAY, HEADERS,
        MAX_FRAME, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, number,
        write,
    },
    hpack::{Decoder, Field},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
/// Window of a side that has said nothing.
const DEFAULT_WINDOW: u32 = 65_535;
/// The largest window; ours from the beginning, so that no server ever waits for us.
const MAX_WINDOW: u32 = 0x7fff_ffff;
/// Bytes read after which a window is filled up again.
const REFILL: u32 = 1 << 24;
/// Most bytes of a header block.
const MAX_BLOCK: usize = 64 << 10;

/// What a server sent for the call under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Header fields; those after data are trailers.
    Fields {
        /// Names and values.
        fields: &'a [Field],
        /// Whether nothing follows.
        end: bool,
    },
    /// A piece of the body.
    Data {
        /// The bytes.
        bytes: &'a [u8],
        /// Whether nothing follows.
        end: bool,
    },
    /// The server gave the call up, with this error code of HTTP/2.
    Reset(u32),
    /// The server will not take the call up: it is closing the connection.
    Refused,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    /// Bytes that may be sent.
    window: i64,
    /// Bytes read since the window was filled up.
    read: u32,
    /// What of the body is still to be sent.
    body: Vec<u8>,
    body_sent: usize,
    is_sent: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    frames: FrameReader,
    side: Side,
}

#[derive(Debug)]
struct Side {
    fields: Decoder,
    /// To be written.
    output: Vec<u8>,
    written: usize,
    next_stream: u32,
    stream: Option<Stream>,
    /// Bytes that may be sent on all streams.
    window: i64,
    /// Window of a new stream.
    initial_window: i64,
    /// Most bytes of a frame that the server takes.
    max_frame: usize,
    read: u32,
    /// A header block that goes on: its stream, whether nothing follows it, and what came of it.
    block: Option<(u32, bool, Vec<u8>)>,
    is_going_away: bool,
}

impl Default for Client {
    fn default() -> Self {
        let mut output = PREFACE.to_vec();
        let mut settings = Vec::new();
        for (name, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, MAX_WINDOW)] {
            settings.extend_from_slice(&name.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        write(&mut output, SETTINGS, 0, 0, &settings);
        let more = (MAX_WINDOW - DEFAULT_WINDOW).to_be_bytes();
        write(&mut output, WINDOW_UPDATE, 0, 0, &more);
        Self {
            frames: FrameReader::default(),
            side: Side {
                fields: Decoder::default(),
                output,
                written: 0,
                next_stream: 1,
                stream: None,
                window: i64::from(DEFAULT_WINDOW),
                initial_window: i64::from(DEFAULT_WINDOW),
                max_frame: MAX_FRAME,
                read: 0,
                block: None,
                is_going_away: false,
            },
        }
    }
}

impl Client {
    /// Begins a call: a header block as [`super::hpack::write`] makes it, and a body. The one before
    /// must have ended.
    pub fn call(&mut self, block: &[u8], body: &[u8]) {
        let side = &mut self.side;
        let id = side.next_stream;
        side.next_stream += 2;
        let mut pieces = block.chunks(side.max_frame).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            write(&mut side.output, kind, last, id, piece);
            kind = CONTINUATION;
        }
        side.stream = Some(Stream {
            id,
            window: side.initial_window,
            read: 0,
            body: body.to_vec(),
            body_sent: 0,
            is_sent: false,
        });
        side.send_body();
    }

    /// What is to be written.
    pub fn unwritten(&self) -> &[u8] {
        let side = &self.side;
        side.output.get(side.written..).unwrap_or_default()
    }

    /// So much of it was written.
    pub fn wrote(&mut self, bytes: usize) {
        let side = &mut self.side;
        side.written += bytes;
        if side.written >= side.output.len() {
            side.output.clear();
            side.written = 0;
        }
    }

    /// Whether the connection can take another call: the one before has ended on both sides, and the
    /// server is not closing.
    pub fn is_reusable(&self) -> bool {
        self.side.stream.is_none() && !self.side.is_going_away && self.side.next_stream < 1 << 30
    }

    /// Whether the server is closing.
    pub fn is_going_away(&self) -> bool {
        self.side.is_going_away
    }

    /// Takes bytes as they came, and hands over what they tell of the call under way.
    ///
    /// # Errors
    /// Where the server breaks HTTP/2; the connection is of no further use then.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Http2Error> {
        let side = &mut self.side;
        self.frames
            .feed(bytes, &mut |frame| side.take(frame, on_event))
    }
}

impl Side {
    fn take(
        &mut self,
        frame: Frame<'_>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Http2Error> {
        if self.block.is_some() && frame.kind != CONTINUATION {
            return Err(Http2Error::Protocol("a header block is interrupted"));
        }
        match frame.kind {
            DATA => self.data(frame, on_event),
            HEADERS => self.headers(frame, on_event),
            CONTINUATION => self.continuation(frame, on_event),
            RST_STREAM => {
                let code = exactly(&frame, 4)?;
                if self.is_current(frame.stream) {
                    self.stream = None;
                    on_event(Event::Reset(code));
                }
                Ok(())
            }
            SETTINGS => self.settings(frame),
            PUSH_PROMISE => Err(Http2Error::Protocol("a push, though we take none")),
            PING => {
                exactly(&frame, 8)?;
                if !frame.has(ACK) {
                    write(&mut self.output, PING, ACK, 0, frame.payload);
                }
                Ok(())
            }
            GOAWAY => {
                let last = frame.number().ok_or(wrong_size(&frame))? & MAX_WINDOW;
                self.is_going_away = true;
                if self.stream.as_ref().is_some_and(|stream| stream.id > last) {
                    self.stream = None;
                    on_event(Event::Refused);
                }
                Ok(())
            }
            WINDOW_UPDATE => self.window_update(frame),
            // Priorities, and whatever comes to be.
            _ => Ok(()),
        }
    }

    fn is_current(&self, stream: u32) -> bool {
        matches!(&self.stream, Some(current) if current.id == stream)
    }

    fn data(
        &mut self,
        frame: Frame<'_>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Http2Error> {
        if frame.stream == 0 || frame.stream >= self.next_stream {
            return Err(Http2Error::Protocol("data of no call"));
        }
        let bytes = frame.unpadded()?;
        let end = frame.has(END_STREAM);
        // A payload is bounded, so it fits.
        let length = frame.payload.len() as u32;
        self.read += length;
        refill(&mut self.output, 0, &mut self.read);
        let Some(stream) = self.stream.as_mut().filter(|it| it.id == frame.stream) else {
            return Ok(());
        };
        stream.read += length;
        if !end {
            refill(&mut self.output, stream.id, &mut stream.read);
        }
        if end {
            self.end();
        }
        on_event(Event::Data { bytes, end });
        Ok(())
    }

    fn headers(
        &mut self,
        frame: Frame<'_>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Http2Error> {
        if frame.stream == 0 || frame.stream >= self.next_stream {
            return Err(Http2Error::Protocol("header fields of no call"));
        }
        let mut block = frame.unpadded()?;
        if frame.has(PRIORITY) {
            block = block.get(5..).ok_or(wrong_size(&frame))?;
        }
        let end = frame.has(END_STREAM);
        if frame.has(END_HEADERS) {
            return self.fields(frame.stream, end, block, on_event);
        }
        self.block = Some((frame.stream, end, block.to_vec()));
        Ok(())
    }

    fn continuation(
        &mut self,
        frame: Frame<'_>,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Http2Error> {
        let Some((stream, end, mut block)) = self.block.take() else {
            return Err(Http2Error::Protocol("a header block goes on that is none"));
        };
        if stream != frame.stream {
            return Err(Http2Error::Protocol("a header block is interrupted"));
        }
        block.extend_from_slice(frame.payload);
        if block.len() > MAX_BLOCK {
            return Err(Http2Error::Compression("there is too much of them"));
        }
        if frame.has(END_HEADERS) {
            return self.fields(stream, end, &block, on_event);
        }
        self.block = Some((stream, end, block));
        Ok(())
    }

    fn fields(
        &mut self,
        stream: u32,
        end: bool,
        block: &[u8],
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Http2Error> {
        // Also those of a call that is over: the table must keep up.
        let fields = self.fields.decode(block)?;
        if !self.is_current(stream) {
            return Ok(());
        }
        if end {
            self.end();
        }
        on_event(Event::Fields {
            fields: &fields,
            end,
        });
        Ok(())
    }

    /// The server has said everything. What it did not want of the body is not sent.
    fn end(&mut self) {
        if let Some(stream) = self.stream.take()
            && !stream.is_sent
        {
            write(
                &mut self.output,
                RST_STREAM,
                0,
                stream.id,
                &0_u32.to_be_bytes(),
            );
        }
    }

    fn settings(&mut self, frame: Frame<'_>) -> Result<(), Http2Error> {
        if frame.has(ACK) {
            return Ok(());
        }
        let (settings, []) = frame.payload.as_chunks::<6>() else {
            return Err(wrong_size(&frame));
        };
        for [a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    return Err(Http2Error::Protocol("a window is made too large"));
                }
                INITIAL_WINDOW_SIZE => {
                    let change = i64::from(value) - self.initial_window;
                    self.initial_window = i64::from(value);
                    if let Some(stream) = &mut self.stream {
                        stream.window += change;
                    }
                }
                MAX_FRAME_SIZE if value < 16_384 => {
                    return Err(Http2Error::Protocol("frames are made too small"));
                }
                MAX_FRAME_SIZE => self.max_frame = value.min(1 << 20) as usize,
                // The table of what we send stays empty, and a call comes after the other.
                _ => {}
            }
        }
        write(&mut self.output, SETTINGS, ACK, 0, &[]);
        self.send_body();
        Ok(())
    }

    fn window_update(&mut self, frame: Frame<'_>) -> Result<(), Http2Error> {
        let more = i64::from(exactly(&frame, 4)? & MAX_WINDOW);
        if more == 0 {
            return Err(Http2Error::Protocol("a window grows by nothing"));
        }
        let window = match &mut self.stream {
            _ if frame.stream == 0 => &mut self.window,
            Some(stream) if stream.id == frame.stream => &mut stream.window,
            _ => return Ok(()),
        };
        *window += more;
        if *window > i64::from(MAX_WINDOW) {
            return Err(Http2Error::Protocol("a window is made too large"));
        }
        self.send_body();
        Ok(())
    }

    /// Sends as much of the body as the windows allow.
    fn send_body(&mut self) {
        let Some(stream) = self.stream.as_mut().filter(|stream| !stream.is_sent) else {
            return;
        };
        loop {
            let rest = stream.body.get(stream.body_sent..).unwrap_or_default();
            let window = self.window.min(stream.window).max(0);
            let window = usize::try_from(window).unwrap_or(usize::MAX);
            let length = rest.len().min(window).min(self.max_frame);
            let last = length == rest.len();
            if length == 0 && !last {
                return;
            }
            let flags = if last { END_STREAM } else { 0 };
            let piece = rest.get(..length).unwrap_or_default();
            write(&mut self.output, DATA, flags, stream.id, piece);
            stream.body_sent += length;
            stream.window -= length as i64;
            self.window -= length as i64;
            if last {
                stream.is_sent = true;
                stream.body = Vec::new();
                return;
            }
        }
    }
}

fn refill(output: &mut Vec<u8>, stream: u32, read: &mut u32) {
    if *read >= REFILL {
        write(output, WINDOW_UPDATE, 0, stream, &read.to_be_bytes());
        *read = 0;
    }
}

fn wrong_size(frame: &Frame<'_>) -> Http2Error {
    Http2Error::FrameSize {
        kind: frame.kind,
        length: frame.payload.len(),
    }
}

/// The first four bytes of a payload that must be so long.
fn exactly(frame: &Frame<'_>, length: usize) -> Result<u32, Http2Error> {
    let number = number(frame.payload).filter(|_| frame.payload.len() == length);
    number.ok_or(wrong_size(frame))
}
