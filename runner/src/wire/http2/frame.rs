//! Frames: nine bytes of head, and a payload (RFC 9113, section 4).

use super::Http2Error;

/// Most bytes of a payload that we take: the default, which we do not raise.
pub const MAX_FRAME: usize = 16_384;
const HEAD: usize = 9;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITY: u8 = 0x20;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type.
    pub kind: u8,
    /// Flags, by type.
    pub flags: u8,
    /// Stream; 0 for the connection.
    pub stream: u32,
    /// Payload.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload without padding.
    pub fn unpadded(&self) -> Result<&'a [u8], Http2Error> {
        if !self.has(PADDED) {
            return Ok(self.payload);
        }
        let (&padding, rest) = self.payload.split_first().ok_or(TOO_MUCH_PADDING)?;
        let length = rest.len().checked_sub(usize::from(padding));
        let length = length.ok_or(TOO_MUCH_PADDING)?;
        Ok(rest.get(..length).unwrap_or_default())
    }

    /// The first four bytes of the payload as a number.
    pub fn number(&self) -> Option<u32> {
        number(self.payload)
    }
}

const TOO_MUCH_PADDING: Http2Error = Http2Error::Protocol("a frame has more padding than payload");

/// Four bytes as a number.
pub fn number(bytes: &[u8]) -> Option<u32> {
    let bytes = bytes.get(..4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// Writes a frame.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    out.extend_from_slice(length.get(1..).unwrap_or_default());
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Finds frames in bytes that come in pieces. Any split gives the same frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    carry: Vec<u8>,
}

impl FrameReader {
    /// Takes the next bytes and hands over each frame that they complete. One that lies whole within
    /// them is not copied.
    ///
    /// # Errors
    /// As `on_frame`, and where a frame is too large.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        on_frame: &mut dyn FnMut(Frame<'_>) -> Result<(), Http2Error>,
    ) -> Result<(), Http2Error> {
        if !self.carry.is_empty() {
            // First the head, which says how much of the rest belongs to it.
            bytes = self.fill(HEAD, bytes);
            let Some(length) = length(&self.carry)? else {
                return Ok(());
            };
            bytes = self.fill(HEAD + length, bytes);
            if self.carry.len() < HEAD + length {
                return Ok(());
            }
            let whole = std::mem::take(&mut self.carry);
            on_frame(parse(&whole))?;
        }
        while let Some(length) = length(bytes)? {
            let Some((frame, rest)) = bytes.split_at_checked(HEAD + length) else {
                break;
            };
            on_frame(parse(frame))?;
            bytes = rest;
        }
        self.carry.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes bytes until there are so many; what is left over.
    fn fill<'a>(&mut self, wanted: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = wanted.saturating_sub(self.carry.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at(missing);
        self.carry.extend_from_slice(taken);
        rest
    }
}

/// Length of the payload, once the head is there.
fn length(bytes: &[u8]) -> Result<Option<usize>, Http2Error> {
    let Some(&[a, b, c, kind]) = bytes.get(..HEAD).and_then(|head| head.first_chunk::<4>()) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if length > MAX_FRAME {
        return Err(Http2Error::FrameSize { kind, length });
    }
    Ok(Some(length))
}

fn parse(frame: &[u8]) -> Frame<'_> {
    let at = |place: usize| frame.get(place).copied().unwrap_or_default();
    Frame {
        kind: at(3),
        flags: at(4),
        // The highest bit is reserved.
        stream: frame.get(5..).and_then(number).unwrap_or_default() & 0x7fff_ffff,
        payload: frame.get(HEAD..).unwrap_or_default(),
    }
}
