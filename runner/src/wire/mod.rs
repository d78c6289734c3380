//! Connections and framing: non-blocking sockets, TLS, HTTP/1.1 and HTTP/2, without a schedule of their own.
//!
//! [`response`] is sans-I/O: bytes in, pieces of a body out. [`stream`] moves bytes. Neither reads
//! time, retries or follows a redirect: one attempt is one outcome.

pub mod http2;
pub mod request;
pub mod response;
pub mod retry_after;
pub mod sse;
pub mod stream;
pub mod target;
pub mod tls;
