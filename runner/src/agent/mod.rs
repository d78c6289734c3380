//! What the Jobs of a cluster start: preflight, load and report.

pub mod hold;
pub mod last_words;
pub mod load;
pub mod preflight;
pub mod report;
pub mod vitals_page;
