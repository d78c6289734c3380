//! What the Jobs of a cluster start: preflight, prefetch, load and report.

pub mod hold;
pub mod last_words;
pub mod load;
pub mod prefetch;
pub mod preflight;
pub mod report;
pub mod vitals_page;
