//! What the Jobs of a cluster start: preflight, load, report and hold.

pub mod hold;
pub mod load;
