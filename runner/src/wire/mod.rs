//! Connections and framing.

pub mod sse;
