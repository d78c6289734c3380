//! gRPC's messages: each with a flag and its length in front. The transport is
//! [`crate::wire::http2`]; what a call ends with is read in [`status`].

pub mod jetstream;
pub mod protobuf;
pub mod status;
pub mod torchserve;
pub mod triton;

use crate::wire::sse::MAX_EVENT_BYTES;

const HEAD: usize = 5;

/// Why a body holds no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// Messages are compressed, which we did not ask for.
    Compressed,
    /// A message is larger than [`MAX_EVENT_BYTES`].
    TooLarge,
}

/// A message as it goes into a body.
pub fn message(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Finds messages in a body that comes in pieces. Any split gives the same messages.
#[derive(Debug, Default)]
pub struct Messages {
    carry: Vec<u8>,
}

impl Messages {
    /// Takes the next bytes and hands over each message that they complete.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn feed(
        &mut self,
        bytes: &[u8],
        on_message: &mut dyn FnMut(&[u8]),
    ) -> Result<(), MessageError> {
        let mut joined = std::mem::take(&mut self.carry);
        let mut rest = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        while let Some((&[flag, a, b, c, d], after)) = rest.split_first_chunk::<HEAD>() {
            if flag != 0 {
                return Err(MessageError::Compressed);
            }
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > MAX_EVENT_BYTES {
                return Err(MessageError::TooLarge);
            }
            let Some((payload, after)) = after.split_at_checked(length) else {
                break;
            };
            on_message(payload);
            rest = after;
        }
        self.carry = rest.to_vec();
        Ok(())
    }

    /// Whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        !self.carry.is_empty()
    }
}

#[cfg(test)]
mod tests;
