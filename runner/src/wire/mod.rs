//! Connections and framing.
