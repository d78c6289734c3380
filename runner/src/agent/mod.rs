//! What the Jobs of a cluster start: preflight, load and report.

pub mod load;
