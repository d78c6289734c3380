//! The client's side of HTTP/2 without I/O (RFC 9113), as far as one call at a time on a connection
//! needs it: bytes in, events and bytes to be written out.
//!
//! Not multiplexed: a connection carries one call, as with HTTP/1.1, so that no answer waits behind
//! another one's frames in the same socket.

pub mod client;
mod frame;
pub mod hpack;
mod huffman;

/// Why a connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Http2Error {
    /// A frame that is too large, or of a wrong length.
    #[error("HTTP/2: a frame of type {kind} has {length} bytes")]
    FrameSize {
        /// Type of the frame.
        kind: u8,
        /// Its length.
        length: usize,
    },
    /// A frame where it may not stand, or with a value that it may not have.
    #[error("HTTP/2: {0}")]
    Protocol(&'static str),
    /// Header fields that cannot be read.
    #[error("HTTP/2: the header fields are broken: {0}")]
    Compression(&'static str),
}

#[cfg(test)]
mod tests;
