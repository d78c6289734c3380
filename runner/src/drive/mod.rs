//! Sends requests by a schedule and keeps what became of each.
