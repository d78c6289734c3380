//! Buckets, claims and folders: nothing is ever overwritten.
