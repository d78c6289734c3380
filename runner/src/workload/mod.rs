//! Prompts and arrival times.
