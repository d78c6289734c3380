//! Figures from time stamps.
